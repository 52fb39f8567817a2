//! What a session's answers depend on besides the text: its plugins, its
//! database, and who it is for if a plugin wants to know.

use super::{Database, Router, SessionState};
use crate::plugin::contract::SessionInfo;
use crate::plugin::{Chain, Instances, Memory};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// More scopes than this are looked through for unused ones.
const MANY: usize = 1000;

/// Shared by the sessions of one worker for which everything here is the same.
/// It stays as it is while a session is in a transaction, whatever plugins
/// are swapped meanwhile.
pub struct Scope {
    /// In the statement cache.
    pub(super) number: u32,
    pub database: Rc<Database>,
    pub info: Arc<SessionInfo>,
    pub plugins: Rc<Instances>,
    pub chain: Chain,
}

impl Scope {
    /// The same for a transaction that has changed the catalog.
    pub fn of_transaction(&self) -> Rc<Scope> {
        let Database { name, facts } = &*self.database;
        let database = Database { name: name.clone(), facts: Arc::new(facts.of_transaction()) };
        Rc::new(Scope {
            number: self.number,
            database: Rc::new(database),
            info: self.info.clone(),
            plugins: self.plugins.clone(),
            chain: self.chain.clone(),
        })
    }

    /// What the balancers of this scope know of a session that was in another.
    pub fn carry(&self, before: &Scope, state: SessionState) -> SessionState {
        let mut memories = <[Memory; _]>::default();
        for (theirs, memory) in before.chain.balancers().iter().zip(state.memories) {
            let same = self.plugins.same_balancer(&self.chain, &before.plugins, *theirs);
            if let Some(memories) = same.and_then(|place| memories.get_mut(place)) {
                *memories = memory;
            }
        }
        SessionState { memories, tell_end: 0, ..state }
    }
}

/// The scopes of one worker.
#[derive(Default)]
pub(super) struct Scopes {
    /// Of the generation in use.
    known: HashMap<SessionInfo, Rc<Scope>>,
    generation: u64,
    numbers: HashMap<Answers, u32>,
    next: u32,
}

/// Scopes with the same of these share their answers in the statement cache.
#[derive(PartialEq, Eq, Hash)]
struct Answers {
    database: String,
    texts: Vec<usize>,
    who: Option<(String, String)>,
}

impl Router {
    /// The scope of a session that begins, or whose scope is out of date.
    pub fn scope(&mut self, database: &Rc<Database>, info: &SessionInfo) -> Rc<Scope> {
        let plugins = self.plugins.current().clone();
        let scopes = &mut self.scopes;
        if scopes.generation != plugins.number() {
            scopes.generation = plugins.number();
            scopes.known.clear();
            scopes.numbers.clear();
        }
        if let Some(known) = scopes.known.get(info).filter(|known| Rc::ptr_eq(&known.database, database)) {
            return known.clone();
        }
        if scopes.known.len() >= MANY {
            scopes.known.retain(|_, scope| Rc::strong_count(scope) > 1);
            // Entries of the others are found no longer, and asked for anew.
            scopes.numbers.clear();
        }
        let chain = plugins.chain(info);
        let number = scopes.number(&chain, info);
        let scope =
            Scope { number, database: database.clone(), info: Arc::new(info.clone()), plugins, chain };
        let scope = Rc::new(scope);
        scopes.known.insert(info.clone(), scope.clone());
        scope
    }

    /// A login has failed: nobody else may ever ask for the same.
    pub fn forget_scope(&mut self, scope: Rc<Scope>) {
        // One is known here, the other is about to go.
        if Rc::strong_count(&scope) == 2 {
            self.scopes.known.remove(&*scope.info);
        }
        // Anybody can make up names of databases.
        if !self.scopes.known.values().any(|known| known.number == scope.number) {
            self.scopes.numbers.retain(|_, number| *number != scope.number);
        }
    }

    /// The plugins have changed since this scope was made.
    #[inline]
    pub fn is_outdated(&self, scope: &Scope) -> bool {
        scope.plugins.number() != self.host.generation()
    }
}

impl Scopes {
    fn number(&mut self, chain: &Chain, info: &SessionInfo) -> u32 {
        let who = || (info.user.clone(), info.application_name.clone());
        let answers = Answers {
            database: info.database.clone(),
            texts: chain.texts(),
            who: chain.per_session.then(who),
        };
        let next = &mut self.next;
        *self.numbers.entry(answers).or_insert_with(|| {
            // u32::MAX stands for answers that are in no cache.
            *next = (*next + 1) % u32::MAX;
            *next
        })
    }
}
