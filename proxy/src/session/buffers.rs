//! Buffers belong to work, not to clients: a session that waits for its client's
//! next statement has none. It leaves them to the spares of its thread, and the
//! session that works next takes them from there.

use super::Session;
use super::extended::Batch;
use super::prepared::Undo;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::replies::Replies;
use std::cell::RefCell;

/// So many of each kind a thread keeps.
const SPARES: usize = 16;
/// Longer ones are not kept.
const LONGEST: usize = 16 * 1024;
/// Nor are batches of more messages.
const MOST_MESSAGES: usize = 256;
/// As many elements as a short vector has room for at first.
const FEW: usize = 4;

thread_local! {
    static BYTES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static BATCHES: RefCell<Vec<Batch>> = const { RefCell::new(Vec::new()) };
    static REPLIES: RefCell<Vec<Box<Replies<Undo>>>> = const { RefCell::new(Vec::new()) };
}

/// Appends to a buffer; to a spare one if it has no memory of its own.
pub(super) fn fill(buffer: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        take_up(buffer);
    }
    buffer.extend_from_slice(bytes);
}

/// Gives a buffer that has no memory of its own a spare one's.
pub(super) fn take_up(buffer: &mut Vec<u8>) {
    if buffer.capacity() == 0
        && let Some(spare) = BYTES.with_borrow_mut(Vec::pop)
    {
        *buffer = spare;
    }
}

/// The books for a connection that owes nothing.
pub(super) fn spare_replies() -> Box<Replies<Undo>> {
    REPLIES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

pub(super) fn lay_down_replies(mut replies: Box<Replies<Undo>>) {
    if replies.renew() <= MOST_MESSAGES {
        REPLIES.with_borrow_mut(|spares| keep(spares, replies));
    }
}

/// An empty batch in place of this one.
pub(super) fn renew(batch: &mut Batch) {
    if batch.capacity() == 0
        && let Some(spare) = BATCHES.with_borrow_mut(Vec::pop)
    {
        *batch = spare;
    }
    batch.clear();
}

pub(super) fn lay_down(buffer: &mut Vec<u8>) {
    if buffer.capacity() == 0 {
        return;
    }
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    if buffer.capacity() <= LONGEST {
        BYTES.with_borrow_mut(|spares| keep(spares, buffer));
    }
}

fn lay_down_batch(batch: &mut Batch) {
    if batch.capacity() == 0 {
        return;
    }
    let mut batch = std::mem::take(batch);
    batch.clear();
    if batch.capacity() <= MOST_MESSAGES {
        BATCHES.with_borrow_mut(|spares| keep(spares, batch));
    }
}

fn keep<T>(spares: &mut Vec<T>, spare: T) {
    if spares.len() < SPARES {
        spares.push(spare);
    }
}

impl Session {
    /// The session is about to wait, for its client if nothing is under way.
    pub(super) fn lay_down_buffers(&mut self) {
        let over = self.transaction.status == TransactionStatus::Idle && !self.cycle.is_open();
        if !over || self.is_busy() || self.passing > 0 {
            return;
        }
        lay_down_batch(&mut self.batch);
        lay_down(&mut self.retry);
        if self.held.is_empty() {
            lay_down(&mut self.held);
        }
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        if self.reading.capacity() > FEW {
            self.reading = Vec::new();
        }
        self.client.outbox.lay_down();
    }
}

#[cfg(test)]
mod tests;
