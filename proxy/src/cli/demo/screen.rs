//! How the demo looks: 80 columns, colours on a terminal only.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where a step's time stands, counted from the left margin.
const TIME_COLUMN: usize = 65;
/// How often the time of a running step is shown anew.
const TICK: Duration = Duration::from_millis(100);
/// What takes less is not worth its time.
const WORTH_TELLING: Duration = Duration::from_millis(20);

/// The terminal, or whatever standard output is.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    terminal: bool,
    colours: bool,
}

/// The parts of the text that look different.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    Title,
    /// What the user can type.
    Typed,
    /// What matters in a line.
    Point,
    Aside,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Look::Title => "1",
            Look::Typed => "36",
            Look::Point => "32",
            Look::Aside => "2",
        }
    }
}

impl Screen {
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb");
        // https://no-color.org
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { terminal, colours: terminal && wanted }
    }

    /// A screen that is none: text as it is.
    #[cfg(test)]
    pub fn plain() -> Self {
        Screen { terminal: false, colours: false }
    }

    pub fn paint(&self, look: Look, text: impl Display) -> String {
        match self.colours {
            true => format!("\x1b[{}m{text}\x1b[0m", look.code()),
            false => text.to_string(),
        }
    }

    pub fn line(&self, text: impl Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// An empty line, then a heading.
    pub fn heading(&self, text: &str) -> io::Result<()> {
        self.line(format_args!("\n{}\n", self.paint(Look::Title, text)))
    }

    /// Something that takes a while begins.
    pub fn step(&self, text: impl Into<String>) -> io::Result<Step> {
        Step::begin(*self, text.into())
    }

    /// Without the line's end. `\r` goes back to its start.
    fn part(&self, text: impl Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        write!(out, "{text}")?;
        out.flush()
    }
}

/// Something that takes a while. Its line shows the time it has taken so far.
#[derive(Debug)]
pub struct Step {
    screen: Screen,
    text: String,
    began: Instant,
    ticker: Option<Ticker>,
}

#[derive(Debug)]
struct Ticker {
    /// Dropping it ends the thread.
    running: Sender<()>,
    thread: JoinHandle<()>,
}

impl Step {
    fn begin(screen: Screen, text: String) -> io::Result<Self> {
        let mut step = Step { screen, text, began: Instant::now(), ticker: None };
        screen.part(format_args!("  {}", step.text))?;
        if screen.terminal {
            step.ticker = Some(Ticker::start(screen, step.text.clone(), step.began)?);
        }
        Ok(step)
    }

    /// It is done: the time stays.
    pub fn done(mut self) -> io::Result<()> {
        let took = self.began.elapsed();
        self.stop_ticker();
        if took < WORTH_TELLING {
            return self.screen.part("\n");
        }
        let beginning = if self.screen.terminal { format!("\r  {}", self.text) } else { String::new() };
        let time = self.screen.paint(Look::Aside, dotted(&self.text, took));
        self.screen.part(format_args!("{beginning}{time}\n"))
    }

    fn stop_ticker(&mut self) {
        if let Some(Ticker { running, thread }) = self.ticker.take() {
            drop(running);
            // It cannot panic, and if it did, only the display would suffer.
            let _ = thread.join();
        }
    }
}

/// Left over after a failure: what comes next begins a line of its own.
impl Drop for Step {
    fn drop(&mut self) {
        if self.ticker.is_some() {
            self.stop_ticker();
            let _ = self.screen.part("\n");
        }
    }
}

impl Ticker {
    fn start(screen: Screen, text: String, began: Instant) -> io::Result<Self> {
        let (running, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("demo-progress".into()).spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let time = screen.paint(Look::Aside, dotted(&text, began.elapsed()));
                let _ = screen.part(format_args!("\r  {text}{time}"));
            }
        })?;
        Ok(Ticker { running, thread })
    }
}

/// What follows a step's text: ` ........  1.2 s`
fn dotted(text: &str, took: Duration) -> String {
    let dots = TIME_COLUMN.saturating_sub(text.chars().count()).max(3);
    format!(" {} {:>7}", ".".repeat(dots), told(took))
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A duration for people: `0.42 ms`, `17 ms`, `1.3 s`.
pub fn told(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1e3;
    match milliseconds {
        ..9.995 => format!("{milliseconds:.2} ms"),
        ..999.5 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.1} s", milliseconds / 1e3),
    }
}
