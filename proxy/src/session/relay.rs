//! Waiting for bytes from either side, and the servers' answers on their way
//! to the client.

use super::buffers;
use super::clock::Doing;
use super::link::{Link, bit};
use super::prepared::Undo;
use super::{End, Session};
use crate::pool::statements::PREFIX;
use crate::protocol::backend::{
    PARSE_COMPLETE, TransactionStatus, fewer_parameters, parse_parameter_status, ready_for_query,
};
use crate::protocol::error::ErrorFields;
use crate::protocol::replies::{Event, Replies, Scan};
use crate::protocol::{HEADER_LEN, PgError};
use crate::routing::Classified;
use std::borrow::Cow;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A ReadyForQuery
const READY_LEN: usize = HEADER_LEN + 1;

impl Session {
    /// Moves bytes until something happened that the main loop should see:
    /// new bytes of the client, the end of an answer, a lost server.
    pub(super) async fn wait(&mut self) -> Result<(), End> {
        let doing = match (self.is_busy(), self.transaction.status) {
            (true, _) => Doing::Query,
            (false, TransactionStatus::Idle) => Doing::Idle,
            (false, _) => Doing::IdleInTransaction,
        };
        self.clock.note(doing, &self.worker.clocks);
        let moved = poll_fn(|cx| self.poll_progress(cx)).await;
        let Some(exceeded) = self.clock.exceeded() else {
            return moved;
        };
        // What the client asked for is of no use any more.
        // Boxed, as it is rare and this waits everywhere.
        Box::pin(self.worker.proxy.cancels.cancel(self.cancel.pid, self.cancel.key())).await;
        Err(End::Fatal(exceeded.error()))
    }

    pub(super) fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.progress = false;
        if self.clock.is_exceeded(cx) {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.poll_flush_client(cx)?;
            for id in 0..self.links.len() {
                self.poll_link(id, cx)?;
            }
            self.poll_heard(cx)?;
            // The answers may have filled the client's socket. They were sent
            // without this task's waker: it must be flushed with it before
            // the task may sleep, and if that succeeds there is more to relay.
            if self.client.outbox.is_empty() || !self.poll_flush_client(cx)? {
                break;
            }
        }
        self.poll_client(cx)?;
        if self.progress { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Writes what is pending to the client; whether that emptied it.
    pub(super) fn poll_flush_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.client.outbox.is_empty() {
            return Ok(false);
        }
        let client = &mut self.client;
        match client.outbox.poll_flush(cx, &mut client.stream) {
            Poll::Ready(Ok(())) => {
                self.progress = true;
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(End::Client),
            Poll::Pending => Ok(false),
        }
    }

    /// Reads from the client, unless what it sent before has not left yet.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let stuck = self.links.iter_mut().any(|(_, link)| !link.conn.outbox.is_empty());
        if stuck || self.blocked || !self.client.outbox.is_empty() {
            return Ok(());
        }
        let client = &mut self.client;
        match client.inbox.poll_fill(cx, &mut client.stream) {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => Err(End::Client),
            Poll::Ready(Ok(_)) => {
                self.progress = true;
                Ok(())
            }
            Poll::Pending => Ok(()),
        }
    }

