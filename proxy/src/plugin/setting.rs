//! The session at hand, which a balancer may ask about during a call.

use super::contract::Verdict;
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

/// What a balancer is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    pub database: &'a str,
    /// Of the statement to be routed; none outside of `route`.
    pub verdict: Option<&'a Verdict>,
    pub words: &'a Words,
}
