//! Prepared statements of clients that share server connections. A server has
//! them by names of ours (see [`pool::statements`](crate::pool::statements));
//! here the client's messages are rewritten to these.
//!
//! A Parse of what the server has already becomes a Close of nothing, which
//! costs it least, and whose answer the client gets as a ParseComplete.

use super::super::link::bit;
use super::super::prepared::{OnServer, Statement, Undo};
use super::super::query::{begins_for_primary, goes_to_all};
use super::super::{Session, buffers};
use super::batch::{Message, frame_of};
use super::send::Ours;
use super::values::edited;
use crate::census::Counter;
use crate::pool::Shared;
use crate::pool::statements::{NOTHING, PREFIX};
use crate::protocol::HEADER_LEN;
use crate::protocol::frontend::{self, Parse, behind_name};
use crate::routing::Classified;
use std::rc::Rc;
use std::sync::Arc;

impl Session {
    /// How a client's Parse is remembered.
    pub(super) fn share(&self, asked: &[u8], edited: Option<&[u8]>, what: Rc<Classified>) -> Statement {
        let body = &edited.unwrap_or(asked)[HEADER_LEN..];
        let shared = self.worker.proxy.statements.find(behind_name(body).unwrap_or_default());
        Statement::shared(asked, edited.is_some(), shared, what)
    }

    /// A Parse that gives its statement a name.
    pub(super) fn before_shared_parse(&mut self, message: &Message, what: &Rc<Classified>) -> Ours {
        let (lead, others) = (self.lead, self.cycle.others);
        let frame = frame_of(&self.client.inbox, message);
        let Some(parse) = Parse::read(&frame[HEADER_LEN..]) else {
            return Ours::default();
        };
        let name: Box<[u8]> = parse.statement.into();
        if self.prepared.get(&name).is_some() {
            return self.before_second_parse(&name);
        }
        let edited = edited(what, &frame[HEADER_LEN..], parse);
        let statement = Rc::new(self.share(frame, edited.as_deref(), what.clone()));
        let Some(shared) = statement.as_shared().cloned() else {
            return Ours::default();
        };
        let mut bytes = Vec::new();
        buffers::take_up(&mut bytes);
        let prepares = self.prepare_shared(&shared, lead, &mut bytes);
        let on = prepares.then_some(OnServer { shared, server: lead });
        let undo = Some(self.prepared.name(&name, statement.clone(), on));
        if let Some(link) = self.links.get_mut(lead) {
            link.conn.meter.count(Counter::ClientParses);
            match prepares {
                true => link.replies.ack(true, undo),
                false => {
                    frontend::close_statement(&mut bytes, NOTHING);
                    link.replies.ack_as_parse(undo);
                }
            }
        }
        if goes_to_all(what) && !begins_for_primary(what) {
            self.prepare_elsewhere(&statement, others);
        }
        Ours::instead(bytes)
    }

    /// The client has a statement of this name: the server, which does not,
    /// gets one, so that it says so.
    fn before_second_parse(&mut self, name: &[u8]) -> Ours {
        let mut first = Vec::new();
        crate::protocol::backend::message(&mut first, b'P', |body| {
            body.extend_from_slice(name);
            body.extend([0, 0, 0, 0]);
        });
        if let Some(link) = self.links.get_mut(self.lead) {
            link.conn.meter.count(Counter::ClientParses);
            link.conn.meter.count(Counter::ServerParses);
            link.conn.state.has_name(String::from_utf8_lossy(name).into_owned());
            link.replies.ack(false, None);
            link.replies.ack(true, None);
        }
        Ours::before(first)
    }

    fn prepare_elsewhere(&mut self, statement: &Rc<Statement>, servers: super::Servers) {
        for id in (0..self.links.len()).filter(|id| servers & bit(*id) != 0) {
            let mut bytes = Vec::new();
            if let Some(link) = self.links.get_mut(id) {
                link.replies.extended(false);
            }
            self.prepare_on(statement, id, &mut bytes);
            if let Some(link) = self.links.get_mut(id) {
                link.push().extend_from_slice(&bytes);
            }
        }
    }

    /// Has a server prepare a shared statement if it has not yet. Whoever sends
    /// what is added to `out` books the Parse in it.
    pub(super) fn prepare_shared(&mut self, shared: &Arc<Shared>, server: usize, out: &mut Vec<u8>) -> bool {
        let proxy = &self.worker.proxy;
        let epoch = proxy.statements.epoch();
        let Some(link) = self.links.get_mut(server) else {
            return false;
        };
        if link.conn.state.statements.has(shared, epoch) {
            return false;
        }
        let most = proxy.config().max_prepared_statements;
        let replies = &mut link.replies;
        link.conn.state.statements.add(shared, epoch, most, |gone| {
            frontend::close_statement(out, gone.name());
            replies.ack(false, Some(Undo::Shared(OnServer { shared: gone, server })));
        });
        link.conn.meter.count(Counter::ServerParses);
        out.extend_from_slice(&shared.parse);
        true
    }

    /// What a Bind or Describe names is nothing that the client has prepared:
    /// nor must the server find something of others by that name.
    pub(super) fn before_unknown(&mut self, name: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.sharing.is_on()
            && (name.is_empty() || name.starts_with(PREFIX))
            && let Some(link) = self.links.get_mut(self.lead)
        {
            frontend::close_statement(&mut bytes, name);
            link.replies.ack(false, None);
            if !name.is_empty() {
                link.conn.state.statements.doubt_all();
            }
        }
        bytes
    }
}
