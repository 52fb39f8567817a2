//! The extended protocol: Parse, Bind, Describe, Execute, Close, Flush, Sync.
//!
//! Messages are handled in batches, to the next Sync or Flush: the whole batch
//! is looked at first, then it goes to one server in one write. That server,
//! the cycle's lead, stays the same until the Sync, unless the client flushes
//! a read and then writes in the same cycle.

use super::link::{Link, Servers, bit};
use super::links::{Destination, LinkError};
use super::prepared::{Portal, Statement, Undo};
use super::query::{begins_for_primary, goes_to_all, refusal_error};
use super::{End, Session, Step};
use crate::net::Inbox;
use crate::plugin::contract::{Kind, Plan};
use crate::protocol::backend::{TransactionStatus, ready_for_query};
use crate::protocol::frontend::{Bind, Named, Parse, execute_portal};
use crate::protocol::{Frame, HEADER_LEN, PgError, frontend};
use crate::routing::{self, CLASSIFY_LIMIT, Classified, Route, SessionState};
use std::ops::Range;
use std::rc::Rc;

/// A batch without Sync or Flush is sent when it is this long.
const BATCH_LIMIT: usize = 64 * 1024;

/// The messages since the last Sync.
#[derive(Debug, Default)]
pub struct Cycle {
    /// Some have been sent.
    open: bool,
    /// Servers other than the lead that got some of them.
    others: Servers,
    /// It has failed here, not on a server: the rest to Sync is dropped.
    skip: bool,
}

impl Cycle {
    pub fn clear(&mut self) {
        *self = Cycle::default();
    }

    /// The lead is lost and the client knows. `open`: it owes a Sync.
    pub fn lost(&mut self, open: bool) {
        *self = Cycle { skip: open, ..Cycle::default() };
    }
}

/// One message of a batch: its type and its frame in the inbox.
#[derive(Debug, Clone)]
struct Message {
    tag: u8,
    frame: Range<usize>,
}

/// The messages to the next Sync or Flush.
#[derive(Debug, Default)]
pub struct Batch {
    messages: Vec<Message>,
    /// What the Parse messages of the batch are, in their order.
    parsed: Vec<Rc<Classified>>,
    /// Where its last message ends; behind the inbox if that one is long.
    end: usize,
}

/// What the messages of a batch ask of a server.
#[derive(Debug, Default)]
struct Needs {
    primary: bool,
    all: bool,
    home: Option<usize>,
    read: Option<usize>,
    /// A portal of an earlier batch is there.
    portal: Option<usize>,
    /// A statement only described is there.
    described: Servers,
    /// ROLLBACK TO is among them.
    rolls_back_to: bool,
}

impl Session {
    pub(super) async fn on_extended(&mut self, frame: Frame) -> Result<Step, End> {
        if self.cycle.skip {
            return self.skip_to_sync(frame);
        }
        if !self.cycle.open && matches!(frame.tag, b'S' | b'H') {
            return self.on_bare(frame);
        }
        if !self.read_batch()? {
            return Ok(Step::Wait);
        }
        match self.run_batch().await {
            Ok(step) => Ok(step),
            Err(LinkError::End(end)) => Err(end),
            Err(LinkError::Statement(error)) => {
                self.transaction.failed = true;
                self.answer_error(&error)?;
                self.cycle.skip = true;
                Ok(Step::Next)
            }
        }
    }

    /// After an error of ours: what PostgreSQL does after one of its own.
    fn skip_to_sync(&mut self, frame: Frame) -> Result<Step, End> {
        if self.is_busy() {
            return self.block();
        }
        let here = frame.len.min(self.client.inbox.len());
        self.passing = frame.len - here;
        self.lead = if self.passing > 0 { usize::MAX } else { self.lead };
        self.client.inbox.consume(here);
        if frame.tag != b'S' {
            return Ok(Step::Next);
        }
        self.cycle.clear();
        self.pending.clear();
        self.transaction.failed = false;
        self.answer_ready()
    }

