//! What is remembered between statements, as bits of the words that the proxy
//! keeps.

use crate::redirect::{Entry, List};
use waypool_plugin_sdk::{Effects, Kind, SessionState, Statement, Transaction};

/// A statement of this transaction wrote.
const WRITTEN: u32 = 1;
/// This transaction is SERIALIZABLE, which a standby cannot be.
const SERIALIZABLE: u32 = 2;
/// A text of several statements began this transaction, on the primary alone.
const PRIMARY_ALONE: u32 = 4;
/// dml_adaptive: a statement of this transaction may have written anything.
const ANYTHING_WRITTEN: u32 = 8;
/// dml_adaptive: the tables written to are among the session's words.
const TABLES_WRITTEN: u32 = 16;
/// statement_level_load_balance: the server of this transaction's reads.
const READS_ON: Field = Field { shift: 8, bits: 12 };

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
/// The session has used another server than the primary and its home.
const WANDERED: u32 = 16;
/// The redirect list that has an entry for this session …
const LIST: Field = Field { shift: 5, bits: 2 };
/// … and which entry that is.
const ENTRY: Field = Field { shift: 16, bits: 16 };
/// The server that is read from in place of the home.
const SUBSTITUTE: Field = Field { shift: 7, bits: 9 };

/// Some bits of a word: zero is none.
#[derive(Clone, Copy)]
struct Field {
    shift: u32,
    bits: u32,
}

impl Field {
    const fn most(self) -> u32 {
        (1 << self.bits) - 1
    }

    const fn get(self, word: u32) -> u32 {
        (word >> self.shift) & self.most()
    }

    /// A server's number plus one. One that does not fit is not kept: it is
    /// chosen anew each time.
    fn put_server(self, word: u32, id: u32) -> u32 {
        let stored = if id < self.most() { id + 1 } else { 0 };
        word & !(self.most() << self.shift) | stored << self.shift
    }

    fn get_server(self, word: u32) -> Option<u32> {
        self.get(word).checked_sub(1)
    }
}

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

    /// What a session begins with.
    pub fn of_session(entry: Option<Entry>) -> u32 {
        entry.map_or(0, |entry| (entry.list as u32 + 1) << LIST.shift | u32::from(entry.at) << ENTRY.shift)
    }

    pub fn entry(self) -> Option<Entry> {
        let list = LIST.get(self.session).checked_sub(1)?;
        let list = *List::ALL.get(list as usize)?;
        Some(Entry { list, at: ENTRY.get(self.session) as u16 })
    }

    pub fn substitute(self) -> Option<u32> {
        SUBSTITUTE.get_server(self.session)
    }

    pub fn set_substitute(&mut self, id: u32) {
        self.session = SUBSTITUTE.put_server(self.session, id) | WANDERED;
    }

    /// Whether other servers than the primary and the home may be in use.
    pub fn wandered(self) -> bool {
        self.session & WANDERED != 0
    }

    pub fn reads_on(self) -> Option<u32> {
        READS_ON.get_server(self.transaction)
    }

    pub fn set_reads_on(&mut self, id: u32) {
        self.transaction = READS_ON.put_server(self.transaction, id);
    }

    pub fn anything_written(self) -> bool {
        self.transaction & ANYTHING_WRITTEN != 0
    }

    pub fn set_anything_written(&mut self) {
        self.transaction |= ANYTHING_WRITTEN;
    }

    pub fn tables_written(self) -> bool {
        self.transaction & TABLES_WRITTEN != 0
    }

    pub fn set_tables_written(&mut self) {
        self.transaction |= TABLES_WRITTEN;
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

    fn begins(statement: &Statement, idle: bool) -> bool {
        match statement.kind {
            // Within a transaction it is only a warning.
            Kind::Begin => idle,
            _ => statement.effects.contains(Effects::TRANSACTION_INSIDE),
        }
    }

    /// Whether a transaction goes on after this statement, or may.
    pub fn is_within_transaction(statement: &Statement, idle: bool) -> bool {
        !idle || Self::begins(statement, idle)
    }

    /// As it is after this statement. For the transaction it is taken to
    /// succeed: if it fails, nothing more is read there, except after ROLLBACK
    /// TO. That forgets nothing: what was written before the savepoint is
    /// still written.
    pub fn after(mut self, statement: &Statement, idle: bool) -> Self {
        let effects = statement.effects;
        let begins = Self::begins(statement, idle);
        if statement.kind == Kind::Begin && idle {
            self.transaction = 0;
        }
        if begins && statement.kind != Kind::Begin {
            self.transaction |= PRIMARY_ALONE;
        }
        if matches!(statement.kind, Kind::Commit | Kind::Rollback | Kind::PrepareTransaction) {
            // AND CHAIN begins another with the same characteristics.
            self.transaction &= !(WRITTEN | ANYTHING_WRITTEN | TABLES_WRITTEN);
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