    /// Ready when no server owes anything.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for id in 0..self.links.len() {
            if self.poll_link(id, cx).is_err() {
                return Poll::Ready(());
            }
        }
        let owing = |(_, link): (usize, &mut Link)| !link.replies.is_quiet() || !link.conn.outbox.is_empty();
        if self.links.iter_mut().any(owing) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Writes what is pending to a server and reads what it has sent, as long
    /// as the client takes it.
    fn poll_link(&mut self, id: usize, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            let slow_client = !self.client.outbox.is_empty();
            let Some(link) = self.links.get_mut(id) else {
                return Ok(());
            };
            if !link.conn.outbox.is_empty()
                && let Poll::Ready(Err(error)) = link.poll_flush(cx)
            {
                return self.lost(id, &error.to_string());
            }
            if slow_client {
                return Ok(());
            }
            match link.conn.inbox.poll_fill(cx, &mut link.conn.stream) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return self.lost(id, "the server closed the connection"),
                Poll::Ready(Ok(_)) => self.relay(id)?,
                Poll::Ready(Err(error)) => return self.lost(id, &error.to_string()),
            }
        }
    }

    /// Handles the bytes read from a server.
    fn relay(&mut self, id: usize) -> Result<(), End> {
        loop {
            // What a server says without being asked is for the client if it
            // comes from the primary (notices, notifications), else not.
            let heard = id == self.lead || self.primary() == Some(id);
            let reads = id == self.lead && self.primary() != Some(id);
            let Some(link) = self.links.get_mut(id) else {
                return Ok(());
            };
            let unasked = link.replies.is_quiet();
            let bytes = link.conn.inbox.bytes();
            let mut scan = match link.replies.scan(bytes) {
                Ok(scan) => scan,
                Err(error) => return self.lost(id, &format!("protocol violation: {error}")),
            };
            let end = scan.relay + scan.skip;
            let mut relayed = &bytes[..scan.relay];
            if heard && is_the_clients(&scan, bytes) {
                let sent = self.client.send(&self.held).and_then(|()| self.client.send(relayed));
                self.links.take(id);
                return Err(sent.map_or(End::Client, |()| End::Server));
            }
            if let Some(fatal) = fatal_error(&scan, bytes) {
                // The client hears of it in our words, or not at all.
                return self.lost(id, &fatal);
            }
            if id == self.lead && self.sharing.is_on() && is_outdated(&scan, bytes) {
                let alone = !link.relayed && link.replies.cycles() == 1 && !self.retry.is_empty();
                // All are prepared anew from now on.
                self.worker.proxy.statements.outdated();
                if alone && self.transaction.status == TransactionStatus::Idle && !self.healed {
                    self.healed = true;
                    return self.refused_read(id);
                }
            }
            if reads && self.fanout.is_none() && needs_primary(&scan, bytes) {
                let alone = !link.relayed && link.replies.cycles() == 1 && !self.retry.is_empty();
                correct(&self.reading, self.answered + 1);
                if alone {
                    return self.refused_read(id);
                }
            }
            if unasked && !heard {
                relayed = &[];
            }
            let ready = match scan.event {
                Some((Event::Ready { status, relay: true }, _)) if id == self.lead => Some(status),
                _ => None,
            };
            let committed = match ready {
                Some(TransactionStatus::Idle) => true,
                // COMMIT AND CHAIN
                Some(TransactionStatus::Open) => self.transaction.commits(),
                Some(TransactionStatus::Failed) | None => false,
            };
            // The last answer of a pipeline brings the position of them all.
            let learns = match link.replies.is_quiet() {
                true => ready.filter(|status| {
                    let listening = self.listening.as_ref().filter(|_| !reads);
                    self.positions.must_be_known(committed)
                        || listening.is_some_and(|listening| listening.is_due(*status))
                }),
                false => {
                    self.positions.goes_on(committed);
                    None
                }
            };
            if learns.is_some() {
                relayed = &relayed[..relayed.len() - READY_LEN];
            }
            let stands_in: Cow<[u8]> = match scan.event {
                Some((Event::Parsed, _)) => Cow::Borrowed(&PARSE_COMPLETE),
                Some((Event::Described { keep }, len)) => {
                    let mut fewer = Vec::new();
                    fewer_parameters(&mut fewer, &bytes[end - len + HEADER_LEN..end], keep);
                    Cow::Owned(fewer)
                }
                _ => Cow::Borrowed(&[]),
            };
            link.relayed |= scan.answers;
            // As long as a read can be sent elsewhere, the client hears nothing
            // that would have to be said twice.
            let waits = !link.relayed && id == self.lead && !self.retry.is_empty() && !link.replies.is_open();
            if waits {
                buffers::fill(&mut self.held, relayed);
            } else if !relayed.is_empty() {
                let sent = self.client.send(&self.held).and_then(|()| self.client.send(relayed));
                self.held.clear();
                if sent.is_err() {
                    return Err(End::Client);
                }
            }
            if !stands_in.is_empty() {
                // Behind what is held, if anything is.
                match waits || !self.held.is_empty() {
                    true => buffers::fill(&mut self.held, &stands_in),
                    false => self.client.send(&stands_in).map_err(|_| End::Client)?,
                }
            }
            if let Some((Event::Notification, len)) = &scan.event {
                let message = &bytes[end - len..end];
                let hears = match &self.listening {
                    Some(listening) => listening.hears_here(message),
                    None => !self.sharing.is_on(),
                };
                if heard && hears {
                    self.notices.extend_from_slice(message);
                }
            }
            let failed = match &scan.event {
                Some((Event::Error { relay: true }, len)) if id == self.lead && !self.watched.is_empty() => {
                    let body = &bytes[end - len + HEADER_LEN..end];
                    Some(ErrorFields::parse(body).sqlstate.to_owned())
                }
                _ => None,
            };
            let parameter = match &scan.event {
                Some((Event::Parameter, len)) => Some(bytes[end - len + HEADER_LEN..end].to_vec()),
                _ => None,
            };
            if let Some(body) = &parameter {
                if let Some(("application_name", name)) = parse_parameter_status(body) {
                    self.member.set_application_name(name);
                }
                link.conn.note_parameter(body);
            }
            let shown = parameter.filter(|_| heard);
            let own = match &scan.event {
                Some((Event::Row | Event::Error { relay: false }, len)) => {
                    Some(link.conn.inbox.bytes()[end - len + HEADER_LEN..end].to_vec())
                }
                _ => None,
            };
            link.conn.inbox.consume(end);
            if let Some(len) = scan.wants {
                link.conn.inbox.reserve(len);
            }
            let between = !link.replies.is_mid_frame();
            let done = link.conn.inbox.is_empty() || (end == 0 && scan.event.is_none());
            if let Some(sqlstate) = failed {
                self.watched_failed(&sqlstate);
            }
            if let Some((name, value)) = shown.as_deref().and_then(parse_parameter_status) {
                self.parameter_shown(name, value);
            }
            match (&scan.event, own) {
                (Some((Event::Row, _)), Some(body)) => self.on_own_row(id, &body),
                (Some((Event::Error { .. }, _)), Some(body)) if self.on_values_failed(id, &body) => {
                    scan.event = None;
                }
                _ => {}
            }
            if let Some((event, _)) = scan.event {
                match learns {
                    Some(status) => self.hold_ready(id, status),
                    None => self.on_event(id, event)?,
                }
            }
            if between && !self.notices.is_empty() {
                self.send_notices()?;
            }
            if done {
                return Ok(());
            }
        }
    }

    /// A row that the proxy itself has asked for.
    fn on_own_row(&mut self, id: usize, body: &[u8]) {
        if !self.on_values(id, body)
            && let Some(value) = only_value(body)
            && !self.on_pins(value)
            && !self.on_channel(value)
        {
            self.on_position(id, value);
        }
    }

    fn on_event(&mut self, id: usize, event: Event) -> Result<(), End> {
        let Some(link) = self.links.get_mut(id) else {
            return Ok(());
        };
        match event {
            Event::Ready { status, relay } => {
                link.conn.status = status;
                link.relayed = false;
                let sent = link.conn.inbox.take_read();
                match relay {
                    true => {
                        let received = self.client.inbox.take_read();
                        link.conn.meter.answered(status, link.replies.owes_client(), received, sent);
                    }
                    false if status == TransactionStatus::Idle => link.conn.meter.ended_unseen(),
                    false => {}
                }
                self.answered += usize::from(relay);
                let unanswered: Vec<_> = link.replies.take_unanswered().collect();
                self.undo(id, unanswered);
                if relay {
                    self.clock.answered(status == TransactionStatus::Idle, &self.worker.clocks);
                    self.watched_ready(self.answered);
                }
                if !relay {
                    self.progress = true;
                    return if id == self.lead { self.release_ready() } else { Ok(()) };
                }
                if self.is_busy() {
                    // A pipeline: there is more to come.
                    self.progress = true;
                    self.transaction.status = status;
                    return Ok(());
                }
                self.cancel.set_running(0);
                self.copying = false;
                self.on_ready(status)
            }
            Event::Closed { status } => {
                link.conn.status = status;
                let unanswered: Vec<_> = link.replies.take_unanswered().collect();
                self.undo(id, unanswered);
                // Whether it failed is still to be asked.
                let failed = self.transaction.failed;
                self.on_ready(status)?;
                self.transaction.failed = failed;
                Ok(())
            }
            Event::Error { relay: true } => {
                self.transaction.failed = true;
                self.copying = false;
                Ok(())
            }
            Event::Error { relay: false } => {
                link.failed_unseen = true;
                Ok(())
            }
            Event::CopyIn { ended } => {
                // The server has swallowed the Sync behind the Execute.
                if link.replies.is_open() {
                    self.cycle.reopen();
                }
                // Unless the client has sent all its data ahead.
                self.copying = !ended;
                self.progress = true;
                Ok(())
            }
            Event::Complete { rows } => {
                if id == self.lead {
                    self.watched_complete(rows);
                }
                Ok(())
            }
            Event::Parameter | Event::Row | Event::Parsed | Event::Notification | Event::Described { .. } => {
                Ok(())
            }
        }
    }

    /// Messages to a server were not answered: what they were to do is undone.
    pub(super) fn undo(&mut self, id: usize, unanswered: Vec<Undo>) {
        for undo in unanswered {
            if let Some(on) = undo.in_doubt()
                && let Some(link) = self.links.get_mut(id)
            {
                link.conn.state.statements.doubt(&on.shared);
            }
            self.prepared.undo(undo);
        }
    }

    /// A server connection is gone. The session survives it if nothing is
    /// lost with it that the client would miss.
    pub(super) fn lost(&mut self, id: usize, why: &str) -> Result<(), End> {
        if id == self.lead {
            self.release_ready()?;
        }
        let is_primary = self.primary() == Some(id);
        let Some(link) = self.links.take(id) else {
            return Ok(());
        };
        self.member.gave_up(link.conn.meter.server.id);
        self.progress = true;
        self.prepared.forget_server(id);
        self.cancel.forget(id);
        self.worker.proxy.cluster.report_failure(id, why);
        let answering = id == self.lead && link.replies.owes_client();
        if answering && link.replies.is_mid_frame() {
            // The client waits for the rest of a message: nothing can be said.
            tracing::warn!(backend = id, "connection lost in the middle of an answer: {why}");
            return Err(End::Server);
        }
        let in_transaction = self.transaction.status != TransactionStatus::Idle;
        let backend = &link.backend;
        let gone = format!("the connection to backend {id} ({}) was lost: {why}", backend.address());
        // Where a transaction failed is where the client must end it.
        let failed_there = link.conn.status == TransactionStatus::Failed;
        let needed = answering || failed_there;
        let repeats = answering && !link.relayed && link.replies.cycles() == 1 && !self.retry.is_empty();
        let replaced =
            !failed_there && (!answering || (repeats && !self.heals)) && self.survives_loss(id, why);
        if replaced {
            // All the others have what it had.
        } else if (is_primary && (needed || in_transaction || self.sticky)) || (needed && in_transaction) {
            let error = PgError::fatal("08006", gone);
            return Err(End::Fatal(if in_transaction || answering {
                error.with_detail("Whether the statement or transaction under way took effect is not known.")
            } else {
                error.with_detail("The session had state on that server which cannot be rebuilt.")
            }));
        }
        let may_repeat = !self.retry.is_empty() && !self.heals;
        if answering && !link.relayed && link.replies.cycles() == 1 && may_repeat {
            tracing::debug!(backend = id, "the read under way is sent to another server");
            self.send_again(*link.replies);
            return Ok(());
        }
        if answering {
            return self.answer_for_lost(&gone, link.replies.closed_cycles(), link.replies.is_open());
        }
        Ok(())
    }

    /// A standby refused the read under way, as a write for instance. The client
    /// has not heard of it. The connection is given up, and with it what has failed
    /// there; in a transaction, reads stay with the primary until its end.
    fn refused_read(&mut self, id: usize) -> Result<(), End> {
        if let Some(link) = self.links.take(id) {
            self.member.gave_up(link.conn.meter.server.id);
            self.prepared.forget_server(id);
            self.cancel.forget(id);
            self.progress = true;
            self.send_again(*link.replies);
        }
        Ok(())
    }

    /// A read that its server did not answer: the client's messages are taken
    /// again, and go to another server now that more is known of this one.
    fn send_again(&mut self, replies: Replies<Undo>) {
        // The connection is gone, with all that is in doubt on it.
        for undo in replies.abandon() {
            self.prepared.undo(undo);
        }
        self.held.clear();
        self.watched.clear();
        self.pending.clear();
        self.reading.clear();
        if let Some(listening) = &mut self.listening {
            listening.forget_connection();
        }
        (self.sent, self.answered, self.ahead) = (0, 0, None);
        self.transaction.failed = false;
        self.cycle.clear();
        self.cancel.set_running(0);
        self.client.inbox.put_back(&self.retry);
        self.retry.clear();
    }

    /// Ends the answers which a lost standby owed to the client.
    fn answer_for_lost(&mut self, gone: &str, closed: usize, open: bool) -> Result<(), End> {
        let error = PgError::error("08006", gone)
            .with_hint("It was only reading: the statement can be sent again, and goes to another server.");
        let mut out = std::mem::take(&mut self.held);
        for _ in 0..closed {
            error.write(&mut out);
            ready_for_query(&mut out, TransactionStatus::Idle);
        }
        if open {
            error.write(&mut out);
        }
        self.pending.clear();
        self.watched.clear();
        self.cancel.set_running(0);
        self.cycle.lost(open);
        self.answer(&out)
    }

    /// Answers are due from here on.
    pub(super) fn now_running(&mut self, lead: usize, others: super::link::Servers) {
        self.lead = lead;
        self.cancel.set_running(bit(lead) | others);
        if let Some(link) = self.links.get_mut(lead) {
            link.conn.meter.sent(&self.member);
        }
        self.member.set_prepared(self.prepared.named());
    }
}

