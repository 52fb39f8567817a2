//! What a server still owes, and which of it the client is to see.
//!
//! The proxy relays a server's bytes as they come. It looks at a frame's
//! header, and into the body of few: ReadyForQuery, errors, ParameterStatus.
//! Answers to messages which the proxy added on its own are dropped.

use super::backend::TransactionStatus;
use super::{Frame, FrameError, HEADER_LEN};
use std::collections::VecDeque;
use std::mem;

/// The messages up to one ReadyForQuery: a Query, or everything to a Sync.
#[derive(Debug, Clone, Copy)]
struct Cycle {
    /// The client sees the answers.
    relay: bool,
    /// Extended protocol: the server skips to Sync after an error.
    extended: bool,
    /// Its Query or Sync has been sent.
    closed: bool,
    /// The proxy itself reads the rows.
    asks: bool,
    /// Its ReadyForQuery is dropped even if its answers are relayed.
    ready_unseen: bool,
    /// Answers to Parse and Close still to come.
    acks: usize,
    /// An error was among its answers.
    failed: bool,
    /// So many CopyDone and CopyFail were sent before COPY data was asked for.
    copies_ended: usize,
    /// And that behind its Sync, which the server will swallow.
    behind_sync: bool,
    /// Statements to be described, and those described.
    describes: u32,
    described: u32,
}

impl Cycle {
    fn query() -> Self {
        let (relay, closed) = (true, true);
        let (extended, asks, ready_unseen, failed, behind_sync) = (false, false, false, false, false);
        let (acks, copies_ended, describes, described) = (0, 0, 0, 0);
        Cycle {
            relay,
            extended,
            closed,
            asks,
            ready_unseen,
            acks,
            failed,
            copies_ended,
            behind_sync,
            describes,
            described,
        }
    }
}

/// The answer to a Parse or Close, and what must be undone if it never comes.
#[derive(Debug)]
struct Ack<U> {
    relay: bool,
    /// It is the answer to a Close that the client takes for one to its Parse.
    as_parse: bool,
    undo: Option<U>,
}

/// A description of parameters, some of which the client must not see.
#[derive(Debug, Clone, Copy)]
struct Trim {
    /// The cycle that it belongs to, by number.
    cycle: u64,
    /// Its place among those of the cycle.
    place: u32,
    keep: usize,
}

/// What is expected from one server. `U` is whatever undoes a Parse.
#[derive(Debug)]
pub struct Replies<U> {
    cycles: VecDeque<Cycle>,
    acks: VecDeque<Ack<U>>,
    trims: VecDeque<Trim>,
    /// How many cycles have been answered.
    answered: u64,
    /// Left over by cycles that failed, the newest last.
    unanswered: Vec<U>,
    /// Of what the cycle at the head has had answered.
    done: Vec<U>,
    /// Bytes still to come of a frame whose head has been handled.
    rest: usize,
    /// That frame says nothing yet about success or failure.
    preliminary: bool,
    /// Somebody wants to know when commands are complete.
    watched: bool,
    /// Notifications are for the session to decide about.
    catches: bool,
}

/// Something the session has to know of.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A cycle has ended.
    Ready { status: TransactionStatus, relay: bool },
    /// A Sync of ours was answered, see [`Replies::sync_unseen`].
    Closed { status: TransactionStatus },
    /// An ErrorResponse; it is the last frame of the relayed, or dropped, bytes.
    Error { relay: bool },
    /// A ParameterStatus, as above.
    Parameter,
    /// The server waits for COPY data; `ended`: for what it has been sent, to
    /// its end.
    CopyIn { ended: bool },
    /// A row for the proxy itself.
    Row,
    /// A NotificationResponse, which is not relayed; it is the last frame of the
    /// dropped bytes. See [`Replies::catch_notifications`].
    Notification,
    /// In place of the dropped frame the client gets a ParseComplete.
    Parsed,
    /// In place of the dropped ParameterDescription the client gets one of so many
    /// parameters.
    Described { keep: usize },
    /// A command of the client's is complete; only if asked for, see
    /// [`Replies::watch`].
    Complete { rows: u64 },
}

