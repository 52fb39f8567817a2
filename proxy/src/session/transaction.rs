//! The client's transaction, and what its statements change when they succeed.

use super::link::{Servers, bit};
use super::links::REPEATED;
use super::positions;
use super::prepared::SqlStatement;
use super::values::Gaps;
use super::{End, Session};
use crate::plugin::Mark;
use crate::plugin::contract::{Effects, Kind, Servers as Wanted, Transaction as Told, Verdict};
use crate::protocol::backend::TransactionStatus;
use crate::routing::values::Moments;
use crate::routing::{Classified, SessionState};
use std::rc::Rc;
use std::time::SystemTime;

#[derive(Debug, Default)]
pub struct Transaction {
    /// As the client was last told.
    pub status: TransactionStatus,
    /// The server that the open transaction writes on.
    pub primary: Option<usize>,
    /// The statement under way is a COMMIT (and its like), or might be one.
    ending: Ending,
    /// A statement under way failed.
    pub failed: bool,
    /// The transaction has changed the catalog.
    ddl: bool,
    /// A statement of it was to change the session, on every server.
    pub changed_session: bool,
    /// Its reads stay on the primary.
    pub primary_only: bool,
    /// When the open transaction began, as near as the proxy saw it.
    began: Option<SystemTime>,
}

impl Transaction {
    /// The statement under way is a COMMIT.
    pub fn commits(&self) -> bool {
        self.ending == Ending::Commit
    }

    /// It has ended, and by a commit as far as that can be known. `status` is still
    /// the one before.
    pub fn has_committed(&self) -> bool {
        match self.ending {
            Ending::Commit => self.status != TransactionStatus::Failed && !self.failed,
            Ending::Rollback => false,
            Ending::Unknown => true,
        }
    }

    /// It has changed the catalog, as far as that is known.
    pub fn has_changed_catalog(&self) -> bool {
        self.ddl
    }

