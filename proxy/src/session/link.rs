//! One server connection in a session's hands, and what it still owes.

use super::buffers;
use super::prepared::Undo;
use crate::cluster::Backend;
use crate::pool::ServerConn;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::frontend;
use crate::protocol::replies::Replies;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A set of backends, by number.
pub type Servers = u128;

/// The set of this one backend; of none, for a number that no backend has.
pub const fn bit(backend: usize) -> Servers {
    if backend < Servers::BITS as usize { 1 << backend } else { 0 }
}

#[derive(Debug)]
pub struct Link {
    pub conn: Box<ServerConn>,
    pub backend: Arc<Backend>,
    /// Boxed, so that it needs no memory anew with each checkout.
    pub replies: Box<Replies<Undo>>,
    /// A statement whose answer nobody sees failed here.
    pub failed_unseen: bool,
    /// Part of an answer was relayed to the client in the current cycle.
    pub relayed: bool,
    /// What was sent by [`fanout`](super::fanout) is not answered to its end.
    pub under_way: bool,
    /// Statements of `fanout` whose answers come first, and are nobody's.
    pub unheard: usize,
}

impl Link {
    pub fn new(mut conn: Box<ServerConn>, backend: Arc<Backend>) -> Self {
        // Until it is known to be quiet again, see `into_quiet`.
        conn.broken = true;
        Link {
            conn,
            backend,
            replies: buffers::spare_replies(),
            failed_unseen: false,
            relayed: false,
            under_way: false,
            unheard: 0,
        }
    }

    /// The connection, if it owes nothing and is owed nothing.
    pub fn into_quiet(mut self) -> Option<Box<ServerConn>> {
        if self.under_way || !self.replies.is_quiet() || !self.conn.outbox.is_empty() {
            return None;
        }
        self.conn.broken = false;
        buffers::lay_down_replies(self.replies);
        Some(self.conn)
    }

    /// Sends at once what the socket takes; the rest with the next flush.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut cx = Context::from_waker(Waker::noop());
        self.conn.outbox.send(&mut cx, &mut self.conn.stream, bytes)
    }

    /// Puts bytes behind what is pending, to go out with the next send.
    pub fn push(&mut self) -> &mut Vec<u8> {
        self.conn.outbox.push()
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn.outbox.poll_flush(cx, &mut self.conn.stream)
    }

    /// A statement of ours, whose answer nobody sees.
    pub fn run_unseen(&mut self, sql: &str) {
        frontend::query(self.push(), sql.as_bytes());
        self.replies.query(false);
    }

    /// A question of ours; see [`Session::on_position`](super::Session).
    pub fn ask_unseen(&mut self, sql: &str) {
        frontend::query(self.push(), sql.as_bytes());
        self.replies.ask();
    }

    /// It has a transaction open, as far as it has told.
    pub fn in_transaction(&self) -> bool {
        self.conn.status != TransactionStatus::Idle
    }
}
