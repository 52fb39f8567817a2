//! What one server answers to what all of them were sent.
//!
//! Rows may go on to the client as they come; what ends a command is held until
//! the other servers have ended it in the same way.

use crate::protocol::backend::{TransactionStatus, fewer_parameters};
use crate::protocol::error::ErrorFields;
use crate::protocol::{Frame, FrameError, HEADER_LEN};
use std::collections::VecDeque;

/// How a command ended, as far as servers must agree about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// CommandComplete. `command` stands for the words of its tag, `rows` are
    /// those that it changed.
    Complete {
        command: u64,
        rows: Option<u64>,
    },
    Empty,
    Suspended,
    CopyIn,
    CopyOut,
    Error {
        sqlstate: [u8; 5],
    },
}

impl Mark {
    /// The same but for the number of rows.
    pub fn is_alike(&self, other: &Mark) -> bool {
        match (self, other) {
            (Mark::Complete { command, .. }, Mark::Complete { command: other, .. }) => command == other,
            (mark, other) => mark == other,
        }
    }
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// With ReadyForQuery.
    Ready,
    /// With so many CloseComplete messages, of which the last answers a Close of
    /// ours; or with an error.
    Closes(usize),
    /// With the end of one command, or an error.
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// It waits for COPY data.
    CopyIn,
    /// All is answered, as far as it was to be.
    Flushed,
    Ready(TransactionStatus),
    /// The connection is gone.
    Lost,
}

/// What of an answer is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// All, as it comes, but for the end.
    Speaks,
    /// Nothing but the end, perhaps.
    Listens,
    /// All, perhaps, when it is known who speaks.
    Keeps,
}

/// One server's answer so far.
#[derive(Debug)]
pub struct Hearing {
    /// Cycles of ours that are answered first, and seen by nobody.
    ours: usize,
    until: Until,
    closes: usize,
    voice: Voice,
    /// Bytes still to come of a frame whose head was handled.
    rest: usize,
    /// There were rows since the last mark.
    rows: bool,
    pub state: State,
    /// Of each description of parameters that comes, how many the client may see,
    /// if there are more.
    keeps: VecDeque<Option<usize>>,
    /// What the transaction was behind the cycles of ours.
    pub before: Option<TransactionStatus>,
    /// Some of it was for the client to see at once.
    pub said: bool,
    /// ParseComplete messages among it.
    pub parsed: usize,
    pub marks: Vec<Mark>,
    /// The first ErrorResponse, whole.
    pub error: Vec<u8>,
    /// Bodies of ParameterStatus messages.
    pub parameters: Vec<Vec<u8>>,
    /// What the client may see now …
    pub out: Vec<u8>,
    /// … and what only when the others agree.
    pub held: Vec<u8>,
}

/// What became of the bytes read.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    pub consumed: usize,
    /// The frame behind must be read whole: it has this length.
    pub wants: Option<usize>,
}

impl Hearing {
    pub fn new(ours: usize, until: Until, speaks: bool) -> Self {
        let voice = if speaks { Voice::Speaks } else { Voice::Listens };
        Hearing {
            ours,
            until,
            closes: 0,
            voice,
            rest: 0,
            rows: false,
            state: State::Running,
            keeps: VecDeque::new(),
            before: None,
            said: false,
            parsed: 0,
            marks: Vec::new(),
            error: Vec::new(),
            parameters: Vec::new(),
            out: Vec::new(),
            held: Vec::new(),
        }
    }

    /// The client does not see it.
    pub fn listens(&mut self) {
        self.voice = Voice::Listens;
    }

    /// The client may see it later, and then all of it.
    pub fn keeps_all(&mut self) {
        self.voice = Voice::Keeps;
    }

    /// See [`Hearing::keeps`].
    pub fn shows_parameters(&mut self, keeps: &[Option<usize>]) {
        self.keeps.extend(keeps);
    }

    /// The client has been told of all so far; there is more to come.
    pub fn goes_on(&mut self, until: Until) {
        self.until = until;
        self.state = State::Running;
    }

    /// What is held now goes to the client, or to nobody.
    pub fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    pub fn is_done(&self) -> bool {
        self.state != State::Running
    }

    pub fn has_failed(&self) -> bool {
        !self.error.is_empty()
    }

    /// The transaction's status, if the answer has come to its end.
    pub fn status(&self) -> Option<TransactionStatus> {
        match self.state {
            State::Ready(status) => Some(status),
            _ => None,
        }
    }

    pub fn sqlstate(&self) -> &str {
        ErrorFields::parse(self.error.get(HEADER_LEN..).unwrap_or_default()).sqlstate
    }

    /// Commands that ended well.
    pub fn completed(&self) -> usize {
        self.marks
            .iter()
            .filter(|mark| !matches!(mark, Mark::Error { .. } | Mark::CopyIn | Mark::CopyOut))
            .count()
    }