/// What to do with the head of the bytes read.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// First relay so many bytes …
    pub relay: usize,
    /// … then drop so many …
    pub skip: usize,
    /// … then handle this. `frame` is the length of the frame it stands for,
    /// which ends where `relay + skip` does.
    pub event: Option<(Event, usize)>,
    /// The frame at the end must be read whole: it has this length.
    pub wants: Option<usize>,
    /// Among the relayed there is more than what comes before an answer
    /// proper: rows, a completion, an error.
    pub answers: bool,
}

impl<U> Default for Replies<U> {
    fn default() -> Self {
        Replies {
            cycles: VecDeque::new(),
            acks: VecDeque::new(),
            trims: VecDeque::new(),
            answered: 0,
            unanswered: Vec::new(),
            done: Vec::new(),
            rest: 0,
            preliminary: false,
            watched: false,
            catches: false,
        }
    }
}

impl<U> Replies<U> {
    /// As good as new, but for the memory that it has: room for so many.
    pub fn renew(&mut self) -> usize {
        let Replies { cycles, acks, trims, unanswered, done, .. } = mem::take(self);
        *self = Replies { cycles, acks, trims, unanswered, done, ..Replies::default() };
        self.cycles.clear();
        self.acks.clear();
        self.trims.clear();
        self.unanswered.clear();
        self.done.clear();
        self.cycles.capacity().max(self.acks.capacity()).max(self.done.capacity())
    }

    /// Nothing is owed.
    pub fn is_quiet(&self) -> bool {
        self.cycles.is_empty() && self.rest == 0
    }

    /// The client waits for an answer.
    pub fn owes_client(&self) -> bool {
        self.cycles.iter().any(|cycle| cycle.relay)
    }

    /// Part of a frame has been handled and the rest has not come yet.
    pub fn is_mid_frame(&self) -> bool {
        self.rest > 0
    }

    /// Cycles begun and not yet answered.
    pub fn cycles(&self) -> usize {
        self.cycles.len()
    }

    /// An extended cycle has begun and its Sync has not been sent.
    pub fn is_open(&self) -> bool {
        self.cycles.back().is_some_and(|cycle| !cycle.closed)
    }

    /// The cycles before the open one are not answered, or that has not failed
    /// and not answered all Parse and Close messages.
    pub fn is_due(&self) -> bool {
        self.rest > 0 || self.cycles.len() > 1 || (!self.has_failed() && !self.acks.is_empty())
    }

    /// The cycle that is answered now has failed.
    pub fn has_failed(&self) -> bool {
        self.cycles.front().is_some_and(|cycle| cycle.failed)
    }

    /// Cycles whose Query or Sync has been sent.
    pub fn closed_cycles(&self) -> usize {
        self.cycles.iter().filter(|cycle| cycle.closed).count()
    }

    /// From here on tells of complete commands, too.
    pub fn watch(&mut self) {
        self.watched = true;
    }

    /// From here on tells of notifications instead of relaying them. Those
    /// between answers of ours, which are dropped, it tells of anyway.
    pub fn catch_notifications(&mut self) {
        self.catches = true;
    }

    /// A Query or FunctionCall was sent.
    pub fn query(&mut self, relay: bool) {
        self.cycles.push_back(Cycle { relay, ..Cycle::query() });
    }

    /// A Query or FunctionCall of the client's was sent. In an open cycle it
    /// takes the place of the Sync.
    pub fn query_or_join(&mut self) {
        match self.cycles.back_mut() {
            Some(open) if !open.closed => (open.closed, open.extended) = (true, false),
            _ => self.query(true),
        }
    }

    /// A Query of ours was sent, and we want its rows.
    pub fn ask(&mut self) {
        self.cycles.push_back(Cycle { relay: false, asks: true, ..Cycle::query() });
    }

    /// A message of the extended protocol was, or will be, sent.
    pub fn extended(&mut self, relay: bool) {
        if !self.is_open() {
            self.cycles.push_back(Cycle { relay, extended: true, closed: false, ..Cycle::query() });
        }
    }

    /// A Sync was sent.
    pub fn sync(&mut self, relay: bool) {
        self.extended(relay);
        if let Some(cycle) = self.cycles.back_mut() {
            cycle.closed = true;
        }
    }

    /// A Sync of ours was sent in the middle of the client's cycle: its
    /// answers are relayed, its ReadyForQuery is not.
    pub fn sync_unseen(&mut self) {
        self.extended(true);
        if let Some(cycle) = self.cycles.back_mut() {
            cycle.closed = true;
            cycle.ready_unseen = true;
        }
    }

