//! A batch of the extended protocol, made ready for several servers: what is sent,
//! what is to be known of it, and what servers need before it.

use super::super::Session;
use super::super::extended::{Message, edited};
use super::super::link::{Servers, bit};
use super::super::prepared::{Portal, Undo};
use super::main_of;
use super::plan::{Order, Plan, first_word, plan};
use crate::census::Counter;
use crate::fanout::Until;
use crate::plugin::contract::{Effects, Kind};
use crate::protocol::HEADER_LEN;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::frontend::{self, Bind, Named, Parse};
use crate::routing::Classified;
use std::rc::Rc;

/// A portal that nobody has: that its Close is answered tells that all is.
const MARK: &[u8] = b" waypool: answered ";

/// A batch on its way.
pub(super) struct Packed {
    pub(super) plan: Plan,
    /// The only statement that it runs.
    pub(super) kind: Option<Kind>,
    /// What the transaction is behind it, if it succeeds.
    pub(super) after: TransactionStatus,
    pub(super) until: Until,
    pub(super) text: String,
    /// See [`Unit::keeps`](super::unit::Unit::keeps).
    pub(super) keeps: Vec<Option<usize>>,
    pub(super) undo: Vec<(Vec<u8>, Option<Undo>)>,
}

impl Session {
    /// Takes the batch out of the inbox: what is sent, and what is to be known.
    pub(super) fn pack(&mut self, bytes: &mut Vec<u8>, servers: Servers) -> Packed {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch.filled = std::mem::take(&mut batch.filled);
        if !self.cycle.is_open() {
            self.sent += 1;
            self.now_running(main_of(servers), servers);
        }
        let mut status = match self.fan().in_cycle {
            true => self.fan().ahead,
            false => self.transaction.status,
        };
        let began = status;
        let mut packed = Packed {
            plan: Plan::default(),
            kind: None,
            after: status,
            until: Until::Ready,
            text: String::new(),
            keeps: Vec::new(),
            undo: Vec::new(),
        };
        let (mut plans, mut runs, mut closes, mut syncs) = (None, 0, 0, false);
        let mut parsed = batch.parsed.iter();
        let mut begins = false;
        for (at, message) in batch.messages.iter().enumerate() {
            match message.tag {
                b'P' => self.pack_parse(message, parsed.next(), bytes, servers, &mut packed),
                b'B' => {
                    let bound = self.pack_bind(&batch.messages, at, bytes, servers);
                    if let Some((classified, text)) = bound {
                        let what = self.executed(classified.clone());
                        let one = plan(what.verdict(), status, first_word(text.as_bytes()));
                        begins |= what.verdict().kind == Kind::Begin;
                        self.note_isolation(&classified);
                        status = follow(status, what.verdict().kind);
                        plans = Some(plans.map_or(one, |plans: Plan| plans.and(one)));
                        packed.kind = (runs == 0).then(|| classified.verdict().kind);
                        packed.text = text;
                        runs += 1;
                    }
                }
                b'D' => self.pack_describe(message, bytes, servers, &mut packed.keeps),
                b'C' => {
                    closes += 1;
                    match Named::read(self.message_body(message)) {
                        Some(Named::Statement(name)) => {
                            let name = name.to_vec();
                            self.close_everywhere(&name);
                        }
                        Some(Named::Portal(name)) => {
                            let name = name.to_vec();
                            self.prepared.close_portal(&name);
                        }
                        None => {}
                    }
                    bytes.extend_from_slice(self.frame(message));
                }
                b'S' => {
                    syncs = true;
                    bytes.extend_from_slice(self.frame(message));
                }
                b'H' => {}
                _ => bytes.extend_from_slice(self.frame(message)),
            }
        }
        packed.after = status;
        packed.plan = plans.unwrap_or(Plan { order: Order::MainFirst, several: true, ..Plan::default() });
        // Where the client begins its own, there is none of ours.
        packed.plan.internal &= began == TransactionStatus::Idle && !begins;
        if !syncs {
            frontend::close_portal(bytes, MARK);
            frontend::flush(bytes);
            packed.until = Until::Closes(closes + 1);
        }
        self.client.inbox.consume(batch.end.min(self.client.inbox.len()));
        self.batch = batch;
        packed
    }

    fn frame(&self, message: &Message) -> &[u8] {
        &self.client.inbox.bytes()[message.frame.clone()]
    }