    pub fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Hears bytes, up to the end of the answer.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Heard, FrameError> {
        let mut at = 0;
        while !self.is_done() {
            if self.rest > 0 {
                let taken = self.rest.min(bytes.len() - at);
                self.rest -= taken;
                self.say(&bytes[at..at + taken]);
                at += taken;
                if self.rest > 0 {
                    break;
                }
                continue;
            }
            let Some(frame) = Frame::from_server(&bytes[at..])? else {
                break;
            };
            if matches!(frame.tag, b'D' | b'd') && self.ours == 0 {
                // Rows pass by unread.
                self.rows |= frame.tag == b'D';
                self.release();
                self.rest = frame.len;
                continue;
            }
            if bytes.len() - at < frame.len {
                return Ok(Heard { consumed: at, wants: Some(frame.len) });
            }
            self.on_frame(frame.tag, &bytes[at..at + frame.len])?;
            at += frame.len;
        }
        Ok(Heard { consumed: at, wants: None })
    }

    fn on_frame(&mut self, tag: u8, frame: &[u8]) -> Result<(), FrameError> {
        let body = &frame[HEADER_LEN..];
        if tag == b'S' {
            self.parameters.push(body.to_vec());
            self.aside(frame);
            return Ok(());
        }
        if self.ours > 0 {
            match tag {
                b'Z' => {
                    self.ours -= 1;
                    self.before = body.first().copied().and_then(TransactionStatus::from_byte);
                }
                b'E' => self.error = frame.to_vec(),
                _ => {}
            }
            return Ok(());
        }
        match tag {
            b'N' | b'A' => self.aside(frame),
            b'C' => {
                let mark = complete(body, std::mem::take(&mut self.rows));
                self.ended(mark, frame);
            }
            b'I' => self.ended(Mark::Empty, frame),
            b's' => self.ended(Mark::Suspended, frame),
            b'E' => {
                let sqlstate = ErrorFields::parse(body).sqlstate.as_bytes().try_into().unwrap_or(*b"XX000");
                if self.error.is_empty() {
                    self.error = frame.to_vec();
                }
                self.ended(Mark::Error { sqlstate }, frame);
                if self.until != Until::Ready {
                    self.state = State::Flushed;
                }
            }
            b'G' => {
                self.marks.push(Mark::CopyIn);
                self.hold(frame);
                self.state = State::CopyIn;
            }
            b'Z' => {
                let status = body.first().copied().and_then(TransactionStatus::from_byte);
                self.state = State::Ready(status.ok_or(FrameError::InvalidLength)?);
            }
            b'3' if matches!(self.until, Until::Closes(_)) => {
                self.closes += 1;
                match self.until == Until::Closes(self.closes) {
                    true => self.state = State::Flushed,
                    false => self.pass(frame),
                }
            }
            b'1' => {
                self.parsed += 1;
                self.pass(frame);
            }
            b'T' => {
                self.rows = true;
                self.pass(frame);
            }
            b'H' => {
                self.marks.push(Mark::CopyOut);
                self.pass(frame);
            }
            b't' => match self.keeps.pop_front().flatten() {
                Some(keep) => {
                    let mut fewer = Vec::with_capacity(frame.len());
                    fewer_parameters(&mut fewer, body, keep);
                    self.pass(&fewer);
                }
                None => self.pass(frame),
            },
            _ => self.pass(frame),
        }
        Ok(())
    }

    /// A command has ended.
    fn ended(&mut self, mark: Mark, frame: &[u8]) {
        self.rows = false;
        self.marks.push(mark);
        self.release();
        self.hold(frame);
        if self.until == Until::Complete {
            self.state = State::Flushed;
        }
    }

    /// What is held was not the last: there is more behind it.
    fn release(&mut self) {
        match self.voice {
            Voice::Speaks => {
                self.said |= !self.held.is_empty();
                self.out.append(&mut self.held);
            }
            Voice::Listens => self.held.clear(),
            Voice::Keeps => {}
        }
    }

    fn pass(&mut self, frame: &[u8]) {
        self.release();
        self.say(frame);
    }

    /// What belongs to no command keeps its place, and that is all.
    fn aside(&mut self, frame: &[u8]) {
        match self.held.is_empty() {
            true => self.say(frame),
            false => self.hold(frame),
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        match self.voice {
            Voice::Speaks => {
                self.said = true;
                self.out.extend_from_slice(bytes);
            }
            Voice::Listens => {}
            Voice::Keeps => self.held.extend_from_slice(bytes),
        }
    }

    fn hold(&mut self, frame: &[u8]) {
        self.held.extend_from_slice(frame);
    }
}

/// What a command tag says: "INSERT 0 5", "SELECT 3", "CREATE TABLE". The rows
/// that were sent need not be as many everywhere; those that were changed must.
fn complete(tag: &[u8], sent_rows: bool) -> Mark {
    let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
    let words = tag.iter().position(u8::is_ascii_digit).unwrap_or(tag.len());
    let digits = tag.rsplit(|byte| *byte == b' ').next().filter(|_| words < tag.len());
    let rows = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let reads = [&b"SELECT"[..], b"FETCH", b"MOVE"].iter().any(|word| tag.starts_with(word));
    // CREATE TABLE AS says SELECT, too.
    let counts = !reads || (tag.starts_with(b"SELECT") && !sent_rows);
    Mark::Complete { command: hash(&tag[..words]), rows: rows.filter(|_| counts) }
}

/// FNV-1a: only ever compared.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests;