    /// The client has sent CopyDone, or CopyFail, so many times, and is not asked
    /// for data.
    pub fn copy_ends(&mut self, times: usize) {
        if let Some(cycle) = self.cycles.back_mut() {
            cycle.copies_ended += times;
            cycle.behind_sync |= times > 0 && cycle.closed;
        }
    }

    /// A Parse or Close was sent; `relay`: the client sees its answer.
    pub fn ack(&mut self, relay: bool, undo: Option<U>) {
        if let Some(cycle) = self.cycles.back_mut() {
            cycle.acks += 1;
            self.acks.push_back(Ack { relay, as_parse: false, undo });
        }
    }

    /// A Close was sent in place of a Parse, because the statement is there:
    /// see [`Event::Parsed`].
    pub fn ack_as_parse(&mut self, undo: Option<U>) {
        if let Some(cycle) = self.cycles.back_mut() {
            cycle.acks += 1;
            self.acks.push_back(Ack { relay: false, as_parse: true, undo });
        }
    }

    /// A Describe of a statement was sent. `keep`: the client is to see the first
    /// of its parameters alone.
    pub fn describe(&mut self, keep: Option<usize>) {
        let number = self.answered + self.cycles.len().saturating_sub(1) as u64;
        if let Some(cycle) = self.cycles.back_mut() {
            let place = cycle.describes;
            cycle.describes += 1;
            self.trims.extend(keep.map(|keep| Trim { cycle: number, place, keep }));
        }
    }

    /// How the description that comes next is to be trimmed.
    fn trim(&mut self) -> Option<usize> {
        let place = self.cycles.front()?.described;
        let next = self.trims.front().filter(|trim| trim.cycle == self.answered && trim.place == place);
        next.map(|trim| trim.keep)
    }