/// The body of a DataRow of one column.
fn only_value(body: &[u8]) -> Option<&[u8]> {
    let (length, value) = body.get(2..)?.split_first_chunk()?;
    value.get(..usize::try_from(i32::from_be_bytes(*length)).ok()?)
}

/// The statements of this cycle have to run on the primary from now on.
fn correct(reading: &[(usize, Rc<Classified>)], cycle: usize) {
    for (_, classified) in reading.iter().filter(|(of, _)| *of == cycle) {
        tracing::debug!(reason = classified.verdict().reason, "refused by a standby: it is for the primary");
        classified.correct();
    }
}

/// An error that another server need not have: it writes (25006), it asks what
/// only a primary can answer (55000), or it reads an unlogged table, for which
/// there is no SQLSTATE of its own.
fn needs_primary(scan: &Scan, bytes: &[u8]) -> bool {
    let Some(fields) = client_error(scan, bytes) else {
        return false;
    };
    match fields.sqlstate {
        "25006" | "55000" => true,
        "0A000" => fields.routine == "get_relation_info",
        _ => false,
    }
}

/// A shared statement is not what it was when it was prepared, or not there.
fn is_outdated(scan: &Scan, bytes: &[u8]) -> bool {
    let Some(fields) = client_error(scan, bytes) else {
        return false;
    };
    match fields.sqlstate {
        "0A000" => fields.routine == "RevalidateCachedQuery",
        "26000" => fields.message.as_bytes().windows(PREFIX.len()).any(|part| part == PREFIX),
        _ => false,
    }
}

