//! What a plugin may ask about during a call: lent to it by routing.

use super::contract::{SessionInfo, Verdict};
use super::facts::FactSource;
use std::cell::RefCell;

/// More words, or longer ones, are not kept: a transaction that writes to more
/// tables stays where it is anyway.
const MAX_WORDS: usize = 1000;
const MAX_WORD_BYTES: usize = 1024;

/// Words that a balancer keeps with a session, until its transaction is over.
#[derive(Debug, Default, Clone)]
pub struct Words(RefCell<Vec<String>>);

impl Words {
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn add(&self, word: String) {
        let mut words = self.0.borrow_mut();
        if words.len() < MAX_WORDS && word.len() <= MAX_WORD_BYTES && !words.contains(&word) {
            words.push(word);
        }
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
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
}

impl<'a> About<'a> {
    /// See [`FactSource::epoch`].
    pub fn facts_epoch(&self) -> u64 {
        self.facts.map_or(0, |facts| facts.epoch())
    }

    /// A text to classify or rewrite.
    pub fn text(session: &'a SessionInfo, facts: &'a dyn FactSource) -> Self {
        About { session, facts: Some(facts), verdict: None, words: None }
    }

    /// A statement to route.
    pub fn statement(session: &'a SessionInfo, verdict: &'a Verdict, words: &'a Words) -> Self {
        About { session, facts: None, verdict: Some(verdict), words: Some(words) }
    }

    /// The session as such.
    pub fn session(session: &'a SessionInfo, words: &'a Words) -> Self {
        About { session, facts: None, verdict: None, words: Some(words) }
    }
}