    /// What must be undone because a cycle failed before it was answered, the
    /// newest first. To be asked after each [`Event::Ready`].
    pub fn take_unanswered(&mut self) -> impl Iterator<Item = U> + '_ {
        self.unanswered.drain(..).rev()
    }

    /// The connection is gone: what must be undone of all cycles that are not
    /// over, the newest first. A server that is told to end says so behind what
    /// it has answered, and before the cycle's end.
    pub fn abandon(self) -> impl Iterator<Item = U> {
        let unanswered = self.acks.into_iter().rev().filter_map(|ack| ack.undo);
        unanswered.chain(self.done.into_iter().rev())
    }

    fn acked(&mut self) -> Option<Ack<U>> {
        let cycle = self.cycles.front_mut()?;
        cycle.acks = cycle.acks.checked_sub(1)?;
        let mut ack = self.acks.pop_front()?;
        self.done.extend(ack.undo.take());
        Some(ack)
    }

    /// Looks at the head of the bytes that were read.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scan, FrameError> {
        let mut relay_end = 0;
        let mut at = 0;
        let mut scan = Scan { relay: 0, skip: 0, event: None, wants: None, answers: false };
        loop {
            let relay = self.cycles.front().is_none_or(|cycle| cycle.relay);
            if self.rest > 0 {
                scan.answers |= relay && !self.preliminary;
                let taken = self.rest.min(bytes.len() - at);
                self.rest -= taken;
                at += taken;
                if relay {
                    relay_end = at;
                }
                if self.rest > 0 || !relay {
                    break;
                }
                continue;
            }
            let Some(frame) = Frame::from_server(&bytes[at..])? else {
                break;
            };
            let whole = bytes.len() - at >= frame.len;
            let trim = if frame.tag == b't' { self.trim() } else { None };
            match frame.tag {
                b'Z' | b'E' | b'S' | b'G' | b'W' if !whole => {
                    scan.wants = Some(frame.len);
                    break;
                }
                b'Z' | b'E' | b'S' | b'G' | b'W' => {
                    let body = &bytes[at + HEADER_LEN..at + frame.len];
                    scan.answers |= relay && frame.tag != b'S';
                    // Asynchronous messages are the client's even between cycles.
                    let hidden =
                        frame.tag == b'Z' && self.cycles.front().is_some_and(|cycle| cycle.ready_unseen);
                    let event = self.event(frame.tag, body, relay, hidden)?;
                    at += frame.len;
                    if relay && !hidden {
                        relay_end = at;
                    }
                    scan.event = Some((event, frame.len));
                    break;
                }
                b'C' | b'I' | b's' if self.watched && relay => {
                    if !whole {
                        scan.wants = Some(frame.len);
                        break;
                    }
                    let rows = rows_of(&bytes[at + HEADER_LEN..at + frame.len]);
                    at += frame.len;
                    relay_end = at;
                    scan.answers = true;
                    scan.event = Some((Event::Complete { rows }, frame.len));
                    break;
                }
                b'A' if self.catches || !relay => {
                    if whole {
                        at += frame.len;
                        scan.event = Some((Event::Notification, frame.len));
                    } else {
                        scan.wants = Some(frame.len);
                    }
                    break;
                }
                b'D' if self.cycles.front().is_some_and(|cycle| cycle.asks) => {
                    if whole {
                        at += frame.len;
                        scan.event = Some((Event::Row, frame.len));
                    } else {
                        scan.wants = Some(frame.len);
                    }
                    break;
                }
                b't' if trim.is_some() && !whole => {
                    scan.wants = Some(frame.len);
                    break;
                }
                b't' if trim.is_some() => {
                    self.was_described();
                    self.trims.pop_front();
                    at += frame.len;
                    scan.event = trim.map(|keep| (Event::Described { keep }, frame.len));
                    break;
                }
                b'1' | b'3' => {
                    let ack = self.acked();
                    let shown = ack.as_ref().is_none_or(|ack| ack.relay) && relay;
                    if !whole {
                        // Five bytes without a body: `from_server` saw them all.
                        return Err(FrameError::InvalidLength);
                    }
                    at += frame.len;
                    if relay && ack.is_some_and(|ack| ack.as_parse) {
                        scan.event = Some((Event::Parsed, frame.len));
                        break;
                    }
                    if !shown {
                        break;
                    }
                    relay_end = at;
                }
                _ => {
                    if frame.tag == b't' {
                        self.was_described();
                    }
                    // Rows and the rest pass by unread.
                    self.rest = frame.len;
                    self.preliminary = matches!(frame.tag, b'N' | b'A' | b'2' | b'T' | b'n' | b't');
                    continue;
                }
            }
            if !relay {
                break;
            }
        }
        scan.relay = relay_end;
        scan.skip = at - relay_end;
        Ok(scan)
    }

    fn was_described(&mut self) {
        if let Some(cycle) = self.cycles.front_mut() {
            cycle.described += 1;
        }
    }

    fn event(&mut self, tag: u8, body: &[u8], relay: bool, hidden: bool) -> Result<Event, FrameError> {
        Ok(match tag {
            b'Z' => {
                let status = body.first().copied().and_then(TransactionStatus::from_byte);
                let status = status.ok_or(FrameError::InvalidLength)?;
                if let Some(cycle) = self.cycles.pop_front() {
                    let left = self.acks.drain(..cycle.acks);
                    self.unanswered.extend(left.filter_map(|ack| ack.undo));
                    self.done.clear();
                    let number = self.answered;
                    self.trims.retain(|trim| trim.cycle != number);
                    self.answered += 1;
                }
                if hidden { Event::Closed { status } } else { Event::Ready { status, relay } }
            }
            b'E' => {
                if let Some(cycle) = self.cycles.front_mut() {
                    cycle.failed = true;
                }
                Event::Error { relay }
            }
            b'S' => Event::Parameter,
            _ => Event::CopyIn { ended: self.copy_in_began() },
        })
    }

    /// The server reads COPY data now, and with it swallows every message
    /// that was sent behind the Execute, Syncs included: the cycle is open
    /// again until the client sends the next Sync. If the end of the data has
    /// been sent before the Sync, there is nothing to swallow.
    fn copy_in_began(&mut self) -> bool {
        let Some(front) = self.cycles.front_mut() else {
            return false;
        };
        let ended = front.copies_ended > 0;
        front.copies_ended -= usize::from(ended);
        if front.extended && (front.behind_sync || !ended) {
            front.closed = false;
            front.acks = self.acks.len();
            // Those sent behind the Execute are swallowed, too.
            front.describes = front.described;
            self.trims.clear();
            self.cycles.truncate(1);
        }
        ended
    }
}

/// The number at the end of a command tag: "INSERT 0 5", "SELECT 3".
fn rows_of(tag: &[u8]) -> u64 {
    let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
    let digits = tag.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