/// An error that ends the connection and tells of something that the client has
/// done or not done: it broke the protocol (08P01), it left a transaction idle
/// (25P03) or open (25P04) for too long.
fn is_the_clients(scan: &Scan, bytes: &[u8]) -> bool {
    let Some(fields) = client_error(scan, bytes) else {
        return false;
    };
    fields.ends_connection() && matches!(fields.sqlstate, "08P01" | "25P03" | "25P04")
}

/// The error that the client is about to be told, if it is one.
fn client_error<'a>(scan: &Scan, bytes: &'a [u8]) -> Option<ErrorFields<'a>> {
    let Some((Event::Error { relay: true }, len)) = &scan.event else {
        return None;
    };
    let end = scan.relay + scan.skip;
    Some(ErrorFields::parse(&bytes[end - len + HEADER_LEN..end]))
}

/// The words of an error after which the server closes the connection.
fn fatal_error(scan: &Scan, bytes: &[u8]) -> Option<String> {
    let Some((Event::Error { .. }, len)) = &scan.event else {
        return None;
    };
    let end = scan.relay + scan.skip;
    let fields = ErrorFields::parse(&bytes[end - len + HEADER_LEN..end]);
    fields.ends_connection().then(|| format!("{} (SQLSTATE {})", fields.message, fields.sqlstate))
}
