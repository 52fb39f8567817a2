//! Conversations in the protocol: what a client says, step by step, played to a
//! server or to the proxy, and all that it hears.
//!
//! ```no_run
//! use waypool_tests::conversation::talk;
//! use waypool_tests::wire;
//!
//! talk("an empty query").say(&[wire::query("")]).ready(1);
//! ```

mod heard;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use waypool_sandbox::Cluster;

use crate::raw::wait_running_somewhere;
use crate::wire::{self, Message, Wire};
pub use heard::{Heard, difference};

/// Nobody is silent for so long who still has something to say. A conversation
/// that waits for it is wrong, or has found a difference.
const LONGEST: Duration = Duration::from_secs(30);

/// What a client does, in order.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub name: &'static str,
    steps: Vec<Step>,
    protocol: (u16, u16),
    /// The server's major version must be this one, or a later one.
    pub since: u32,
    /// Further startup parameters.
    parameters: Vec<(&'static str, &'static str)>,
    /// Whether it needs a session: in transaction mode it may go otherwise.
    pub needs_session: bool,
    /// Whether each statement has to be for the same server, or the outcome is
    /// another one.
    pub needs_one_server: bool,
    /// Why it goes otherwise through the proxy, where that is known.
    pub differs: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum Step {
    /// In one write.
    Say(Vec<u8>),
    /// Listens to the ReadyForQuery that is so many further on.
    Ready(usize),
    /// Listens to so many messages.
    Take(usize),
    /// Listens to the first message of this type.
    Until(u8),
    /// Asks on another connection to cancel, once a statement with this text
    /// runs; at once if there is none.
    Cancel(Option<&'static str>),
    /// Says no more, and listens to the end.
    HangUp,
    /// Listens until the other side ends it.
    Closed,
}

/// A conversation with nothing said yet; the login comes by itself.
pub fn talk(name: &'static str) -> Conversation {
    Conversation {
        name,
        steps: Vec::new(),
        protocol: (3, 0),
        since: 0,
        parameters: Vec::new(),
        needs_session: false,
        needs_one_server: false,
        differs: None,
    }
}

impl Conversation {
    /// A startup parameter.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.parameters.push((name, value));
        self
    }

    /// Asks for this version of the protocol, which servers know since this one
    /// of theirs.
    pub fn protocol(self, version: (u16, u16), since: u32) -> Self {
        Conversation { protocol: version, since, ..self }
    }

    /// Says these messages in one write.
    pub fn say(self, messages: &[Vec<u8>]) -> Self {
        self.step(Step::Say(messages.concat()))
    }

    /// Listens to the ReadyForQuery that is `count` further on.
    pub fn ready(self, count: usize) -> Self {
        self.step(Step::Ready(count))
    }

    /// Listens to `count` messages.
    pub fn take(self, count: usize) -> Self {
        self.step(Step::Take(count))
    }

    /// Listens to a message of this type, and what comes before it.
    pub fn until(self, tag: u8) -> Self {
        self.step(Step::Until(tag))
    }

    /// Says messages with a Sync behind them, and listens to its ReadyForQuery.
    pub fn cycle(self, messages: &[Vec<u8>]) -> Self {
        self.say(&[messages.concat(), wire::sync()]).ready(1)
    }

    /// Says a Query, and listens to its end.
    pub fn query(self, sql: &str) -> Self {
        self.say(&[wire::query(sql)]).ready(1)
    }

    /// Cancels the statement with this text, once it runs.
    pub fn cancel(self, mark: &'static str) -> Self {
        self.step(Step::Cancel(Some(mark)))
    }

    /// Sends a cancel request at once, when nothing runs.
    pub fn cancel_nothing(self) -> Self {
        self.step(Step::Cancel(None))
    }

    pub fn hang_up(self) -> Self {
        self.step(Step::HangUp)
    }

    pub fn closed(self) -> Self {
        self.step(Step::Closed)
    }

    /// It needs state of a session outside transactions.
    pub fn needs_session(self) -> Self {
        Conversation { needs_session: true, ..self }
    }

    /// It has reads that depend on state of one server: a temporary table made
    /// by a function, a random seed.
    pub fn needs_one_server(self) -> Self {
        Conversation { needs_one_server: true, ..self }
    }

    /// It goes otherwise through the proxy, for this reason.
    pub fn differs(self, why: &'static str) -> Self {
        Conversation { differs: Some(why), ..self }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Plays it to whoever listens on this port. `cluster` is where its
    /// statements run in the end.
    pub fn play(&self, port: u16, database: &str, cluster: &Cluster) -> Heard {
        let mut player = Player::new(port, cluster);
        let mut parameters = vec![("user", waypool_sandbox::SUPERUSER), ("database", database)];
        parameters.extend(&self.parameters);
        player.say(&wire::startup(self.protocol, &parameters));
        player.listen(1, |message| message.tag == b'Z');
        for step in &self.steps {
            player.take_step(step);
        }
        // So that nothing of it runs on beside the next one.
        player.take_step(&Step::HangUp);
        player.heard
    }
}

struct Player<'a> {
    wire: Wire,
    port: u16,
    cluster: &'a Cluster,
    heard: Heard,
    over: bool,
}

impl<'a> Player<'a> {
    fn new(port: u16, cluster: &'a Cluster) -> Player<'a> {
        let wire = Wire::connect_to(port);
        wire.stream.set_read_timeout(Some(LONGEST)).expect("a socket option");
        Player { wire, port, cluster, heard: Heard::default(), over: false }
    }

    fn take_step(&mut self, step: &Step) {
        if self.over {
            return;
        }
        match step {
            Step::Say(bytes) => self.say(bytes),
            Step::Ready(count) => self.listen(*count, |message| message.tag == b'Z'),
            Step::Take(count) => self.listen(*count, |_| true),
            Step::Until(tag) => self.listen(1, |message| message.tag == *tag),
            Step::Cancel(mark) => self.cancel(*mark),
            Step::HangUp => {
                // A side that has closed already does not mind.
                let _ = self.wire.stream.shutdown(Shutdown::Write);
                self.listen(usize::MAX, |_| true);
            }
            Step::Closed => self.listen(usize::MAX, |_| true),
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        // The other side may have closed: what it said before tells more.
        let _ = self.wire.stream.write_all(bytes);
    }

    /// Listens to `count` messages that are wanted.
    fn listen(&mut self, count: usize, wanted: impl Fn(&Message) -> bool) {
        let mut left = count;
        while left > 0 && !self.over {
            match self.wire.read_message() {
                Ok(Some(message)) => {
                    left -= usize::from(wanted(&message));
                    self.heard.add(message);
                }
                Ok(None) => self.end("(closed)"),
                Err(_) => self.end(heard::SILENCE),
            }
        }
    }

    fn end(&mut self, how: &str) {
        self.heard.end(how);
        self.over = true;
    }

    fn cancel(&mut self, mark: Option<&str>) {
        if let Some(mark) = mark {
            wait_running_somewhere(self.cluster, mark);
        }
        let (pid, key) = self.heard.cancel_key();
        let mut other = Wire::connect_to(self.port);
        other.send(&wire::cancel_request(pid, key));
        assert!(other.until_closed().is_empty(), "a cancel request is never answered");
    }
}
