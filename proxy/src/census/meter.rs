//! What a session does to count a statement on a server connection.
//!
//! Two looks at the clock for each cycle (when it is sent, and when it is
//! answered), and a handful of plain stores. A cycle that follows another
//! without a pause takes one: it begins where that ended.

use super::{Client, Counter, Server, micros, stamp};
use crate::protocol::backend::TransactionStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Goes with a server connection.
#[derive(Debug)]
pub struct Meter {
    pub server: Arc<Server>,
    /// The first cycle that is not answered.
    query_began: Option<Instant>,
    xact_began: Option<Instant>,
    /// When the last cycle was answered, if nothing has come behind it.
    answered_at: Option<Instant>,
}

impl Meter {
    pub fn new(server: Arc<Server>) -> Self {
        Meter { server, query_began: None, xact_began: None, answered_at: None }
    }

    /// A client has the connection from here on, after it has waited so long.
    pub fn lend(&mut self, client: &Client, waited: Duration) {
        // Of one that went in the middle of it.
        (self.query_began, self.xact_began, self.answered_at) = (None, None, None);
        self.server.lend(client.id);
        client.is_lent(self.server.id, self.server.backend);
        self.server.traffic.add(Counter::Assignments, 1);
        self.server.traffic.add(Counter::WaitTime, micros(waited));
    }

    /// A cycle of the client's is sent.
    pub fn sent(&mut self, client: &Client) {
        if self.query_began.is_some() {
            return;
        }
        let now = Instant::now();
        self.query_began = Some(now);
        self.xact_began.get_or_insert(now);
        let now = stamp(now);
        self.server.requested(now);
        client.uses(self.server.id, self.server.backend, now);
    }

    /// A cycle of the client's is answered. `received` from the client and
    /// `sent` by the server are the bytes since the last one.
    pub fn answered(&mut self, status: TransactionStatus, more: bool, received: u64, sent: u64) {
        let now = Instant::now();
        self.answered_at = Some(now);
        let traffic = &self.server.traffic;
        traffic.add(Counter::Queries, 1);
        traffic.add(Counter::Received, received);
        traffic.add(Counter::Sent, sent);
        if let Some(began) = self.query_began.take() {
            traffic.add(Counter::QueryTime, micros(now.saturating_duration_since(began)));
        }
        if status == TransactionStatus::Idle {
            traffic.add(Counter::Xacts, 1);
            if let Some(began) = self.xact_began.take() {
                traffic.add(Counter::XactTime, micros(now.saturating_duration_since(began)));
            }
        }
        if more {
            self.query_began = Some(now);
            self.xact_began.get_or_insert(now);
        }
    }

    /// Its part of a transaction was ended by a statement that another server
    /// answered, where the transaction is counted.
    pub fn ended_unseen(&mut self) {
        self.answered_at = None;
        if self.query_began.is_none() {
            self.xact_began = None;
        }
    }

    /// Its client has gone, perhaps long after the last answer.
    pub fn left(&mut self) {
        self.answered_at = None;
    }

    /// When the connection became idle, which it does now: without another look
    /// at the clock if its last answer has just come.
    pub fn idle_since(&mut self) -> Instant {
        self.answered_at.take().unwrap_or_else(Instant::now)
    }

    /// One of the counters that belong to a message.
    pub fn count(&self, counter: Counter) {
        self.server.traffic.add(counter, 1);
    }
}
