//! Values that a rewriter wants to have put in, where every server runs every
//! write: the main server's, on all.
//!
//! What only tells something (the time, a number of the transaction) is asked of
//! the main server alone. What changes something (`nextval`, a function of the
//! users') the others evaluate as well: they get it when the main server has
//! answered, so that locks are taken in the same order, and while that one runs the
//! statement. Nobody waits for it.

use super::super::link::{Servers, bit};
use super::super::links::{Destination, LinkError};
use super::super::values::unreadable;
use super::super::{End, Session};
use super::exchange::{Answers, error_of, rows};
use super::{main_of, nobody};
use crate::fanout::Until;
use crate::plugin::contract::Evaluation;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::{PgError, frontend};
use crate::routing::values::{self, Filled};

impl Session {
    /// The main server's values of these expressions, in the transaction that the
    /// statement will run in: of its own, if the client has none open.
    pub(in super::super) async fn evaluate_everywhere(
        &mut self,
        wanted: &[&Evaluation],
        to: Destination,
    ) -> Result<Vec<Filled>, LinkError> {
        // In a cycle of the extended protocol what stands before it ends.
        self.sync_open().await?;
        let locks = self.locks_of(wanted);
        let sql = text(&locks, wanted);
        loop {
            let servers = (bit(to.lead) | to.others) & self.links.which(|_| true);
            if servers == 0 {
                return Err(LinkError::Statement(nobody()));
            }
            let main = main_of(servers);
            let mut answers = self.ask_values(servers, &sql).await?;
            let Some(at) = answers.iter().position(|(id, hearing)| *id == main && !hearing.is_lost()) else {
                // The next server is the main one now.
                continue;
            };
            let (_, hearing) = answers.swap_remove(at);
            if let Some(error) = error_of(&hearing) {
                return Err(self.fails(error).await?);
            }
            let Some(filled) = values::read(wanted, rows(&hearing.held)) else {
                return Err(self.fails(unreadable()).await?);
            };
            self.evaluate_too(servers & !bit(main), &locks, wanted);
            return Ok(filled);
        }
    }

    /// Begins a transaction on all servers if there is none, and asks the main one.
    async fn ask_values(&mut self, servers: Servers, sql: &str) -> Result<Answers, End> {
        let begins = self.is_idle() && !self.fan().internal;
        let main = bit(main_of(servers));
        let mut bytes = Vec::with_capacity(sql.len() + 6);
        frontend::query(&mut bytes, sql.as_bytes());
        let mut answers = self.tell_all(main, begins, &bytes, Until::Ready);
        if begins {
            bytes.clear();
            frontend::query(&mut bytes, b"BEGIN");
            answers.append(&mut self.tell_all(servers & !main, false, &bytes, Until::Ready));
        }
        self.hear_rows(&mut answers).await?;
        self.note_begun(begins, &answers);
        Ok(answers)
    }

    /// A transaction of ours is open that was begun for what comes before a statement.
    pub(super) fn note_begun(&mut self, begins: bool, answers: &Answers) {
        if begins && answers.iter().any(|(_, hearing)| !hearing.is_lost()) {
            (self.fan().internal, self.fan().fresh) = (true, true);
        }
    }

    /// Has the other servers evaluate what changes something.
    fn evaluate_too(&mut self, others: Servers, locks: &[String], wanted: &[&Evaluation]) {
        let changing: Vec<_> = wanted.iter().copied().filter(|evaluation| evaluation.everywhere).collect();
        if changing.is_empty() {
            return;
        }
        let sql = text(locks, &changing);
        for id in (0..self.links.len()).filter(|id| others & bit(*id) != 0) {
            self.tell_ahead(id, &sql);
        }
    }

    /// Whoever takes numbers for a table keeps those out who have it locked, see
    /// [`lock`](super::lock).
    fn locks_of(&mut self, wanted: &[&Evaluation]) -> Vec<String> {
        let tables = std::mem::take(&mut self.fan().locks);
        if !wanted.iter().any(|evaluation| evaluation.everywhere) {
            return Vec::new();
        }
        let lock = |table: String| format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE");
        tables.into_iter().map(lock).collect()
    }

    /// Neither the client nor Waypool has a transaction open that the client began.
    pub(super) fn is_idle(&self) -> bool {
        let status = match &self.fanout {
            Some(fan) if fan.in_cycle => fan.ahead,
            _ => self.transaction.status,
        };
        status == TransactionStatus::Idle
    }

    /// Something that was to come before a statement has failed, on one server at
    /// least: so has the transaction. Returns the client's error.
    pub(super) async fn fails(&mut self, error: PgError) -> Result<LinkError, End> {
        self.hear_ahead().await?;
        if !self.is_in_fanned_cycle() {
            if self.fan().internal {
                self.end_internal("ROLLBACK").await?;
            } else if self.transaction.status == TransactionStatus::Open {
                self.transaction.status = TransactionStatus::Failed;
            }
        }
        Ok(LinkError::Statement(error))
    }
}

fn text(locks: &[String], wanted: &[&Evaluation]) -> String {
    let queries = values::queries(wanted);
    locks.iter().chain(&queries).map(String::as_str).collect::<Vec<_>>().join(";\n")
}