    /// A Sync without anything before it is answered here; a Flush has
    /// nothing to flush.
    fn on_bare(&mut self, frame: Frame) -> Result<Step, End> {
        if self.is_busy() {
            return self.block();
        }
        if !self.is_whole(frame) {
            return Ok(Step::Wait);
        }
        self.client.inbox.consume(frame.len);
        if frame.tag == b'S' { self.answer_ready() } else { Ok(Step::Next) }
    }

    fn answer_ready(&mut self) -> Result<Step, End> {
        let mut out = Vec::with_capacity(6);
        ready_for_query(&mut out, self.transaction.status);
        self.answer(&out)?;
        Ok(Step::Next)
    }

    /// Collects the batch at the head of the inbox. `false`: it is incomplete.
    fn read_batch(&mut self) -> Result<bool, End> {
        self.batch.messages.clear();
        self.batch.parsed.clear();
        let bytes = self.client.inbox.bytes();
        let mut at = 0;
        let mut complete = false;
        while !complete {
            let frame = match Frame::from_client(&bytes[at..]) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                // It is refused when its turn comes.
                Err(_) => break,
            };
            if !matches!(frame.tag, b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S') {
                complete = true;
                break;
            }
            if at + frame.len > bytes.len() {
                // A long Bind or Parse passes through; its head must be here.
                let long = at == 0 && frame.len > CLASSIFY_LIMIT && bytes.len() > HEADER_LEN + 512;
                if long {
                    self.batch.messages.push(Message { tag: frame.tag, frame: 0..frame.len });
                    at = frame.len;
                    complete = true;
                } else if at == 0 {
                    let wanted = frame.len.min(CLASSIFY_LIMIT);
                    self.client.inbox.reserve(wanted);
                    return Ok(false);
                } else {
                    // What stands before a long message goes first, without it.
                    complete = frame.len > CLASSIFY_LIMIT;
                }
                break;
            }
            self.batch.messages.push(Message { tag: frame.tag, frame: at..at + frame.len });
            at += frame.len;
            complete = matches!(frame.tag, b'S' | b'H');
        }
        self.batch.end = at;
        let full = at >= BATCH_LIMIT;
        Ok((complete || full) && !self.batch.messages.is_empty())
    }

    /// The part of a message that lies in the inbox, without its header.
    fn message_body(&self, message: &Message) -> &[u8] {
        body_of(&self.client.inbox, message)
    }

    async fn run_batch(&mut self) -> Result<Step, LinkError> {
        self.classify_batch().await?;
        let (needs, state) = self.batch_needs()?;
        if self.cycle.open {
            self.continue_cycle(&needs).await?;
        } else {
            let Some(to) = self.begin_cycle(&needs).await? else {
                return Ok(self.block()?);
            };
            self.cycle = Cycle { open: true, others: to.others, skip: false };
            self.now_running(to.lead, to.others);
        }
        self.state = state;
        self.send_batch()?;
        Ok(Step::Next)
    }

    /// Asks about the texts of the batch's Parse messages, and about prepared
    /// statements whose answer holds no longer.
    async fn classify_batch(&mut self) -> Result<(), LinkError> {
        for at in 0..self.batch.messages.len() {
            let message = self.batch.messages[at].clone();
            match message.tag {
                b'P' => {
                    let classified = self.classify_parse(&message).await.map_err(LinkError::Statement)?;
                    self.batch.parsed.push(classified);
                }
                b'B' => {
                    let statement = Bind::read(self.message_body(&message))
                        .and_then(|bind| self.prepared.get(bind.statement))
                        .cloned();
                    if let Some(statement) = statement {
                        self.classify_again(&statement).await.map_err(LinkError::Statement)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn classify_parse(&self, message: &Message) -> Result<Rc<Classified>, PgError> {
        if message.frame.len() > CLASSIFY_LIMIT {
            return Ok(Classified::unseen("too long"));
        }
        let parse = Parse::read(self.message_body(message)).ok_or_else(malformed)?;
        let found = self.worker.router.borrow_mut().lookup(parse.text, &self.database);
        let classified = match found {
            Some(found) => found,
            None => routing::classify(&self.worker.router, parse.text, &self.database).await?,
        };
        match &classified.plan {
            Plan::Keep => Ok(classified),
            Plan::Reject(refusal) => Err(refusal_error(refusal)),
            Plan::Edit(_) => Err(PgError::error(
                "0A000",
                "a rewriter's edits are not applied in the extended protocol yet",
            )
            .with_hint("Send the statement by the simple protocol, or have the rewriter keep it.")),
        }
    }

    async fn classify_again(&self, statement: &Rc<Statement>) -> Result<(), PgError> {
        let holds = self.worker.router.borrow().holds(&statement.classified.borrow(), &self.database);
        if holds || statement.parse.len() > CLASSIFY_LIMIT {
            return Ok(());
        }
        let Some(parse) = Parse::read(&statement.parse[HEADER_LEN..]) else {
            return Ok(());
        };
        let found = self.worker.router.borrow_mut().lookup(parse.text, &self.database);
        let classified = match found {
            Some(found) => found,
            None => routing::classify(&self.worker.router, parse.text, &self.database).await?,
        };
        *statement.classified.borrow_mut() = classified;
        Ok(())
    }

    /// What a Bind will run: a statement of this batch, or an earlier one.
    fn bound(&self, at: usize, name: &[u8]) -> Option<Rc<Classified>> {
        let mut parsed = self.batch.messages[..at].iter().filter(|message| message.tag == b'P').count();
        for message in self.batch.messages[..at].iter().rev().filter(|message| message.tag == b'P') {
            parsed -= 1;
            let parse = Parse::read(self.message_body(message));
            if parse.is_some_and(|parse| parse.statement == name) {
                return self.batch.parsed.get(parsed).cloned();
            }
        }
        self.prepared.get(name).map(|statement| statement.classified.borrow().clone())
    }

    /// Asks the balancer about everything that the batch runs.
    fn batch_needs(&self) -> Result<(Needs, SessionState), LinkError> {
        let mut needs = Needs::default();
        let mut state = self.state();
        let mut router = self.worker.router.borrow_mut();
        let binds = self.batch.messages.iter().any(|message| message.tag == b'B');
        for (at, message) in self.batch.messages.iter().enumerate() {
            let body = self.message_body(message);
            match message.tag {
                b'B' => {
                    let bind = Bind::read(body).ok_or_else(|| LinkError::Statement(malformed()))?;
                    match self.bound(at, bind.statement) {
                        Some(classified) => {
                            let what = self.executed(classified);
                            let (route, after) =
                                router.route(&what.verdict, state).map_err(LinkError::Statement)?;
                            needs.add(route);
                            needs.rolls_back_to |= what.verdict.kind == Kind::RollbackTo;
                            state = after;
                        }
                        // The server says that there is no such statement.
                        None => needs.primary = true,
                    }
                }
                b'E' => {
                    let portal = execute_portal(body).and_then(|name| self.prepared.portal(name));
                    if let Some(portal) = portal.filter(|_| !binds) {
                        needs.portal = Some(portal.server);
                    }
                }
                b'D' => match Named::read(body) {
                    Some(Named::Statement(name)) => {
                        needs.described |= self.prepared.get(name).map_or(0, |statement| statement.on.get());
                    }
                    Some(Named::Portal(name)) if !binds => {
                        needs.portal = self.prepared.portal(name).map(|portal| portal.server);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        if !binds {
            // Only prepared for now: it goes where it would run, and what the
            // balancer remembers of it is forgotten.
            for classified in &self.batch.parsed {
                let (route, _) = router.route(&classified.verdict, state).map_err(LinkError::Statement)?;
                needs.add(route);
            }
        }
        Ok((needs, state))
    }

    /// Finds and connects the servers of a new cycle. `None`: it has to wait
    /// for answers that are due.
    async fn begin_cycle(&mut self, needs: &Needs) -> Result<Option<Destination>, LinkError> {
        let route = self.batch_route(needs);
        if self.is_busy() && !self.may_pipeline(route) {
            return Ok(None);
        }
        self.connect_route(route, needs.kind()).await.map(Some)
    }

    fn batch_route(&self, needs: &Needs) -> Route {
        match *needs {
            Needs { portal: Some(server), .. } if self.links.get(server).is_some() => {
                if self.primary() == Some(server) { Route::Primary } else { Route::Read(server) }
            }
            Needs { all: true, home, .. } => Route::All { home },
            Needs { primary: true, .. } => Route::Primary,
            Needs { read: Some(server), .. } => Route::Read(server),
            // Only described or closed: where it is, on the primary if it is there too.
            Needs { described, .. } => {
                let on = described & self.links.which(|_| true);
                let primary = self.primary().map_or(0, bit);
                if on == 0 || on & primary != 0 {
                    Route::Primary
                } else {
                    Route::Read(on.trailing_zeros() as usize)
                }
            }
        }
    }

    /// Whether a cycle may follow one that is not answered yet: to the same
    /// server, if nothing under way can change where it belongs. The primary
    /// is never wrong; a standby has been asked to read only, so far.
    fn may_pipeline(&self, route: Route) -> bool {
        let same = match route {
            Route::Primary => self.primary() == Some(self.lead),
            Route::Read(server) => server == self.lead,
            Route::All { .. } => false,
        };
        same && self.transaction.status != TransactionStatus::Failed
    }

    /// More messages of an open cycle. Its lead changes only if they need the
    /// primary and it is another server.
    async fn continue_cycle(&mut self, needs: &Needs) -> Result<(), LinkError> {
        let stays =
            self.primary() == Some(self.lead) || !(needs.primary || needs.all) || self.transaction.failed;
        if stays {
            return Ok(());
        }
        if let Some(link) = self.links.get_mut(self.lead) {
            link.replies.sync_unseen();
            frontend::sync(link.push());
            link.send(&[]).map_err(|error| End::Fatal(PgError::fatal("08006", error.to_string())))?;
        }
        self.drain_lead().await?;
        if self.cycle.skip || self.transaction.failed {
            self.cycle.skip = true;
            return Ok(());
        }
        let to = self.connect_route(Route::Primary, Kind::Unknown).await?;
        self.now_running(to.lead, self.cycle.others);
        Ok(())
    }

    async fn drain_lead(&mut self) -> Result<(), End> {
        while self.is_busy() {
            self.blocked = true;
            self.wait().await?;
        }
        self.blocked = false;
        Ok(())
    }

    /// Sends the batch: in one write, unless messages of ours come between.
    fn send_batch(&mut self) -> Result<(), End> {
        if self.cycle.skip {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let mut parsed = batch.parsed.iter();
        let mut sent_to = 0;
        let mut at = 0;
        let alone = self.links.get(self.lead).is_some_and(|link| link.replies.is_quiet());
        let whole = batch.messages.last().is_some_and(|last| last.tag == b'S');
        self.passing = 0;
        if alone && whole {
            self.remember_read(batch.end.min(self.client.inbox.len()), self.cycle.others);
        } else {
            self.retry.clear();
        }
        for message in &batch.messages {
            at = message.frame.end.min(self.client.inbox.len());
            let ours = self.before(message, &mut parsed);
            if !ours.is_empty()
                && let Some(link) = self.links.get_mut(self.lead)
            {
                let bytes = &self.client.inbox.bytes()[sent_to..message.frame.start];
                link.push().extend_from_slice(bytes);
                link.push().extend_from_slice(&ours);
                sent_to = message.frame.start;
            }
        }
        if let Some(link) = self.links.get_mut(self.lead)
            && let Err(error) = link.send(&self.client.inbox.bytes()[sent_to..at])
        {
            let why = error.to_string();
            self.lost(self.lead, &why)?;
        }
        self.passing = batch.end - at;
        self.client.inbox.consume(at);
        self.batch = batch;
        Ok(())
    }

    /// Books a message for the lead, sends copies to the others, and returns
    /// what must be sent to the lead before it.
    fn before<'a>(
        &mut self,
        message: &Message,
        parsed: &mut impl Iterator<Item = &'a Rc<Classified>>,
    ) -> Vec<u8> {
        let lead = self.lead;
        match message.tag {
            b'S' => {
                self.copy(message, self.cycle.others, |link| link.replies.sync(false));
                if let Some(link) = self.links.get_mut(lead) {
                    link.replies.sync(true);
                }
                self.cycle.clear();
                return Vec::new();
            }
            b'H' => return Vec::new(),
            _ => {}
        }
        if let Some(link) = self.links.get_mut(lead) {
            link.replies.extended(true);
        }
        // Checked by `batch_needs`; a malformed one is left to the server.
        match message.tag {
            b'P' => self.before_parse(message, parsed.next()),
            b'B' => self.before_bind(message),
            b'D' => self.before_describe(message),
            b'E' => {
                let portal =
                    execute_portal(self.message_body(message)).and_then(|name| self.prepared.portal(name));
                let copied = |portal: &Portal| {
                    goes_to_all(&portal.classified) && !begins_for_primary(&portal.classified)
                };
                if portal.is_some_and(copied) {
                    self.copy(message, self.cycle.others, |link| link.replies.extended(false));
                }
                Vec::new()
            }
            _ => self.before_close(message),
        }
    }

    fn before_parse(&mut self, message: &Message, classified: Option<&Rc<Classified>>) -> Vec<u8> {
        let (lead, others) = (self.lead, self.cycle.others);
        let frame = frame_of(&self.client.inbox, message);
        let Some(link) = self.links.get_mut(lead) else {
            return Vec::new();
        };
        let (Some(parse), Some(classified)) = (Parse::read(&frame[HEADER_LEN..]), classified) else {
            link.replies.ack(true, None);
            return Vec::new();
        };
        let mut ours = Vec::new();
        if self.prepared.take_stale(parse.statement, lead) {
            frontend::close_statement(&mut ours, parse.statement);
            link.replies.ack(false, None);
        }
        let undo = self.prepared.parse(parse.statement, frame, classified.clone(), lead);
        link.replies.ack(true, undo);
        if goes_to_all(classified) && !begins_for_primary(classified) {
            if let Some(statement) = self.prepared.get(parse.statement) {
                statement.on.set(statement.on.get() | others);
            }
            self.copy(message, others, |link| {
                link.replies.extended(false);
                link.replies.ack(false, None);
            });
        }
        ours
    }

    fn before_bind(&mut self, message: &Message) -> Vec<u8> {
        let (lead, mut ours) = (self.lead, Vec::new());
        let Some(bind) = Bind::read(body_of(&self.client.inbox, message)) else {
            return ours;
        };
        let Some(statement) = self.prepared.get(bind.statement).cloned() else {
            return ours;
        };
        let classified = statement.classified.borrow().clone();
        self.prepared.bind(bind.portal, Portal { server: lead, classified: classified.clone() });
        self.prepare_on(&statement, lead, &mut ours);
        if begins_for_primary(&classified) {
            let others = self.cycle.others;
            for (_, link) in self.links.iter_mut().filter(|(id, _)| others & bit(*id) != 0) {
                link.run_unseen("BEGIN");
            }
        } else if goes_to_all(&classified) {
            self.copy_bind(message, &statement);
        }
        if self.has_effects(&classified)
            && let Some(parse) = Parse::read(&statement.parse[HEADER_LEN..])
        {
            self.note(&classified, parse.text, bit(lead) | self.cycle.others);
        }
        self.make_sticky(&classified, lead);
        let what = self.executed(classified);
        self.count(&what, lead);
        ours
    }

    fn before_describe(&mut self, message: &Message) -> Vec<u8> {
        let mut ours = Vec::new();
        if let Some(Named::Statement(name)) = Named::read(body_of(&self.client.inbox, message))
            && let Some(statement) = self.prepared.get(name).cloned()
        {
            self.prepare_on(&statement, self.lead, &mut ours);
        }
        ours
    }

    fn before_close(&mut self, message: &Message) -> Vec<u8> {
        match Named::read(body_of(&self.client.inbox, message)) {
            Some(Named::Statement(name)) => self.prepared.close(name, self.lead),
            Some(Named::Portal(name)) => self.prepared.close_portal(name),
            None => {}
        }
        if let Some(link) = self.links.get_mut(self.lead) {
            link.replies.ack(true, None);
        }
        Vec::new()
    }

    /// Has a statement prepared on a server if it is not there: by the
    /// client's own Parse, whose answer the client does not see.
    fn prepare_on(&mut self, statement: &Rc<Statement>, server: usize, ours: &mut Vec<u8>) {
        if statement.on.get() & bit(server) != 0 {
            return;
        }
        let Some(parse) = Parse::read(&statement.parse[HEADER_LEN..]) else {
            return;
        };
        let stale = self.prepared.take_stale(parse.statement, server);
        let Some(link) = self.links.get_mut(server) else {
            return;
        };
        if stale {
            frontend::close_statement(ours, parse.statement);
            link.replies.ack(false, None);
        }
        ours.extend_from_slice(&statement.parse);
        link.replies.ack(false, Some(Undo::Prepare { statement: statement.clone(), server }));
        statement.on.set(statement.on.get() | bit(server));
    }

    /// Sends a message to these servers too; the client does not see the answers.
    fn copy(&mut self, message: &Message, servers: Servers, book: impl Fn(&mut Link)) {
        let frame = frame_of(&self.client.inbox, message);
        for (_, link) in self.links.iter_mut().filter(|(id, _)| servers & bit(*id) != 0) {
            link.push().extend_from_slice(frame);
            book(link);
        }
    }

    fn copy_bind(&mut self, message: &Message, statement: &Rc<Statement>) {
        let others = self.cycle.others;
        for id in (0..self.links.len()).filter(|id| others & bit(*id) != 0) {
            let mut ours = Vec::new();
            if let Some(link) = self.links.get_mut(id) {
                link.replies.extended(false);
            }
            self.prepare_on(statement, id, &mut ours);
            if let Some(link) = self.links.get_mut(id) {
                link.push().extend_from_slice(&ours);
            }
            self.copy(message, bit(id), |_| {});
        }
    }
}

/// The part of a message that lies in the inbox.
fn frame_of<'a>(inbox: &'a Inbox, message: &Message) -> &'a [u8] {
    let bytes = inbox.bytes();
    &bytes[message.frame.start..message.frame.end.min(bytes.len())]
}

fn body_of<'a>(inbox: &'a Inbox, message: &Message) -> &'a [u8] {
    &frame_of(inbox, message)[HEADER_LEN..]
}

impl Needs {
    /// The kind that matters for where the batch goes.
    fn kind(&self) -> Kind {
        if self.rolls_back_to { Kind::RollbackTo } else { Kind::Unknown }
    }

    fn add(&mut self, route: Route) {
        match route {
            Route::Primary => self.primary = true,
            Route::All { home } => {
                self.all = true;
                self.home = self.home.or(home);
            }
            Route::Read(server) => self.read = self.read.or(Some(server)),
        }
    }
}

fn malformed() -> PgError {
    PgError::error("08P01", "invalid message format")
}
