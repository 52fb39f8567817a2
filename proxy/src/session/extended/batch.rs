//! What the client has sent up to the next Sync or Flush, what it is, and
//! what it asks of a server.

use super::super::buffers;
use super::super::link::Servers;
use super::super::links::LinkError;
use super::super::prepared::Statement;
use super::super::{End, Session};
use super::values::{edited, takes_no_parameters};
use crate::net::Inbox;
use crate::plugin::contract::{Kind, Transaction as Told, Verdict};
use crate::plugin::{Mark, Words};
use crate::protocol::frontend::{Bind, Named, Parse, behind_name, execute_portal};
use crate::protocol::{Frame, HEADER_LEN, PgError};
use crate::routing::values::Filled;
use crate::routing::{self, CLASSIFY_LIMIT, Classified, Route, Sent, SessionState};
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

/// A batch without Sync or Flush is sent when it is this long.
const BATCH_LIMIT: usize = 64 * 1024;

/// One message of a batch: its type and its frame in the inbox.
#[derive(Debug, Clone)]
pub struct Message {
    pub tag: u8,
    pub frame: Range<usize>,
}

/// The messages to the next Sync or Flush.
#[derive(Debug, Default)]
pub struct Batch {
    pub messages: Vec<Message>,
    /// What the Parse messages of the batch are, in their order.
    pub parsed: Vec<Rc<Classified>>,
    /// Where its last message ends; behind the inbox if that one is long.
    pub end: usize,
    /// A rewriter wants to put values into something of it, see
    /// [`values`](super::values).
    pub(super) may_need_values: bool,
    /// Those of its Binds, by where they begin.
    pub(in crate::session) filled: Vec<(usize, Vec<Filled>)>,
}

impl Batch {
    /// So many messages it holds without more memory.
    pub(in crate::session) fn capacity(&self) -> usize {
        self.messages.capacity().max(self.parsed.capacity())
    }

    pub(in crate::session) fn clear(&mut self) {
        self.messages.clear();
        self.parsed.clear();
        self.filled.clear();
        self.may_need_values = false;
    }

    /// Leaves what stands behind this message for later.
    pub(super) fn cut_behind(&mut self, at: usize) {
        self.end = self.messages[at].frame.end;
        self.messages.truncate(at + 1);
    }
}

/// What the messages of a batch ask of a server.
#[derive(Debug, Default)]
pub struct Needs {
    pub(super) primary: bool,
    pub(super) all: bool,
    pub(super) home: Option<usize>,
    pub(super) read: Option<usize>,
    /// A portal of an earlier batch is there.
    pub(super) portal: Option<usize>,
    /// A statement only described is there.
    pub(super) described: Servers,
    /// The COMMIT, ROLLBACK or ROLLBACK TO among them.
    pub(super) ends: Option<Kind>,
    /// DEALLOCATE of a statement that was prepared there.
    pub(super) deallocates: Option<usize>,
    /// BEGIN is among them.
    pub(super) begins: bool,
    /// LISTEN is, or something that may.
    pub(super) listens: bool,
}

