//! In which order servers get a statement, and whether it needs a transaction.

use crate::plugin::contract::{Effects, Kind, Verdict};
use crate::protocol::backend::TransactionStatus;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    /// It takes no locks, or changes nothing but the session.
    AtOnce,
    /// The others get it only when the main server has accepted it.
    MainFirst,
    /// What was written becomes visible.
    Commit,
    /// PREPARE TRANSACTION: main first, and all or none.
    Prepare,
    /// COMMIT PREPARED: main first; what was written becomes visible.
    Finish,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub order: Order,
    /// It runs in a transaction of ours, so that all servers commit it or none.
    pub internal: bool,
    pub writes: bool,
    /// A server where it failed has another session state than the others.
    pub changes_session: bool,
    /// It may hold several statements.
    pub several: bool,
    /// More follows in the same transaction of ours.
    pub stays: bool,
}

impl Plan {
    /// For statements that run together.
    pub fn and(self, other: Plan) -> Plan {
        let order = match (self.order, other.order) {
            (one, other) if one == other => one,
            _ => Order::MainFirst,
        };
        Plan {
            order,
            internal: self.internal || other.internal,
            writes: self.writes || other.writes,
            changes_session: self.changes_session || other.changes_session,
            several: true,
            stays: false,
        }
    }
}

/// `first` is the statement's first word.
pub(super) fn plan(verdict: &Verdict, status: TransactionStatus, first: &str) -> Plan {
    let idle = status == TransactionStatus::Idle;
    let effects = verdict.effects;
    let session = Plan { changes_session: true, ..Plan::default() };
    let several = effects.contains(Effects::MULTIPLE);
    let work = Plan {
        order: Order::MainFirst,
        internal: idle,
        writes: true,
        changes_session: effects.contains(Effects::SESSION_STATE),
        several,
        stays: false,
    };
    match verdict.kind {
        Kind::Commit if !idle => Plan { order: Order::Commit, writes: true, ..session },
        Kind::PrepareTransaction if !idle => Plan { order: Order::Prepare, writes: true, ..session },
        Kind::Prepare => session,
        kind if looks_at_nothing(kind) => session,
        // Outside of a transaction these are errors, or about what is held.
        Kind::Lock | Kind::Cursor if idle => session,
        Kind::Cursor => Plan { writes: true, ..work },
        Kind::FinishPrepared => Plan { order: Order::Finish, internal: false, ..work },
        _ if effects.contains(Effects::TRANSACTION_INSIDE) => Plan { internal: false, ..work },
        _ if effects.contains(Effects::UNUSED_DATABASE) => Plan { internal: false, ..work },
        Kind::Utility if takes_no_transaction(first) => Plan { internal: false, ..work },
        Kind::Select if !effects.intersects(Effects::WRITES | Effects::LOCKS) => {
            Plan { writes: false, changes_session: false, ..session }
        }
        _ => work,
    }
}

/// It is about the session or its transaction: neither tables nor rows are looked at.
pub(super) fn looks_at_nothing(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Empty
            | Kind::Begin
            | Kind::Commit
            | Kind::Rollback
            | Kind::Savepoint
            | Kind::Release
            | Kind::RollbackTo
            | Kind::PrepareTransaction
            | Kind::Set
            | Kind::SetLocal
            | Kind::Reset
            | Kind::Discard
            | Kind::Show
            | Kind::Deallocate
            | Kind::Listen
    )
}

/// What never runs inside a transaction, or does not need one; whatever else
/// does not is tried again without (25001).
fn takes_no_transaction(first: &str) -> bool {
    ["vacuum", "cluster", "checkpoint", "load"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// The first word of a statement, behind comments and blanks.
pub(in super::super) fn first_word(text: &[u8]) -> &str {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let rest = behind_comments(text);
    let end = rest.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(rest.len());
    &rest[..end]
}

/// What stands behind the comments at the beginning of a text.
pub(super) fn behind_comments(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let behind = if rest.starts_with("--") {
            rest.find('\n').map(|end| &rest[end..])
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|end| &rest[end + 2..])
        } else {
            return rest;
        };
        rest = behind.unwrap_or_default().trim_start();
    }
}

#[cfg(test)]
mod tests;
