//! One client's life, from its login to its end.
//!
//! A session is one task. It takes the client's messages one after another,
//! asks [`routing`](crate::routing) where each goes, sends it there as it came,
//! and relays the answer:
//!
//! - [`login`]: everything before the first query
//! - [`query`]: the simple protocol; [`extended`]: the extended one
//! - [`relay`]: waiting, and the servers' bytes on their way to the client
//! - [`links`]: the session's server connections
//! - [`transaction`], [`settings`], [`prepared`]: what the client's session is,
//!   wherever it runs
//! - [`replication`]: connections that are passed through as they are
//! - [`values`]: what is put into a statement when it is sent
//! - `observe`: what observers are told
//! - `sharing`: pool modes transaction and statement; `listening`: LISTEN in them
//! - `fanout`: native replication, every write on every server
//! - [`cancel`]: cancel requests
//! - `buffers`, `spared`: what a session that waits does not keep
//! - [`clock`]: limits in time

mod buffers;
pub mod cancel;
pub mod clock;
pub mod extended;
mod fanout;
pub mod greeting;
pub mod link;
pub mod links;
mod listening;
pub mod login;
mod observe;
mod per_node;
pub mod positions;
pub mod prepared;
pub mod query;
pub mod relay;
pub mod replication;
pub mod server_rules;
pub mod settings;
mod sharing;
mod spared;
#[cfg(test)]
mod tests;
pub mod transaction;
pub mod values;

use crate::auth::server::Credentials;
use crate::census::Member;
use crate::net::{Inbox, Outbox, Stream};
use crate::plugin::Words;
use crate::plugin::contract::Transaction as Told;
use crate::pool::Identity;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::{Frame, FrameError, HEADER_LEN, PgError};
use crate::routing::{Classified, Scope, SessionState};
use crate::worker::Worker;
use links::Links;
use prepared::Prepared;
use settings::Settings;
use sharing::Sharing;
use spared::Spared;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use transaction::Transaction;

/// A longer read is not kept to be sent again.
const RETRY_LIMIT: usize = 64 * 1024;

/// The client's side of a session.
#[derive(Debug)]
pub struct Client {
    pub stream: Stream,
    pub inbox: Inbox,
    pub outbox: Outbox,
}

impl Client {
    /// Sends at once what the socket takes; the rest with the next flush.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut cx = Context::from_waker(Waker::noop());
        self.outbox.send(&mut cx, &mut self.stream, bytes)
    }
}

/// How a session ends.
#[derive(Debug)]
pub enum End {
    /// The client said goodbye, or is gone.
    Client,
    /// We end it, and say why.
    Fatal(PgError),
    /// A server has ended it; the client has its words already.
    Server,
}

/// What a message led to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is done; take the next one.
    Next,
    /// It, or the rest of it, has to wait for bytes.
    Wait,
}

/// A session that has logged in.
pub struct Session {
    client: Client,
    worker: Rc<Worker>,
    scope: Rc<Scope>,
    identity: Arc<Identity>,
    credentials: Credentials,
    links: Links,
    /// The server whose answers the client sees, while any are due.
    lead: usize,
    cycle: extended::Cycle,
    transaction: Transaction,
    settings: Settings,
    sharing: Sharing,
    /// Of a client that shares, and listens.
    listening: Option<Box<listening::Listening>>,
    prepared: Prepared,
    /// What becomes true when the statements under way succeed.
    pending: Vec<transaction::After>,
    /// The balancer's memories, and the server for this session's reads.
    state: SessionState,
    /// The primary's connection has state that cannot be rebuilt elsewhere.
    sticky: bool,
    cancel: cancel::Handle,
    clock: Rc<clock::Clock>,
    /// Its entry among the clients.
    member: Member,
    /// Its login is among those of a server connection, the first it has.
    login_counted: bool,
    /// Bytes still to come of a client's message that is being passed on.
    passing: usize,
    /// The lead reads COPY data.
    copying: bool,
    /// A whole message lies in the inbox and waits for the answers due.
    blocked: bool,
    /// Something happened that the main loop should look at.
    progress: bool,
    /// What the balancer keeps until the transaction is over.
    words: Words,
    /// The read under way on a standby, to be sent elsewhere if that dies or
    /// refuses it.
    retry: Vec<u8>,
    /// Those may write: they are sent again only if none of them has begun.
    heals: bool,
    /// They have been.
    healed: bool,
    /// What the statements under way on a standby are, each with its cycle.
    reading: Vec<(usize, Rc<Classified>)>,
    /// The client's ReadyForQuery waits until the commit's position is known.
    ready_held: Option<TransactionStatus>,
    /// Cycles sent, and answered, since nothing was under way.
    sent: usize,
    answered: usize,
    /// What the transaction will be when everything under way has succeeded.
    ahead: Option<Told>,
    /// What a standby must have replayed before it is read from.
    positions: positions::Positions,
    /// Values that a server is asked for, to be put into a statement.
    asked: Option<Box<values::Asked>>,
    /// Statements under way that observers want to hear of.
    watched: observe::Watched,
    /// Notices of ours that wait for the end of a server's message.
    notices: Vec<u8>,
    /// The beginning of its answer, kept from the client as long as it can be.
    held: Vec<u8>,
    /// Of the extended protocol.
    batch: extended::Batch,
    /// Its part in native replication, if that is what the proxy does.
    fanout: Option<Box<fanout::Fanout>>,
}