impl Session {
    /// Collects the batch at the head of the inbox. `false`: it is incomplete.
    pub(super) fn read_batch(&mut self) -> Result<bool, End> {
        buffers::renew(&mut self.batch);
        let bytes = self.client.inbox.bytes();
        let mut at = 0;
        let mut complete = false;
        while !complete {
            let frame = match Frame::from_client(&bytes[at..]) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                // It is refused when its turn comes, behind what stands before it.
                Err(_) => {
                    complete = true;
                    break;
                }
            };
            if !matches!(frame.tag, b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S') {
                complete = true;
                break;
            }
            if at + frame.len > bytes.len() {
                // A long Bind or Parse passes through; its head must be here.
                let long = at == 0
                    && !self.fans_out()
                    && frame.len > CLASSIFY_LIMIT
                    && bytes.len() > HEADER_LEN + 512;
                if long {
                    self.batch.messages.push(Message { tag: frame.tag, frame: 0..frame.len });
                    at = frame.len;
                    complete = true;
                } else if at == 0 {
                    let wanted = if self.fans_out() { frame.len } else { frame.len.min(CLASSIFY_LIMIT) };
                    self.client.inbox.reserve(wanted);
                    return Ok(false);
                } else {
                    // What stands before a long message goes first, without it.
                    complete = frame.len > CLASSIFY_LIMIT && !self.fans_out();
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

    /// Cuts the batch behind the BEGIN that it starts with, so that the reads
    /// behind it can go to another server.
    pub(super) fn keep_begin_alone(&mut self) -> bool {
        let messages = &self.batch.messages;
        let Some(execute) = messages.iter().position(|message| message.tag == b'E') else {
            return false;
        };
        let first = messages[..execute].iter().position(|message| message.tag == b'B');
        let bound = first.and_then(|at| Bind::read(self.message_body(&messages[at])).map(|bind| (at, bind)));
        let begins = bound.and_then(|(at, bind)| self.bound(at, bind.statement));
        if begins.is_none_or(|classified| classified.verdict().kind != Kind::Begin) {
            return false;
        }
        self.batch.cut_behind(execute);
        true
    }

    /// The part of a message that lies in the inbox, without its header.
    pub(in super::super) fn message_body(&self, message: &Message) -> &[u8] {
        body_of(&self.client.inbox, message)
    }

    /// Asks about the texts of the batch's Parse messages, and about prepared
    /// statements whose answer holds no longer.
    pub(super) async fn classify_batch(&mut self) -> Result<(), LinkError> {
        for at in 0..self.batch.messages.len() {
            let message = self.batch.messages[at].clone();
            match message.tag {
                b'P' => {
                    let classified = self.classify_parse(&message).await.map_err(LinkError::Statement)?;
                    self.batch.may_need_values |=
                        classified.has_gaps() || self.executed_gaps(classified.verdict()).is_some();
                    self.batch.parsed.push(classified);
                }
                b'B' => self.classify_bound(at, &message).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// See [`Session::look_up_here`].
    pub(super) async fn look_up_batch(&mut self) -> Result<(), LinkError> {
        if !self.has_own_catalog() {
            return Ok(());
        }
        let texts = self.batch.messages.iter().filter_map(|message| {
            let body = self.message_body(message);
            let parse = match message.tag {
                b'P' => Parse::read(body)?,
                b'B' => Parse::read(&self.prepared.get(Bind::read(body)?.statement)?.asked()[HEADER_LEN..])?,
                _ => return None,
            };
            Some(parse.text.to_vec())
        });
        for text in texts.collect::<Vec<_>>() {
            Box::pin(self.look_up_here(&text)).await?;
        }
        Ok(())
    }

    async fn classify_parse(&self, message: &Message) -> Result<Rc<Classified>, PgError> {
        if message.frame.len() > self.classify_limit() {
            return self.too_long();
        }
        let parse = Parse::read(self.message_body(message)).ok_or_else(malformed)?;
        self.classify_text(parse.text).await
    }

    async fn classify_text(&self, text: &[u8]) -> Result<Rc<Classified>, PgError> {
        let found = self.worker.router.borrow_mut().lookup(text, &self.scope);
        let classified = match found {
            Some(found) => found,
            None => Box::pin(routing::classify(&self.worker.router, text, &self.scope)).await?,
        };
        let refused = match &classified.sent {
            Sent::AsIs => return Ok(classified),
            Sent::Edited(_) if !classified.has_gaps() => return Ok(classified),
            Sent::Edited(_) => match takes_no_parameters(&classified, text) {
                Some(refused) => refused,
                None => return Ok(classified),
            },
            Sent::Refused(refusal) => routing::refused(refusal),
        };
        if self.scope.chain.observed {
            self.watch_refused(Instant::now(), classified.verdict(), &refused);
        }
        Err(refused)
    }

    /// A Bind of a statement prepared earlier, whose answer may hold no longer:
    /// the plugins are asked again, and it is prepared anew if they want another
    /// text now.
    async fn classify_bound(&mut self, at: usize, message: &Message) -> Result<(), LinkError> {
        let Some(name) = Bind::read(self.message_body(message)).map(|bind| bind.statement) else {
            return Ok(());
        };
        let may_need_values = self.may_need_values(name);
        let Some(statement) = self.prepared.get(name).cloned() else {
            self.batch.may_need_values |= may_need_values;
            return Ok(());
        };
        let executes = statement.classified.borrow().clone();
        if executes.verdict().kind != Kind::Execute
            && self.worker.router.borrow().holds(&executes, &self.scope)
        {
            self.batch.may_need_values |= may_need_values;
            return Ok(());
        }
        let name = name.to_vec();
        self.batch.may_need_values |= may_need_values;
        Box::pin(self.classify_outdated(at, &name, statement, executes)).await
    }

    /// The same for one that is EXECUTE, or was asked about before something
    /// changed.
    async fn classify_outdated(
        &mut self,
        at: usize,
        name: &[u8],
        statement: Rc<Statement>,
        executes: Rc<Classified>,
    ) -> Result<(), LinkError> {
        self.classify_executed(&executes).await?;
        let here = |message: &Message| {
            message.tag == b'P'
                && Parse::read(self.message_body(message)).is_some_and(|parse| parse.statement == name)
        };
        let holds = self.worker.router.borrow().holds(&statement.classified.borrow(), &self.scope);
        if holds
            || statement.asked().len() > self.classify_limit()
            || self.batch.messages[..at].iter().any(here)
        {
            return Ok(());
        }
        let body = &statement.asked()[HEADER_LEN..];
        let Some(parse) = Parse::read(body) else {
            return Ok(());
        };
        let classified = self.classify_text(parse.text).await.map_err(LinkError::Statement)?;
        self.batch.may_need_values |= classified.has_gaps();
        let edited = edited(&classified, body, parse);
        let wanted = edited.as_deref().unwrap_or(statement.asked());
        // A shared one has another name on the servers.
        let text = |frame: &[u8]| behind_name(&frame[HEADER_LEN..]).map(<[u8]>::to_vec);
        if text(wanted) == text(statement.parse()) {
            *statement.classified.borrow_mut() = classified;
        } else {
            let statement = match statement.as_shared() {
                Some(_) => self.share(statement.asked(), edited.as_deref(), classified),
                None => Statement::new(statement.asked(), edited, classified, 0),
            };
            self.prepared.replace(name, statement);
        }
        Ok(())
    }

    /// What a Bind will run: a statement of this batch, or an earlier one.
    pub(in super::super) fn bound(&self, at: usize, name: &[u8]) -> Option<Rc<Classified>> {
        let mut parsed = self.batch.messages[..at].iter().filter(|message| message.tag == b'P').count();
        for message in self.batch.messages[..at].iter().rev().filter(|message| message.tag == b'P') {
            parsed -= 1;
            let parse = Parse::read(self.message_body(message));
            if parse.is_some_and(|parse| parse.statement == name) {
                return self.batch.parsed.get(parsed).cloned();
            }
        }
        let prepared = self.prepared.get(name).map(|statement| statement.classified.borrow().clone());
        prepared.or_else(|| self.prepared.sql_named(name).map(|statement| statement.classified.clone()))
    }

    /// Asks the balancers about everything that the batch runs. `mark`: what
    /// they remembered before.
    pub(in super::super) async fn batch_needs(&self, mark: Mark) -> Result<(Needs, SessionState), LinkError> {
        let mut needs = Needs::default();
        let mut state = self.state();
        match self.route_batch(&mut needs, &mut state).await {
            Ok(()) => Ok((needs, state)),
            Err(error) => {
                // Those before the refused one do not run either.
                self.unroute(state, mark);
                Err(error)
            }
        }
    }

    async fn route_batch(&self, needs: &mut Needs, state: &mut SessionState) -> Result<(), LinkError> {
        let binds = self.batch.messages.iter().any(|message| message.tag == b'B');
        for (at, message) in self.batch.messages.iter().enumerate() {
            let body = self.message_body(message);
            match message.tag {
                b'B' => {
                    let bind = Bind::read(body).ok_or_else(|| LinkError::Statement(malformed()))?;
                    match self.bound(at, bind.statement) {
                        Some(classified) => self.route_bind(classified, needs, state).await?,
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
                        let by_sql = self.prepared.sql_named(name).map_or(0, |statement| statement.on);
                        needs.described |=
                            self.prepared.get(name).map_or(by_sql, |statement| statement.on.get());
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
            self.route_parsed(needs, *state).await?;
        }
        Ok(())
    }

    async fn route_bind(
        &self,
        classified: Rc<Classified>,
        needs: &mut Needs,
        state: &mut SessionState,
    ) -> Result<(), LinkError> {
        let began = self.scope.chain.observed.then(Instant::now);
        let what = self.executed(classified);
        let verdict = what.verdict();
        self.check_mode(verdict).map_err(LinkError::Statement)?;
        let route = routing::route(&self.worker.router, &self.scope, verdict, *state, &self.words).await;
        if let (Some(began), Err(error)) = (began, &route) {
            self.watch_refused(began, verdict, error);
        }
        let (route, after) = route.map_err(LinkError::Statement)?;
        needs.deallocates = needs.deallocates.or(self.prepared_first(verdict));
        needs.add(route);
        needs.note(verdict.kind);
        needs.listens |= self.may_listen(verdict);
        *state = SessionState { transaction: follow(after.transaction, verdict), ..after };
        if state.transaction == Told::Idle {
            state.end_transaction();
        }
        Ok(())
    }

    /// Statements that are only prepared for now go where they would run, and
    /// what the balancers remember of it is forgotten.
    async fn route_parsed(&self, needs: &mut Needs, state: SessionState) -> Result<(), LinkError> {
        let (router, scope) = (&self.worker.router, &self.scope);
        for classified in &self.batch.parsed {
            let words = Words::default();
            let mark = words.mark();
            let route = routing::route(router, scope, classified.verdict(), state, &words);
            let (route, after) = route.await.map_err(LinkError::Statement)?;
            router.borrow_mut().unroute(scope, &state, &after, &words, mark);
            needs.add(route);
            needs.listens |= self.may_listen(classified.verdict());
        }
        Ok(())
    }
}

/// What the transaction is after a statement, if that succeeds: the statements
/// behind it are sent without waiting for its answer.
fn follow(before: Told, verdict: &Verdict) -> Told {
    match (verdict.kind, before) {
        (Kind::Begin, Told::Idle) => Told::Open,
        (Kind::RollbackTo, Told::Failed) => Told::Open,
        (Kind::Commit | Kind::Rollback | Kind::PrepareTransaction, _) => Told::Idle,
        (_, before) => before,
    }
}

/// The part of a message that lies in the inbox.
pub(super) fn frame_of<'a>(inbox: &'a Inbox, message: &Message) -> &'a [u8] {
    let bytes = inbox.bytes();
    &bytes[message.frame.start..message.frame.end.min(bytes.len())]
}

pub(super) fn body_of<'a>(inbox: &'a Inbox, message: &Message) -> &'a [u8] {
    &frame_of(inbox, message)[HEADER_LEN..]
}

impl Needs {
    /// The kind that matters for where the batch goes.
    pub(super) fn kind(&self) -> Kind {
        match self.begins {
            true => Kind::Begin,
            false => self.ends.unwrap_or(Kind::Unknown),
        }
    }

    /// BEGIN, and then reads only.
    pub(super) fn begins_to_read(&self) -> bool {
        self.begins && self.read.is_some() && !self.primary
    }

    fn note(&mut self, kind: Kind) {
        match kind {
            Kind::Begin => self.begins = true,
            Kind::Commit | Kind::Rollback | Kind::RollbackTo => self.ends = Some(kind),
            _ => {}
        }
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
    PgError::error("08P01", "invalid string in message")
}