    fn pack_parse(
        &mut self,
        message: &Message,
        classified: Option<&Rc<Classified>>,
        bytes: &mut Vec<u8>,
        servers: Servers,
        packed: &mut Packed,
    ) {
        let frame = self.frame(message).to_vec();
        let (Some(parse), Some(classified)) = (Parse::read(&frame[HEADER_LEN..]), classified) else {
            bytes.extend_from_slice(&frame);
            return;
        };
        for id in (0..self.links.len()).filter(|id| servers & bit(*id) != 0) {
            if self.prepared.take_stale(parse.statement, id) {
                let mut close = Vec::new();
                frontend::close_statement(&mut close, parse.statement);
                self.fan().prepare(id, &close);
            }
            if let Some(link) = self.links.get(id) {
                link.conn.meter.count(Counter::ServerParses);
            }
        }
        let edited = edited(classified, &frame[HEADER_LEN..], parse);
        let text = String::from_utf8_lossy(parse.text).into_owned();
        let undo = self.prepared.parse(
            parse.statement,
            &frame,
            edited.as_deref(),
            classified.clone(),
            main_of(servers),
        );
        if let Some(statement) = self.prepared.get(parse.statement) {
            statement.on.set(servers);
        }
        packed.undo.push((parse.statement.to_vec(), undo));
        bytes.extend_from_slice(edited.as_deref().unwrap_or(&frame));
        let _ = self.tell_nodes("Parse: ", text.as_bytes(), servers);
    }

    /// What a Bind runs, and its text.
    fn pack_bind(
        &mut self,
        messages: &[Message],
        at: usize,
        bytes: &mut Vec<u8>,
        servers: Servers,
    ) -> Option<(Rc<Classified>, String)> {
        let main = main_of(servers);
        let frame = self.frame(&messages[at]).to_vec();
        if !self.bind_filled(&messages[at], None, bytes) {
            bytes.extend_from_slice(&frame);
        }
        let bind = Bind::read(&frame[HEADER_LEN..])?;
        let is_here = messages[..at].iter().any(|message| {
            let parse = Parse::read(self.message_body(message)).filter(|_| message.tag == b'P');
            parse.is_some_and(|parse| parse.statement == bind.statement)
        });
        let Some(statement) = self.prepared.get(bind.statement).cloned() else {
            let statement = self.prepared.sql_named(bind.statement)?.clone();
            self.prepared
                .bind(bind.portal, Portal { server: main, classified: statement.classified.clone() });
            return Some((statement.classified, String::from_utf8_lossy(&statement.text).into_owned()));
        };
        if !is_here {
            if bind.statement.is_empty() {
                // Any Query of ours ahead of the unit drops it.
                statement.on.set(0);
            }
            self.prepare_everywhere(&statement, servers);
        }
        let classified = statement.classified.borrow().clone();
        self.prepared.bind(bind.portal, Portal { server: main, classified: classified.clone() });
        let text = Parse::read(&statement.parse()[HEADER_LEN..]).map(|parse| parse.text.to_vec());
        let text = text.unwrap_or_default();
        if self.has_effects(&classified) {
            self.note(&classified, &text, servers);
        }
        if classified.verdict().effects.contains(Effects::UNUSED_DATABASE) {
            self.worker.proxy.close_unused();
        }
        self.make_sticky(&classified, main);
        let what = self.executed(classified.clone());
        self.count_everywhere(&what, servers);
        self.watch_bind(main, what.verdict());
        let _ = self.tell_nodes("Execute: ", &text, servers);
        Some((classified, String::from_utf8_lossy(&text).into_owned()))
    }

    fn pack_describe(
        &mut self,
        message: &Message,
        bytes: &mut Vec<u8>,
        servers: Servers,
        keeps: &mut Vec<Option<usize>>,
    ) {
        let frame = self.frame(message).to_vec();
        bytes.extend_from_slice(&frame);
        let Some(Named::Statement(name)) = Named::read(&frame[HEADER_LEN..]) else {
            return;
        };
        keeps.push(self.own_parameters(name));
        if let Some(statement) = self.prepared.get(name).cloned() {
            self.prepare_everywhere(&statement, servers);
        }
    }

    /// Has a statement prepared where it is not.
    fn prepare_everywhere(&mut self, statement: &super::super::prepared::Statement, servers: Servers) {
        let missing = servers & !statement.on.get();
        let Some(parse) = Parse::read(&statement.parse()[HEADER_LEN..]) else {
            return;
        };
        for id in (0..self.links.len()).filter(|id| missing & bit(*id) != 0) {
            let mut ours = Vec::new();
            if self.prepared.take_stale(parse.statement, id) {
                frontend::close_statement(&mut ours, parse.statement);
            }
            ours.extend_from_slice(statement.parse());
            self.fan().prepare(id, &ours);
        }
        statement.on.set(statement.on.get() | servers);
    }

    /// The Close goes to all who may have it.
    fn close_everywhere(&mut self, name: &[u8]) {
        let linked = self.links.which(|_| true);
        if let Some(statement) = self.prepared.get(name) {
            statement.on.set(statement.on.get() & !linked);
        }
        for id in (0..self.links.len()).filter(|id| linked & bit(*id) != 0) {
            self.prepared.take_stale(name, id);
        }
        self.prepared.close(name, usize::MAX);
    }
}

fn follow(before: TransactionStatus, kind: Kind) -> TransactionStatus {
    match (kind, before) {
        (Kind::Begin, TransactionStatus::Idle) => TransactionStatus::Open,
        (Kind::Commit | Kind::Rollback | Kind::PrepareTransaction, _) => TransactionStatus::Idle,
        (_, before) => before,
    }
}