    /// What the edits of a rewriter may ask for.
    pub fn moments(&self) -> Moments {
        let statement = SystemTime::now();
        Moments { transaction: self.began.unwrap_or(statement), statement }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Ending {
    #[default]
    Rollback,
    Commit,
    Unknown,
}

/// What becomes true when the statements under way succeed.
#[derive(Debug)]
pub enum After {
    Set {
        name: String,
        text: Box<[u8]>,
    },
    Reset(Option<String>),
    DiscardAll,
    Prepare {
        name: String,
        statement: SqlStatement,
    },
    Deallocate(Option<String>),
    Savepoint(String),
    /// RELEASE, or ROLLBACK TO if `back`.
    LeaveSavepoint {
        name: String,
        back: bool,
    },
    /// Session state that cannot be repeated on another server.
    Unrepeatable,
}

/// A SET that standbys do not refuse.
fn is_repeatable(verdict: &Verdict) -> bool {
    verdict.kind == Kind::Set && !verdict.effects.intersects(Effects::SERIALIZABLE | Effects::READ_WRITE)
}

impl Session {
    /// Notes what a statement will change. `text` is the statement's own.
    pub(super) fn note(&mut self, classified: &Rc<Classified>, text: &[u8], on: Servers) {
        let verdict = classified.verdict();
        let name = || verdict.name.clone();
        match verdict.kind {
            Kind::Select | Kind::Show | Kind::Empty | Kind::Begin => {}
            Kind::Dml => {}
            Kind::Savepoint => self.pending.push(After::Savepoint(name().unwrap_or_default())),
            Kind::Release | Kind::RollbackTo => {
                let back = verdict.kind == Kind::RollbackTo;
                self.pending.push(After::LeaveSavepoint { name: name().unwrap_or_default(), back });
                self.forget_own_catalog();
            }
            Kind::Commit | Kind::PrepareTransaction => self.transaction.ending = Ending::Commit,
            Kind::Rollback => {
                self.transaction.ending = Ending::Rollback;
                if let Some(listening) = &mut self.listening {
                    listening.rolled_back();
                }
            }
            Kind::Set if is_repeatable(verdict) => {
                let name = name().unwrap_or_default();
                if name == positions::TOKEN {
                    self.check_token(text);
                }
                if verdict.servers != Wanted::All {
                    self.set_elsewhere(text, on);
                }
                self.pending.push(After::Set { name, text: text.into() });
            }
            Kind::Reset => self.pending.push(After::Reset(name())),
            // DISCARD PLANS, SEQUENCES and TEMP have a name.
            Kind::Discard if verdict.name.as_deref().is_none_or(|what| what == "all") => {
                self.pending.push(After::DiscardAll);
            }
            Kind::Prepare => {
                let statement = SqlStatement {
                    text: text.into(),
                    classified: classified.clone(),
                    first: on.trailing_zeros() as usize,
                    on,
                    gaps: Gaps::of(classified, 0),
                };
                self.pending.push(After::Prepare { name: name().unwrap_or_default(), statement });
            }
            Kind::Deallocate => self.pending.push(After::Deallocate(name())),
            Kind::Ddl => {
                self.transaction.ddl = true;
                self.forget_own_catalog();
            }
            Kind::Unknown => {
                self.transaction.ending = Ending::Unknown;
                self.transaction.ddl |= verdict.effects.contains(Effects::WRITES);
            }
            // What it calls may commit.
            Kind::Utility => self.transaction.ending = Ending::Unknown,
            _ => {}
        }
        let ends = matches!(verdict.kind, Kind::Commit | Kind::Rollback | Kind::PrepareTransaction);
        let saves = matches!(verdict.kind, Kind::Savepoint | Kind::Release | Kind::RollbackTo);
        self.transaction.changed_session |=
            verdict.servers == Wanted::All && verdict.kind != Kind::Begin && !ends && !saves;
        // These leave state behind that reads on another server do not need,
        // or that is brought there when it is needed.
        let harmless = matches!(
            verdict.kind,
            Kind::Prepare
                | Kind::Deallocate
                | Kind::Cursor
                | Kind::Listen
                | Kind::Lock
                | Kind::Ddl
                | Kind::Discard
        ) || is_repeatable(verdict);
        let leaves = verdict.effects.contains(Effects::SESSION_STATE) && verdict.servers != Wanted::All;
        if leaves && !harmless && !self.tells_of_pins(verdict) && !self.goes_everywhere(verdict) {
            self.pending.push(After::Unrepeatable);
        }
    }

    /// A parameter is set by a function, for which only one server was asked:
    /// the session's other servers have to follow.
    fn set_elsewhere(&mut self, text: &[u8], on: Servers) {
        let idle = self.transaction.status == TransactionStatus::Idle;
        let statement = format!("{REPEATED}{}", String::from_utf8_lossy(text));
        for (_, link) in self.links.iter_mut().filter(|(id, _)| on & bit(*id) == 0) {
            if link.in_transaction() == idle || link.replies.is_open() {
                self.settings.unrepeatable = true;
            } else {
                link.run_unseen(&statement);
            }
        }
    }

    /// The primary of this session: inside a transaction the server that it
    /// began on, whatever happens to the cluster meanwhile.
    pub(super) fn primary(&self) -> Option<usize> {
        self.transaction.primary.or_else(|| self.worker.proxy.cluster.primary().map(|primary| primary.id))
    }

    /// What the balancer is told.
    pub(super) fn state(&self) -> SessionState {
        let told = match self.transaction.status {
            TransactionStatus::Idle => Told::Idle,
            TransactionStatus::Open => Told::Open,
            TransactionStatus::Failed => Told::Failed,
        };
        let transaction = self.ahead.filter(|_| self.is_busy()).unwrap_or(told);
        SessionState { transaction, ..self.state }
    }

    /// The lead has answered everything, and said where the transaction stands.
    pub(super) fn on_ready(&mut self, status: TransactionStatus) -> Result<(), End> {
        self.progress = true;
        self.ahead = None;
        self.healed = false;
        self.reading.clear();
        let alone = std::mem::take(&mut self.sent) <= 1;
        self.answered = 0;
        let before = std::mem::replace(&mut self.transaction.status, status);
        let failed = std::mem::take(&mut self.transaction.failed);
        if failed {
            // Some of it may have been committed before something failed.
            self.settings.unsure |= !self.pending.is_empty();
            if self.drops_statements() {
                self.statements_dropped(false);
            }
            self.pending.clear();
        } else {
            for after in std::mem::take(&mut self.pending) {
                self.apply(after);
            }
        }
        if before == TransactionStatus::Idle && status != TransactionStatus::Idle {
            self.settings.begin();
            self.transaction.primary = Some(self.lead);
            self.transaction.began = Some(SystemTime::now());
        }
        if status == TransactionStatus::Idle {
            self.end_transaction(before, failed, alone);
        } else if self.transaction.commits() && !failed {
            self.chained();
            if let Some(listening) = &mut self.listening {
                listening.chained();
            }
        }
        Ok(())
    }

    /// What the balancer kept for the transaction is over.
    pub(super) fn tell_end(&mut self, success: bool) {
        let tell_end = std::mem::take(&mut self.state.tell_end);
        if tell_end != 0 {
            self.worker.router.borrow_mut().ended(&self.scope, tell_end, success, &self.words);
        }
        self.words.clear();
        self.state.end_transaction();
    }

    /// A statement that was routed will not run after all: balancers that asked
    /// to be told of its end are told now, unless the transaction's will come.
    pub(super) fn unroute(&self, state: SessionState, mark: Mark) {
        let mut router = self.worker.router.borrow_mut();
        router.unroute(&self.scope, &self.state, &state, &self.words, mark);
    }

    /// Takes over what has been swapped since the last statement, but never in
    /// the middle of a transaction.
    pub(super) fn follow_plugins(&mut self) {
        if !self.worker.router.borrow().is_outdated(&self.scope) {
            return;
        }
        let between = self.transaction.status == TransactionStatus::Idle && !self.is_busy();
        if between && !self.cycle.is_open() {
            let scope = self.worker.router.borrow_mut().scope(&self.scope.database, &self.scope.info);
            self.state = scope.carry(&self.scope, self.state);
            self.scope = scope;
        }
    }

    /// `alone`: nothing but what ended it was answered just now.
    fn end_transaction(&mut self, before: TransactionStatus, failed: bool, alone: bool) {
        let ending = std::mem::take(&mut self.transaction.ending);
        let committed = match ending {
            Ending::Commit => before != TransactionStatus::Failed && !failed,
            Ending::Rollback => false,
            // It is not known which of its settings hold.
            Ending::Unknown => true,
        };
        if before != TransactionStatus::Idle {
            self.settings.unrepeatable |= ending == Ending::Unknown && !self.fans_out();
            self.settings.end(committed);
            self.transaction.primary = None;
            self.transaction.began = None;
            self.transaction.primary_only = false;
            self.transaction.changed_session = false;
            self.end_elsewhere(committed);
        }
        self.leave_own_catalog();
        if std::mem::take(&mut self.transaction.ddl) {
            self.scope.database.facts.forget();
        }
        // A text of several statements may have committed some before one failed.
        let nothing_left =
            ending != Ending::Unknown && if before == TransactionStatus::Idle { failed } else { !committed };
        self.learn_commit(alone && nothing_left);
        self.tell_end(if before == TransactionStatus::Idle { !failed } else { committed });
        self.prepared.forget_portals();
        self.look_for_pins();
    }

    /// Servers on which the transaction only read end it as well.
    fn end_elsewhere(&mut self, committed: bool) {
        let statement = if committed { "COMMIT" } else { "ROLLBACK" };
        let lead = self.lead;
        for (_, link) in self.links.iter_mut().filter(|(id, _)| *id != lead) {
            // What the client sent there may be on its way already.
            if link.in_transaction() && link.replies.is_quiet() {
                link.run_unseen(statement);
            }
        }
    }

    /// Something under way was to drop prepared statements.
    fn drops_statements(&self) -> bool {
        self.pending.iter().any(|after| matches!(after, After::DiscardAll | After::Deallocate(None)))
    }

    fn apply(&mut self, after: After) {
        match after {
            After::Set { name, text } => {
                if name == positions::TOKEN {
                    self.set_token(&text);
                }
                self.settings.set(&name, &text);
            }
            After::Reset(Some(name)) => {
                if name == positions::TOKEN {
                    self.reset_token();
                }
                self.settings.reset(&name);
            }
            After::Reset(None) => {
                self.reset_token();
                self.settings.reset_all();
            }
            After::DiscardAll => {
                self.reset_token();
                self.settings.discard();
                self.prepared.forget_statements();
                self.statements_dropped(true);
            }
            After::Prepare { name, statement } => {
                self.prepared.sql.insert(name, statement);
            }
            After::Deallocate(Some(name)) => {
                self.prepared.sql.remove(&name);
                self.prepared.close(name.as_bytes(), usize::MAX);
            }
            After::Deallocate(None) => {
                self.prepared.forget_statements();
                self.statements_dropped(true);
            }
            After::Savepoint(name) => {
                self.settings.savepoint(&name);
                if let Some(listening) = &mut self.listening {
                    listening.savepoint(&name);
                }
            }
            After::LeaveSavepoint { name, back } => {
                self.settings.leave_savepoint(&name, back);
                if let Some(listening) = &mut self.listening {
                    listening.leave_savepoint(&name, back);
                }
            }
            After::Unrepeatable => self.settings.unrepeatable = true,
        }
    }
}
