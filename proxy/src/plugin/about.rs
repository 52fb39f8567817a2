//! What a plugin may ask about during a call: lent to it by routing.

use super::contract::{SessionInfo, Verdict};
use super::facts::FactSource;
use std::cell::RefCell;

/// More words, or longer ones, are not kept: a transaction that writes to more
/// tables stays where it is anyway.
const MAX_WORDS: usize = 1000;
const MAX_WORD_BYTES: usize = 1024;

/// Words that balancers keep with a session, until its transaction is over;
/// each with the place of its balancer in the chain.
#[derive(Debug, Default, Clone)]
pub struct Words(RefCell<Vec<(usize, String)>>);

/// How many words there were at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

impl Words {
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub fn mark(&self) -> Mark {
        Mark(self.0.borrow().len())
    }

    /// Forgets what has come since, but not of these balancers (a bit each).
    pub fn back_to(&self, mark: Mark, keep: u8) {
        let mut place = 0;
        self.0.borrow_mut().retain(|(balancer, _)| {
            place += 1;
            place <= mark.0 || keep & 1 << balancer != 0
        });
    }

    pub(super) fn add(&self, balancer: usize, word: String) {
        let mut words = self.0.borrow_mut();
        let is_here = || words.iter().any(|(whose, known)| *whose == balancer && *known == word);
        if words.len() < MAX_WORDS && word.len() <= MAX_WORD_BYTES && !is_here() {
            words.push((balancer, word));
        }
    }

    pub(super) fn of(&self, balancer: usize) -> Vec<String> {
        let words = self.0.borrow();
        words.iter().filter(|(whose, _)| *whose == balancer).map(|(_, word)| word.clone()).collect()
    }
}

/// What a plugin is asked about.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub session: &'a SessionInfo,
    pub facts: Option<&'a dyn FactSource>,
    /// Of the statement to be routed.
    pub verdict: Option<&'a Verdict>,
    pub words: Option<&'a Words>,
    /// The balancer's place in the chain: its words are its own.
    pub balancer: usize,
    /// Microseconds since 1970, in place of the real time, for a test.
    pub(super) now: Option<u64>,
}

impl<'a> About<'a> {
    /// See [`FactSource::epoch`].
    pub fn facts_epoch(&self) -> u64 {
        self.facts.map_or(0, |facts| facts.epoch())
    }

    /// A text to classify or rewrite.
    pub fn text(session: &'a SessionInfo, facts: &'a dyn FactSource) -> Self {
        About { session, facts: Some(facts), verdict: None, words: None, balancer: 0, now: None }
    }

    /// The same, for the balancer at this place.
    pub(super) fn by(&self, balancer: usize) -> Self {
        About { balancer, ..*self }
    }

    /// A statement to route.
    pub fn statement(session: &'a SessionInfo, verdict: &'a Verdict, words: &'a Words) -> Self {
        About { session, facts: None, verdict: Some(verdict), words: Some(words), balancer: 0, now: None }
    }

    /// At this time instead of the real one, in microseconds since 1970.
    pub fn at(self, now: u64) -> Self {
        About { now: Some(now), ..self }
    }

    /// The session as such.
    pub fn session(session: &'a SessionInfo, words: &'a Words) -> Self {
        About { session, facts: None, verdict: None, words: Some(words), balancer: 0, now: None }
    }
}
