//! What observers are told of a session's statements.

use super::Session;
use crate::plugin::Observed;
use crate::plugin::contract::{Kind, Verdict};
use crate::protocol::PgError;
use std::collections::VecDeque;
use std::time::Instant;

/// A statement under way.
#[derive(Debug)]
struct Statement {
    began: Instant,
    kind: Kind,
    /// None: no server was asked.
    node: Option<usize>,
    tags: Vec<String>,
    rows: u64,
    sqlstate: Option<[u8; 5]>,
    /// Of the extended protocol: its own CommandComplete ends it.
    extended: bool,
    /// Which of the session's cycles it belongs to, see `Session::sent`.
    cycle: usize,
}

/// The statements under way, in the order of their answers. Empty unless
/// somebody observes.
#[derive(Debug, Default)]
pub struct Watched(VecDeque<Statement>);

impl Watched {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They will be sent again, or never be answered.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Session {
    /// A Query is about to be sent.
    pub(super) fn watch_query(&mut self, began: Instant, node: usize, verdict: &Verdict) {
        self.watch(began, node, verdict, None);
    }

    /// A Bind is about to be sent; its Execute will follow.
    pub(super) fn watch_bind(&mut self, node: usize, verdict: &Verdict) {
        if self.scope.chain.observed {
            self.watch(Instant::now(), node, verdict, Some(self.sent));
        }
    }

    fn watch(&mut self, began: Instant, node: usize, verdict: &Verdict, cycle: Option<usize>) {
        if let Some(link) = self.links.get_mut(node) {
            link.replies.watch();
        }
        self.watched.0.push_back(Statement {
            began,
            kind: verdict.kind,
            node: Some(node),
            tags: verdict.tags.clone(),
            rows: 0,
            sqlstate: None,
            extended: cycle.is_some(),
            // A Query is about to begin the next one.
            cycle: cycle.unwrap_or(self.sent + 1),
        });
    }

    /// A statement was refused here: no server has seen it.
    pub(super) fn watch_refused(&self, began: Instant, verdict: &Verdict, error: &PgError) {
        self.tell_observers(Statement {
            began,
            kind: verdict.kind,
            node: None,
            tags: verdict.tags.clone(),
            rows: 0,
            sqlstate: error.sqlstate.as_bytes().try_into().ok(),
            extended: false,
            cycle: 0,
        });
    }

    /// A command is complete. A Query may have several.
    pub(super) fn watched_complete(&mut self, rows: u64) {
        let Some(statement) = self.watched.0.front_mut() else {
            return;
        };
        statement.rows = statement.rows.saturating_add(rows);
        if statement.extended {
            self.watched_end();
        }
    }

    /// It failed; the server skips the statements behind it up to the Sync.
    pub(super) fn watched_failed(&mut self, sqlstate: &str) {
        if let Some(statement) = self.watched.0.front_mut() {
            statement.sqlstate = sqlstate.as_bytes().try_into().ok();
        }
    }

    /// ReadyForQuery of this cycle: what is left of it is a Query, has failed,
    /// or was never executed.
    pub(super) fn watched_ready(&mut self, cycle: usize) {
        while let Some(front) = self.watched.0.front().filter(|front| front.cycle <= cycle) {
            if !front.extended || front.sqlstate.is_some() {
                self.watched_end();
            } else {
                self.watched.0.pop_front();
            }
        }
    }

    fn watched_end(&mut self) {
        if let Some(statement) = self.watched.0.pop_front() {
            self.tell_observers(statement);
        }
    }

    fn tell_observers(&self, statement: Statement) {
        self.worker.observe(Observed {
            who: self.scope.info.clone(),
            session: self.cancel.pid,
            kind: statement.kind,
            node: statement.node,
            micros: u64::try_from(statement.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            rows: statement.rows,
            sqlstate: statement.sqlstate,
            tags: statement.tags,
        });
    }
}
