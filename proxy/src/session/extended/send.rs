//! The batch on its way: booked with the servers, copied where it goes to
//! several, and with messages of ours where a statement has to be prepared first.

use super::super::buffers;
use super::super::link::{Link, Servers, bit};
use super::super::prepared::{OnServer, Portal, Statement, Undo};
use super::super::query::{begins_for_primary, goes_to_all};
use super::super::{End, Session};
use super::batch::{Batch, Message, body_of, frame_of};
use super::values::edited;
use crate::census::Counter;
use crate::plugin::contract::Effects;
use crate::pool::statements::{NOTHING, PREFIX};
use crate::protocol::HEADER_LEN;
use crate::protocol::frontend::{self, Bind, Named, Parse, execute_portal};
use crate::routing::Classified;
use std::rc::Rc;

/// What is sent to the lead besides the client's own bytes.
#[derive(Default)]
pub(super) struct Ours {
    bytes: Vec<u8>,
    /// In place of the client's message, not before it.
    instead: bool,
}

impl Ours {
    pub(super) fn before(bytes: Vec<u8>) -> Self {
        Ours { bytes, instead: false }
    }

    pub(super) fn instead(bytes: Vec<u8>) -> Self {
        Ours { bytes, instead: true }
    }
}

impl Session {
    /// Sends the batch: in one write, unless messages of ours come between.
    pub(super) fn send_batch(&mut self) -> Result<(), End> {
        if self.cycle.skip {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        self.batch.filled = std::mem::take(&mut batch.filled);
        let mut parsed = batch.parsed.iter();
        let mut sent_to = 0;
        let mut at = 0;
        let alone = self.links.get(self.lead).is_some_and(|link| link.replies.is_quiet());
        // A portal bound earlier cannot be had on another server.
        let whole = batch.messages.last().is_some_and(|last| last.tag == b'S')
            && batch.messages.first().is_some_and(|first| matches!(first.tag, b'P' | b'B'));
        self.passing = 0;
        if alone && whole {
            let binds = batch.messages.iter().any(|message| self.binds_shared(message));
            self.remember_read(batch.end.min(self.client.inbox.len()), self.cycle.others, binds);
        } else {
            self.retry.clear();
        }
        self.tell_of_batch(&batch)?;
        for message in &batch.messages {
            at = message.frame.end.min(self.client.inbox.len());
            let mut ours = self.before(message, &mut parsed);
            if !ours.bytes.is_empty()
                && let Some(link) = self.links.get_mut(self.lead)
            {
                let bytes = &self.client.inbox.bytes()[sent_to..message.frame.start];
                link.push().extend_from_slice(bytes);
                link.push().extend_from_slice(&ours.bytes);
                sent_to = if ours.instead { at } else { message.frame.start };
                buffers::lay_down(&mut ours.bytes);
            }
        }
        self.send_notices()?;
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

    /// A Bind of a statement that may prove to be outdated on the server.
    fn binds_shared(&self, message: &Message) -> bool {
        let bind = Bind::read(body_of(&self.client.inbox, message)).filter(|_| message.tag == b'B');
        let statement = bind.and_then(|bind| self.prepared.get(bind.statement));
        statement.is_some_and(|statement| statement.as_shared().is_some())
    }

    /// What statements prepared by SQL need before the batch: EXECUTE and what
    /// embeds it has them on the lead, DEALLOCATE reaches the others too.
    pub(super) fn bring_batch(&mut self, lead: usize) {
        for at in 0..self.batch.messages.len() {
            let message = self.batch.messages[at].clone();
            if message.tag != b'B' {
                continue;
            }
            let bound =
                Bind::read(self.message_body(&message)).and_then(|bind| self.bound(at, bind.statement));
            let Some(classified) = bound else {
                continue;
            };
            self.bring_prepared(&classified, lead);
            self.bring_bound(at, lead);
            self.deallocate_elsewhere(classified.verdict(), lead);
        }
    }

    /// What a Bind needs of the statements prepared by SQL.
    fn bring_bound(&mut self, at: usize, lead: usize) {
        let message = self.batch.messages[at].clone();
        let name = Bind::read(self.message_body(&message)).map(|bind| bind.statement);
        let by_sql = name.filter(|name| self.prepared.get(name).is_none());
        if let Some(name) = by_sql.and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned) {
            self.bring_named(&name, lead);
        }
    }

    /// See [`per_node`](super::super::per_node): a Bind stands for its Execute.
    fn tell_of_batch(&mut self, batch: &Batch) -> Result<(), End> {
        if !self.tells_nodes() {
            return Ok(());
        }
        let mut parsed: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for message in &batch.messages {
            let body = body_of(&self.client.inbox, message);
            match message.tag {
                b'P' => {
                    let Some(parse) = Parse::read(body) else { continue };
                    let (name, text) = (parse.statement.to_vec(), parse.text.to_vec());
                    let what = batch.parsed.get(parsed.len());
                    let copied = what.is_some_and(|what| goes_to_all(what) && !begins_for_primary(what));
                    let others = if copied { self.cycle.others } else { 0 };
                    self.tell_nodes("Parse: ", &text, bit(self.lead) | others)?;
                    parsed.push((name, text));
                }
                b'B' => {
                    let Some(bind) = Bind::read(body) else { continue };
                    let here = parsed.iter().rev().find(|(name, _)| name == bind.statement);
                    let known =
                        || Some(Parse::read(&self.prepared.get(bind.statement)?.parse()[HEADER_LEN..])?.text);
                    let text =
                        here.map(|(_, text)| text.as_slice()).or_else(known).unwrap_or_default().to_vec();
                    self.tell_nodes("Execute: ", &text, bit(self.lead) | self.cycle.others)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Books a message for the lead, sends copies to the others, and returns
    /// what must be sent to the lead before it.
    fn before<'a>(
        &mut self,
        message: &Message,
        parsed: &mut impl Iterator<Item = &'a Rc<Classified>>,
    ) -> Ours {
        let lead = self.lead;
        match message.tag {
            b'S' => {
                self.copy(message, self.cycle.others, |link| link.replies.sync(false));
                if let Some(link) = self.links.get_mut(lead) {
                    link.replies.sync(true);
                }
                self.cycle.clear();
                return Ours::default();
            }
            b'H' => return Ours::default(),
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
                Ours::default()
            }
            _ => self.before_close(message),
        }
    }

    fn before_parse(&mut self, message: &Message, classified: Option<&Rc<Classified>>) -> Ours {
        let (lead, others) = (self.lead, self.cycle.others);
        let frame = frame_of(&self.client.inbox, message);
        let Some(link) = self.links.get_mut(lead) else {
            return Ours::default();
        };
        let (Some(parse), Some(classified)) = (Parse::read(&frame[HEADER_LEN..]), classified) else {
            link.replies.ack(true, None);
            return Ours::default();
        };
        if self.sharing.is_on() && !parse.statement.is_empty() {
            return self.before_shared_parse(message, classified);
        }
        let mut ours = Ours::default();
        if self.prepared.take_stale(parse.statement, lead) {
            frontend::close_statement(&mut ours.bytes, parse.statement);
            link.replies.ack(false, None);
        }
        let edited = edited(classified, &frame[HEADER_LEN..], parse);
        if let Some(edited) = &edited {
            ours.bytes.extend_from_slice(edited);
            ours.instead = true;
        }
        link.conn.meter.count(Counter::ClientParses);
        link.conn.meter.count(Counter::ServerParses);
        let undo = self.prepared.parse(parse.statement, frame, edited.as_deref(), classified.clone(), lead);
        let frame = edited.as_deref().unwrap_or(frame);
        link.replies.ack(true, undo);
        if goes_to_all(classified) && !begins_for_primary(classified) {
            if let Some(statement) = self.prepared.get(parse.statement) {
                statement.on.set(statement.on.get() | others);
            }
            for (_, link) in self.links.iter_mut().filter(|(id, _)| others & bit(*id) != 0) {
                link.push().extend_from_slice(frame);
                link.replies.extended(false);
                link.replies.ack(false, None);
            }
        }
        ours
    }

    fn before_bind(&mut self, message: &Message) -> Ours {
        let (lead, mut bytes) = (self.lead, Vec::new());
        let Some(bind) = Bind::read(body_of(&self.client.inbox, message)) else {
            return Ours::default();
        };
        let Some(statement) = self.prepared.get(bind.statement).cloned() else {
            if let Some(statement) = self.prepared.sql_named(bind.statement) {
                let classified = statement.classified.clone();
                self.prepared.bind(bind.portal, Portal { server: lead, classified: classified.clone() });
                self.note_reading(&classified);
                self.note_executed(&classified);
                self.count(&classified, lead);
                return match self.bind_filled(message, None, &mut bytes) {
                    true => Ours::instead(bytes),
                    false => Ours::default(),
                };
            }
            let name = bind.statement.to_vec();
            return Ours::before(self.before_unknown(&name));
        };
        let classified = statement.classified.borrow().clone();
        self.prepared.bind(bind.portal, Portal { server: lead, classified: classified.clone() });
        self.prepare_on(&statement, lead, &mut bytes);
        let instead = self.rename(message, &statement, &mut bytes);
        if begins_for_primary(&classified) {
            let others = self.cycle.others;
            for (_, link) in self.links.iter_mut().filter(|(id, _)| others & bit(*id) != 0) {
                link.run_unseen("BEGIN");
            }
        } else if goes_to_all(&classified) {
            self.copy_bind(message, &statement);
        }
        if self.has_effects(&classified)
            && let Some(parse) = Parse::read(&statement.parse()[HEADER_LEN..])
        {
            self.note(&classified, parse.text, bit(lead) | self.cycle.others);
        }
        if classified.verdict().effects.contains(Effects::UNUSED_DATABASE) {
            self.worker.proxy.close_unused();
        }
        self.make_sticky(&classified, lead);
        self.note_executed(&classified);
        self.note_reading(&classified);
        self.positions.wrote |= classified.verdict().effects.contains(Effects::WRITES);
        let what = self.executed(classified);
        self.count(&what, lead);
        self.watch_for_pins(what.verdict());
        self.watch_for_listens(what.verdict());
        self.watch_bind(lead, what.verdict());
        if let Some(link) = self.links.get(lead) {
            link.conn.meter.count(Counter::Binds);
        }
        Ours { bytes, instead }
    }

    fn before_describe(&mut self, message: &Message) -> Ours {
        let Some(Named::Statement(name)) = Named::read(body_of(&self.client.inbox, message)) else {
            return Ours::default();
        };
        let keep = self.own_parameters(name);
        if let Some(link) = self.links.get_mut(self.lead) {
            link.replies.describe(keep);
        }
        let Some(statement) = self.prepared.get(name).cloned() else {
            let name = name.to_vec();
            return Ours::before(self.before_unknown(&name));
        };
        let mut bytes = Vec::new();
        self.prepare_on(&statement, self.lead, &mut bytes);
        let instead = self.rename(message, &statement, &mut bytes);
        Ours { bytes, instead }
    }

    fn before_close(&mut self, message: &Message) -> Ours {
        let mut ours = Ours::default();
        match Named::read(body_of(&self.client.inbox, message)) {
            Some(Named::Statement(name)) => {
                let shared = self.prepared.get(name).is_some_and(|statement| statement.as_shared().is_some());
                if shared || (self.sharing.is_on() && name.starts_with(PREFIX)) {
                    // Others may have it.
                    frontend::close_statement(&mut ours.bytes, NOTHING);
                    ours.instead = true;
                }
                self.prepared.close(name, self.lead);
            }
            Some(Named::Portal(name)) => self.prepared.close_portal(name),
            None => {}
        }
        if let Some(link) = self.links.get_mut(self.lead) {
            link.replies.ack(true, None);
        }
        ours
    }

    /// Adds a Bind or Describe with the name that a shared statement has on the
    /// servers, and with the values that it needs; `false`: it can go as it is.
    fn rename(&self, message: &Message, statement: &Statement, out: &mut Vec<u8>) -> bool {
        let shared = statement.as_shared();
        if message.tag == b'B' && self.bind_filled(message, shared.map(|shared| shared.name()), out) {
            return true;
        }
        let Some(shared) = shared else {
            return false;
        };
        let body = body_of(&self.client.inbox, message);
        let (at, name) = match message.tag {
            b'B' => match Bind::read(body) {
                Some(bind) => (bind.portal.len() + 1, bind.statement),
                None => return false,
            },
            _ => match Named::read(body) {
                Some(Named::Statement(name)) => (1, name),
                _ => return false,
            },
        };
        buffers::take_up(out);
        frontend::rename(out, frame_of(&self.client.inbox, message), at, name, shared.name());
        true
    }

    /// Has a statement prepared on a server if it is not there: by the
    /// client's own Parse, whose answer the client does not see.
    pub(super) fn prepare_on(&mut self, statement: &Rc<Statement>, server: usize, ours: &mut Vec<u8>) {
        if let Some(shared) = statement.as_shared() {
            if self.prepare_shared(shared, server, ours)
                && let Some(link) = self.links.get_mut(server)
            {
                let undo = Undo::Shared(OnServer { shared: shared.clone(), server });
                link.replies.ack(false, Some(undo));
            }
            return;
        }
        if statement.on.get() & bit(server) != 0 {
            return;
        }
        let Some(parse) = Parse::read(&statement.parse()[HEADER_LEN..]) else {
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
        link.conn.meter.count(Counter::ServerParses);
        ours.extend_from_slice(statement.parse());
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
            let renamed = self.rename(message, statement, &mut ours);
            if let Some(link) = self.links.get_mut(id) {
                link.push().extend_from_slice(&ours);
            }
            if !renamed {
                self.copy(message, bit(id), |_| {});
            }
        }
    }
}
