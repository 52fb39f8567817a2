//! What is remembered between statements, as bits of the words that the proxy
//! keeps.

use waypool_plugin_sdk::{Effects, Kind, SessionState, Statement, Transaction};

/// A statement of this transaction wrote.
const WRITTEN: u32 = 1;
/// This transaction is SERIALIZABLE, which a standby cannot be.
const SERIALIZABLE: u32 = 2;
/// A text of several statements began this transaction, on the primary alone.
const PRIMARY_ALONE: u32 = 4;

/// The session's transactions are SERIALIZABLE unless they say otherwise. Kept
/// until the session ends: nothing tells that a later SET takes it back.
const DEFAULT_SERIALIZABLE: u32 = 1;
/// A statement of an explicit transaction wrote.
const TRANSACTION_WRITTEN: u32 = 2;
/// Any statement wrote.
const EVER_WRITTEN: u32 = 4;
/// The statement before was such a one of an explicit transaction. Only now,
/// with the state of the transaction after it, is it known to have succeeded.
const TO_CONFIRM: u32 = 8;

/// Both memories, as they are before or after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub transaction: u32,
    pub session: u32,
}

impl Memory {
    /// As it is for this statement. Outside of a transaction nothing is
    /// remembered of one.
    pub fn before(state: &SessionState) -> Self {
        let idle = state.transaction == Transaction::Idle;
        let mut session = state.session_memory & !TO_CONFIRM;
        let to_confirm = session != state.session_memory;
        if to_confirm && state.transaction != Transaction::Failed {
            session |= TRANSACTION_WRITTEN | EVER_WRITTEN;
        }
        Self { transaction: if idle { 0 } else { state.transaction_memory }, session }
    }

    pub fn written(self) -> bool {
        self.transaction & WRITTEN != 0
    }

    pub fn serializable(self) -> bool {
        self.transaction & SERIALIZABLE != 0 || self.session & DEFAULT_SERIALIZABLE != 0
    }

    pub fn primary_alone(self) -> bool {
        self.transaction & PRIMARY_ALONE != 0
    }

    pub fn transaction_written(self) -> bool {
        self.session & TRANSACTION_WRITTEN != 0
    }

    pub fn ever_written(self) -> bool {
        self.session & EVER_WRITTEN != 0
    }

    /// As it is after this statement. For the transaction it is taken to
    /// succeed: if it fails, nothing more is read there, except after ROLLBACK
    /// TO. That forgets nothing: what was written before the savepoint is
    /// still written.
    pub fn after(mut self, statement: &Statement, idle: bool) -> Self {
        let effects = statement.effects;
        let begins = match statement.kind {
            // Within a transaction it is only a warning.
            Kind::Begin => idle,
            _ => effects.contains(Effects::TRANSACTION_INSIDE),
        };
        if statement.kind == Kind::Begin && idle {
            self.transaction = 0;
        }
        if begins && statement.kind != Kind::Begin {
            self.transaction |= PRIMARY_ALONE;
        }
        if matches!(statement.kind, Kind::Commit | Kind::Rollback | Kind::PrepareTransaction) {
            // AND CHAIN begins another with the same characteristics.
            self.transaction &= !WRITTEN;
        }
        if effects.contains(Effects::WRITES) {
            if begins || !idle {
                self.transaction |= WRITTEN;
                self.session |= TO_CONFIRM;
            } else {
                self.session |= EVER_WRITTEN;
            }
        }
        if effects.contains(Effects::SERIALIZABLE) {
            match statement.kind {
                Kind::Set => self.session |= DEFAULT_SERIALIZABLE,
                _ if begins || !idle => self.transaction |= SERIALIZABLE,
                _ => {}
            }
        }
        self
    }
}
