//! `prepare_unnamed`: a text that clients parse again and again without a name
//! is prepared once on a server connection, as if it had been given one that is
//! shared. What remains of each Parse is a Close of nothing.
//!
//! The server sees the statement by a name of ours: the client's Bind and
//! Describe are rewritten as in [`shared`](super::shared).

use super::super::Session;
use super::super::prepared::{OnServer, Statement, Undo};
use super::super::query::goes_to_all;
use super::batch::{Message, frame_of};
use crate::pool::statements::PREFIX;
use crate::protocol::HEADER_LEN;
use crate::protocol::frontend::{Parse, behind_name};
use crate::routing::{Classified, Sent};
use hashbrown::DefaultHashBuilder;
use std::cell::RefCell;
use std::hash::BuildHasher;
use std::rc::Rc;

/// Texts seen once are remembered by this many hashes.
const SEEN: usize = 4096;

thread_local! {
    static SEEN_BEFORE: RefCell<Seen> = RefCell::default();
}

#[derive(Default)]
struct Seen {
    hasher: DefaultHashBuilder,
    /// By their low bits.
    hashes: Vec<u64>,
}

impl Seen {
    /// Whether this text has been parsed before, as far as is remembered.
    fn before(&mut self, text: &[u8]) -> bool {
        if self.hashes.is_empty() {
            self.hashes = vec![0; SEEN];
        }
        let hash = self.hasher.hash_one(text);
        let place = &mut self.hashes[hash as usize % SEEN];
        std::mem::replace(place, hash) == hash
    }
}

impl Session {
    /// Whether a Parse is one of a statement that has a name of ours on the
    /// servers.
    pub(super) fn shares(&self, parse: Parse, frame: &[u8], what: &Classified) -> bool {
        if self.sharing.is_on() && !parse.statement.is_empty() {
            return true;
        }
        if !self.prepares_unnamed() {
            return false;
        }
        if !parse.statement.is_empty() {
            // It would be taken for one of ours.
            return parse.statement.starts_with(PREFIX);
        }
        if what.sent != Sent::AsIs || goes_to_all(what) {
            // Seldom the same again, or nothing that is worth it.
            return false;
        }
        let Some(text) = behind_name(&frame[HEADER_LEN..]) else {
            return false;
        };
        self.unnamed_again(text).is_some()
            || self.worker.proxy.statements.known(text).is_some()
            || SEEN_BEFORE.with_borrow_mut(|seen| seen.before(text))
    }

    pub(in super::super) fn prepares_unnamed(&self) -> bool {
        !self.fans_out() && self.worker.proxy.config().prepare_unnamed
    }

    /// The unnamed statement, if it is the shared one of this text.
    fn unnamed_again(&self, text: &[u8]) -> Option<&Rc<Statement>> {
        let shared = |statement: &&Rc<Statement>| {
            statement.as_shared().is_some_and(|shared| shared.text_and_types() == text)
        };
        self.prepared.get(b"").filter(shared)
    }

    /// The client's unnamed statement from here on. Most often it is what it was.
    pub(super) fn share_unnamed(&self, message: &Message, what: &Rc<Classified>) -> Rc<Statement> {
        let frame = frame_of(&self.client.inbox, message);
        let text = behind_name(&frame[HEADER_LEN..]).unwrap_or_default();
        if let Some(same) = self.unnamed_again(text).cloned() {
            same.classified.replace(what.clone());
            return same;
        }
        Rc::new(self.share(frame, None, what.clone()))
    }

    /// What undoes a Parse of the unnamed statement. One that is refused leaves
    /// none behind.
    pub(super) fn name_unnamed(
        &mut self,
        statement: Rc<Statement>,
        prepared: Option<OnServer>,
    ) -> Option<Undo> {
        self.prepared.set_unnamed(statement);
        prepared.map(|on| Undo::Parse { name: Box::default(), before: None, shared: Some(on) })
    }
}