impl Session {
    /// Takes messages until the session ends.
    async fn run(&mut self) -> Result<(), End> {
        loop {
            // Boxed, so that a session that waits is small: most do.
            if self.may_give_back() {
                Spared::new(self.give_back()).await;
            }
            self.blocked = false;
            if !self.client.inbox.is_empty() {
                Spared::new(self.take_messages()).await?;
            }
            self.lay_down_buffers();
            self.wait().await?;
        }
    }

    async fn take_messages(&mut self) -> Result<(), End> {
        while self.take_message().await? == Step::Next {}
        Ok(())
    }

    /// Handles the message at the head of the inbox, if it may be handled now.
    async fn take_message(&mut self) -> Result<Step, End> {
        self.blocked = false;
        if !self.client.outbox.is_empty() {
            // It does not read what it has: nothing more is done for it, or
            // answers of our own would pile up here.
            return Ok(Step::Wait);
        }
        if self.passing > 0 {
            return self.pass_on();
        }
        let frame = match Frame::from_client(self.client.inbox.bytes()) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(Step::Wait),
            Err(error) => return self.on_bad_frame(error).await,
        };
        match frame.tag {
            b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'F' | b'X' if self.copying && self.is_busy() => {
                // It does not belong here: the server says so.
                self.copying = false;
                self.pass_whole(frame)
            }
            // PostgreSQL ignores them while it reads COPY data.
            b'H' | b'S' if self.copying && self.is_busy() => self.ignore(frame),
            b'Q' | b'F' if self.cycle.skips() => self.drop_whole(frame),
            b'Q' | b'F' if self.cycle.is_open() => self.close_cycle(frame).await,
            b'Q' => self.on_query(frame).await,
            b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' => self.on_extended(frame).await,
            b'd' | b'c' | b'f' => self.on_copy(),
            b'F' => self.on_function_call(frame).await,
            // As PostgreSQL: first what was asked for, then the goodbye.
            b'X' if self.is_busy() && !self.copying && !self.cycle.is_open() => self.block(),
            b'X' => Err(End::Client),
            // A password after the login.
            tag => Err(End::Fatal(PgError::fatal("08P01", format!("invalid frontend message type {tag}")))),
        }
    }

    /// Bytes that are no message of a client's: it hears what it asked for
    /// before them, and then the error.
    async fn on_bad_frame(&mut self, error: FrameError) -> Result<Step, End> {
        if self.copying
            && self.is_busy()
            && let FrameError::UnknownType(_) = error
            && let Ok(Some(frame)) = Frame::from_server(self.client.inbox.bytes())
        {
            self.copying = false;
            return self.pass_whole(frame);
        }
        if self.cycle.is_open() {
            self.flush_early().await?;
        } else if self.is_busy() {
            return self.block();
        }
        Err(End::Fatal(PgError::fatal("08P01", error.to_string())))
    }

    /// Answers are due.
    fn is_busy(&self) -> bool {
        self.ready_held.is_some() || self.links.get(self.lead).is_some_and(|link| link.replies.owes_client())
    }

    /// The message waits until the answers due have come.
    fn block(&mut self) -> Result<Step, End> {
        self.blocked = true;
        Ok(Step::Wait)
    }

    /// Whether the message at the head of the inbox lies there whole; makes
    /// room for it if not.
    fn is_whole(&mut self, frame: Frame) -> bool {
        let whole = self.client.inbox.len() >= frame.len;
        if !whole {
            self.client.inbox.reserve(frame.len);
        }
        whole
    }

    /// Sends a message to the lead as it is, however much of it is here.
    fn pass_whole(&mut self, frame: Frame) -> Result<Step, End> {
        let here = frame.len.min(self.client.inbox.len());
        self.passing = frame.len - here;
        self.forward(here)?;
        Ok(Step::Next)
    }

    /// Drops a short message, once it is here.
    fn ignore(&mut self, frame: Frame) -> Result<Step, End> {
        if !self.is_whole(frame) {
            return Ok(Step::Wait);
        }
        self.client.inbox.consume(frame.len);
        Ok(Step::Next)
    }

    /// Drops a message, however much of it is here.
    fn drop_whole(&mut self, frame: Frame) -> Result<Step, End> {
        self.lead = usize::MAX;
        self.pass_whole(frame)
    }

    /// Sends the rest of a long message to where its head went.
    fn pass_on(&mut self) -> Result<Step, End> {
        let count = self.passing.min(self.client.inbox.len());
        if count == 0 {
            return Ok(Step::Wait);
        }
        self.passing -= count;
        self.forward(count)?;
        Ok(Step::Next)
    }

    /// Sends the first `count` bytes of the inbox to the lead, if it is there.
    fn forward(&mut self, count: usize) -> Result<(), End> {
        let sent = match self.links.get_mut(self.lead) {
            Some(link) => link.send(&self.client.inbox.bytes()[..count]),
            None => Ok(()),
        };
        self.client.inbox.consume(count);
        sent.or_else(|error| self.lost(self.lead, &error.to_string()))
    }

    /// COPY data: for the server that is reading it. PostgreSQL ignores what
    /// comes at any other time, as a client may learn late that its COPY failed.
    fn on_copy(&mut self) -> Result<Step, End> {
        let bytes = self.client.inbox.bytes();
        let mut count = 0;
        // So many ends of COPY data come before the server has asked for any.
        let mut ends = 0;
        while let Ok(Some(frame)) = Frame::from_client(&bytes[count..])
            && matches!(frame.tag, b'd' | b'c' | b'f')
        {
            count += frame.len;
            ends += usize::from(frame.tag != b'd' && !self.copying);
            self.copying &= frame.tag == b'd';
            if count > bytes.len() {
                break;
            }
        }
        let here = count.min(bytes.len());
        self.passing = count - here;
        if self.is_busy() {
            if let Some(link) = self.links.get_mut(self.lead) {
                link.replies.copy_ends(ends);
            }
            self.forward(here)?;
        } else {
            // Nobody reads it: `forward` drops the rest too.
            self.client.inbox.consume(here);
            self.lead = usize::MAX;
        }
        Ok(Step::Next)
    }

    /// Keeps the first `count` bytes of the inbox, about to be sent, if they
    /// are a read on a standby that could as well be sent to another server; or
    /// if they bind statements that may prove to be outdated.
    fn remember_read(&mut self, count: usize, others: link::Servers, binds: bool) {
        self.retry.clear();
        let reads = self.transaction.status != TransactionStatus::Failed && self.primary() != Some(self.lead);
        self.heals = !reads && binds && !self.healed;
        if others == 0 && (reads || self.heals) && self.passing == 0 && count <= RETRY_LIMIT {
            buffers::fill(&mut self.retry, &self.client.inbox.bytes()[..count]);
        }
    }

    /// Tells the client of an error of ours.
    fn answer_error(&mut self, error: &PgError) -> Result<(), End> {
        let mut out = Vec::with_capacity(128);
        error.write(&mut out);
        self.answer(&out)
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.client.send(bytes).map_err(|_| End::Client)
    }

    /// The body of the frame at the head of the inbox, as far as it is here.
    fn body(&self, frame: Frame) -> &[u8] {
        let bytes = self.client.inbox.bytes();
        &bytes[HEADER_LEN.min(bytes.len())..frame.len.min(bytes.len())]
    }
}
