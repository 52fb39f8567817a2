//! Prepared statements and portals of the extended protocol, and statements
//! prepared by SQL: where they are, and what it takes to have them elsewhere.

use super::link::{Servers, bit};
use super::values::Gaps;
use crate::pool::Shared;
use crate::routing::values::Gap;
use crate::routing::{Classified, Sent};
use hashbrown::HashMap;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A statement that the client prepared by a Parse message.
#[derive(Debug)]
pub struct Statement {
    parse: ParseFrame,
    /// The client's own, if rewriters have edited it.
    original: Option<Box<[u8]>>,
    pub classified: RefCell<Rc<Classified>>,
    /// The servers which have it; not kept for shared ones, see
    /// [`OnConnection`](crate::pool::statements::OnConnection).
    pub on: Cell<Servers>,
}

/// The whole Parse frame, to prepare it on another server.
#[derive(Debug)]
enum ParseFrame {
    /// With the client's own name.
    Own(Box<[u8]>),
    Shared(Arc<Shared>),
}

impl Statement {
    /// `asked` is the client's Parse frame, `edited` what rewriters made of it.
    pub fn new(asked: &[u8], edited: Option<Vec<u8>>, classified: Rc<Classified>, on: Servers) -> Self {
        let (parse, original) = match edited {
            Some(edited) => (edited.into(), Some(asked.into())),
            None => (asked.into(), None),
        };
        let parse = ParseFrame::Own(parse);
        Statement { parse, original, classified: RefCell::new(classified), on: Cell::new(on) }
    }

    /// One that clients share.
    pub fn shared(asked: &[u8], is_edited: bool, shared: Arc<Shared>, classified: Rc<Classified>) -> Self {
        let original = is_edited.then(|| asked.into());
        let parse = ParseFrame::Shared(shared);
        Statement { parse, original, classified: RefCell::new(classified), on: Cell::new(0) }
    }

    /// The Parse frame that servers get.
    pub fn parse(&self) -> &[u8] {
        match &self.parse {
            ParseFrame::Own(frame) => frame,
            ParseFrame::Shared(shared) => &shared.parse,
        }
    }

    pub fn as_shared(&self) -> Option<&Arc<Shared>> {
        match &self.parse {
            ParseFrame::Own(_) => None,
            ParseFrame::Shared(shared) => Some(shared),
        }
    }

    /// The Parse frame that the client sent, but for the name.
    pub fn asked(&self) -> &[u8] {
        self.original.as_deref().unwrap_or(self.parse())
    }
}

/// A portal that is bound.
#[derive(Debug, Clone)]
pub struct Portal {
    pub server: usize,
    pub classified: Rc<Classified>,
}

/// A statement prepared by SQL.
#[derive(Debug, Clone)]
pub struct SqlStatement {
    /// The PREPARE itself.
    pub text: Box<[u8]>,
    pub classified: Rc<Classified>,
    /// The server whose answer the client saw.
    pub first: usize,
    pub on: Servers,
    /// What an EXECUTE has to give besides the client's arguments.
    pub gaps: Option<Rc<Gaps>>,
}

impl SqlStatement {
    /// Whether a rewriter wants more values in it now. Those that have no type of
    /// their own stand in its text with their expression.
    pub fn needs_more(&self, again: &Classified) -> bool {
        let Sent::Edited(template) = &again.sent else {
            return false;
        };
        let gaps = self.gaps.iter().flat_map(|gaps| gaps.gaps.iter());
        let shown = gaps.filter_map(Gap::evaluation).filter(|evaluation| evaluation.type_name.is_none());
        template.gaps().count() > shown.count()
    }
}

/// What undoes a message whose acknowledgement never came.
#[derive(Debug)]
pub enum Undo {
    /// The client's Parse failed: the name means what it meant before.
    Parse { name: Box<[u8]>, before: Option<Rc<Statement>>, shared: Option<OnServer> },
    /// Our own Parse failed on this server.
    Prepare { statement: Rc<Statement>, server: usize },
    /// Our own Parse, or Close, of a shared statement did.
    Shared(OnServer),
}

/// A shared statement on one server.
#[derive(Debug)]
pub struct OnServer {
    pub shared: Arc<Shared>,
    pub server: usize,
}

impl Undo {
    /// The shared statement of which it is not known whether its server has it.
    pub fn in_doubt(&self) -> Option<&OnServer> {
        match self {
            Undo::Parse { shared, .. } => shared.as_ref(),
            Undo::Shared(on) => Some(on),
            Undo::Prepare { .. } => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Prepared {
    named: HashMap<Box<[u8]>, Rc<Statement>>,
    unnamed: Option<Rc<Statement>>,
    /// Most sessions have none, and these maps are small as long as they are empty.
    portals: BTreeMap<Box<[u8]>, Portal>,
    unnamed_portal: Option<Portal>,
    pub sql: HashMap<String, SqlStatement>,
    /// Names closed by the client which a server may still have.
    stale: BTreeMap<Box<[u8]>, Servers>,
}

impl Prepared {
    /// How many statements have a name.
    pub fn named(&self) -> usize {
        self.named.len()
    }

    pub fn get(&self, name: &[u8]) -> Option<&Rc<Statement>> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) }
    }

    /// A statement prepared by SQL; the protocol knows it by the same name.
    pub fn sql_named(&self, name: &[u8]) -> Option<&SqlStatement> {
        self.sql.get(std::str::from_utf8(name).ok()?)
    }

