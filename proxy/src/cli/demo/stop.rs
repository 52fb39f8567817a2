//! Ctrl-C, and the signals that mean the same.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A Ctrl-C may have ended a child process before word of it gets here.
const SOON: Duration = Duration::from_millis(300);

/// Whether the user wants the demo to end.
#[derive(Clone, Default)]
pub struct Stop(Arc<Wish>);

#[derive(Default)]
struct Wish {
    wanted: Mutex<bool>,
    changed: Condvar,
}

/// The user wants the demo to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Stop {
    /// From here on SIGINT, SIGTERM and SIGHUP (the terminal is closed) are
    /// wishes. The default would be an end without tidying up.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _context = runtime.enter();
            Signals {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: signal(SignalKind::hangup())?,
            }
        };
        let heard = stop.clone();
        thread::Builder::new().name("demo-signals".into()).spawn(move || {
            runtime.block_on(async {
                loop {
                    signals.next().await;
                    heard.want();
                }
            });
        })?;
        Ok(stop)
    }

    pub(super) fn want(&self) {
        *self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }

    /// For between two steps.
    pub fn check(&self) -> Result<(), Interrupted> {
        self.pause(Duration::ZERO)
    }

    /// Whether the demo is to end, now or in a moment.
    pub fn is_wanted_soon(&self) -> bool {
        self.pause(SOON).is_err()
    }

    /// Returns after this time, or with the wish.
    pub fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        let wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.changed.wait_timeout_while(wanted, time, |wanted| !*wanted);
        let (wanted, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *wanted { Err(Interrupted) } else { Ok(()) }
    }

    /// Waits until the user wants the demo to end.
    pub fn wait(&self) {
        while self.pause(Duration::from_secs(3600)).is_ok() {}
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
