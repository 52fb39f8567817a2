//! Texts that clients sent a moment ago: a new plugin has to cope with them
//! before it is put into use.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

const MAX_TEXTS: usize = 200;
/// Longer ones are not kept.
const MAX_TEXT_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<Box<str>>>);

impl Recent {
    /// The statement cache did not know this text. Never waits: if another
    /// thread is at it, this text is not kept.
    pub fn note(&self, text: &str) {
        if text.len() > MAX_TEXT_BYTES {
            return;
        }
        let Ok(mut texts) = self.0.try_lock() else {
            return;
        };
        if texts.len() == MAX_TEXTS {
            texts.pop_front();
        }
        texts.push_back(text.into());
    }

    pub fn texts(&self) -> Vec<Box<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