    /// The client parses `frame` on `server`, as rewriters edited it. Returns
    /// what undoes it.
    pub fn parse(
        &mut self,
        name: &[u8],
        frame: &[u8],
        edited: Option<&[u8]>,
        classified: Rc<Classified>,
        server: usize,
    ) -> Option<Undo> {
        let statement = match &self.unnamed {
            // The same text again, as drivers do: nothing to allocate.
            Some(same)
                if name.is_empty()
                    && edited.is_none()
                    && same.original.is_none()
                    && same.parse() == frame
                    && Rc::strong_count(same) == 1 =>
            {
                *same.classified.borrow_mut() = classified;
                same.on.set(bit(server));
                return None;
            }
            _ => Rc::new(Statement::new(frame, edited.map(<[u8]>::to_vec), classified, bit(server))),
        };
        if name.is_empty() {
            self.unnamed = Some(statement);
            return None;
        }
        Some(self.name(name, statement, None))
    }

    /// The client gives a statement this name. Returns what undoes it.
    pub fn name(&mut self, name: &[u8], statement: Rc<Statement>, shared: Option<OnServer>) -> Undo {
        let before = self.named.insert(name.into(), statement);
        Undo::Parse { name: name.into(), before, shared }
    }

    /// Another text takes the place of a statement's, on no server yet.
    pub fn replace(&mut self, name: &[u8], statement: Statement) {
        if name.is_empty() {
            self.unnamed = Some(Rc::new(statement));
        } else if let Some(before) = self.named.insert(name.into(), Rc::new(statement)) {
            let on = before.on.get();
            if on != 0 {
                *self.stale.entry(name.into()).or_default() |= on;
            }
        }
    }

    pub fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Parse { name, before: Some(before), .. } => {
                self.named.insert(name, before);
            }
            Undo::Parse { name, before: None, .. } => {
                self.named.remove(&name);
            }
            // The connection's business, see `Session::undo`.
            Undo::Shared(_) => {}
            Undo::Prepare { statement, server } => statement.on.set(statement.on.get() & !bit(server)),
        }
    }

    /// A simple Query drops the unnamed statement.
    pub fn forget_unnamed(&mut self) {
        self.unnamed = None;
    }

    /// A simple Query of ours has dropped the unnamed statement on this server.
    pub fn lose_unnamed(&self, server: usize) {
        if let Some(statement) = &self.unnamed {
            statement.on.set(statement.on.get() & !bit(server));
        }
    }

    /// The client closes a statement. Servers other than `server` still have
    /// it: they are told when the name is used there again.
    pub fn close(&mut self, name: &[u8], server: usize) {
        if name.is_empty() {
            self.unnamed = None;
            return;
        }
        let Some((name, statement)) = self.named.remove_entry(name) else {
            return;
        };
        let left = statement.on.get() & !bit(server);
        if left != 0 {
            *self.stale.entry(name).or_default() |= left;
        }
    }

    /// Whether `server` has a closed statement of this name; it is taken for
    /// closed there from now on.
    pub fn take_stale(&mut self, name: &[u8], server: usize) -> bool {
        let Some(servers) = self.stale.get_mut(name) else {
            return false;
        };
        let had = *servers & bit(server) != 0;
        *servers &= !bit(server);
        if *servers == 0 {
            self.stale.remove(name);
        }
        had
    }

    pub fn portal(&self, name: &[u8]) -> Option<&Portal> {
        if name.is_empty() { self.unnamed_portal.as_ref() } else { self.portals.get(name) }
    }

    pub fn bind(&mut self, name: &[u8], portal: Portal) {
        if name.is_empty() {
            self.unnamed_portal = Some(portal);
        } else {
            self.portals.insert(name.into(), portal);
        }
    }

    pub fn close_portal(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.unnamed_portal = None;
        } else {
            self.portals.remove(name);
        }
    }

    /// The transaction has ended, and its portals with it.
    pub fn forget_portals(&mut self) {
        self.unnamed_portal = None;
        self.portals.clear();
    }

    /// DISCARD ALL, DEALLOCATE ALL: they drop statements of both kinds.
    pub fn forget_statements(&mut self) {
        self.named.clear();
        self.unnamed = None;
        self.sql.clear();
        self.stale.clear();
    }

    /// A connection to this server is given back. Returns the names that the
    /// client's PREPAREs have there.
    pub fn leave_server(&mut self, server: usize) -> Vec<String> {
        if let Some(statement) = &self.unnamed {
            statement.on.set(statement.on.get() & !bit(server));
        }
        let mut names = Vec::new();
        for (name, statement) in &mut self.sql {
            if statement.on & bit(server) != 0 {
                statement.on &= !bit(server);
                names.push(name.clone());
            }
        }
        names
    }

    /// A connection to this server is gone, with all that was prepared on it.
    pub fn forget_server(&mut self, server: usize) {
        for statement in self.named.values().chain(&self.unnamed) {
            statement.on.set(statement.on.get() & !bit(server));
        }
        for statement in self.sql.values_mut() {
            statement.on &= !bit(server);
        }
        self.stale.retain(|_, servers| {
            *servers &= !bit(server);
            *servers != 0
        });
        self.portals.retain(|_, portal| portal.server != server);
        self.unnamed_portal.take_if(|portal| portal.server == server);
    }
}
