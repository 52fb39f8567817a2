//! BEGIN, COMMIT, ROLLBACK, savepoints and two-phase commit.

use waypool_plugin_sdk::{Effects, Kind, Servers, Verdict};
use waypool_scan::TokenKind;

use crate::answer::{answer, unparsed};
use crate::keyword::Keyword;
use crate::words::Cursor;

/// READ ONLY or READ WRITE
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// The modes that a transaction is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// There is an ISOLATION LEVEL among them.
    pub isolation: bool,
    pub serializable: bool,
    pub access: Option<Access>,
}

impl Modes {
    pub fn effects(self) -> Effects {
        let isolation = match self.serializable {
            true => Effects::SERIALIZABLE,
            false => Effects::empty(),
        };
        match self.access {
            Some(Access::ReadOnly) => isolation | Effects::READ_ONLY,
            Some(Access::ReadWrite) => isolation | Effects::READ_WRITE,
            None => isolation,
        }
    }

    /// Would a standby refuse them?
    pub fn primary_only(self) -> bool {
        self.serializable || self.access == Some(Access::ReadWrite)
    }
}

/// The modes named from here on, where a later one wins. `None` if something
/// stands there that is no mode.
pub fn modes(cursor: Cursor) -> Option<Modes> {
    use Keyword::{Isolation, Level, Only, Read, Serializable, Write};
    let mut modes = Modes::default();
    let mut cursor = cursor;
    while let Some(kind) = cursor.kind(0) {
        if !matches!(kind, TokenKind::Word | TokenKind::Comma) {
            return None;
        }
        if cursor.spells(&[Isolation, Level]) {
            modes.isolation = true;
            modes.serializable = cursor.keyword(2) == Serializable;
        } else if cursor.spells(&[Read, Only]) {
            modes.access = Some(Access::ReadOnly);
        } else if cursor.spells(&[Read, Write]) {
            modes.access = Some(Access::ReadWrite);
        }
        cursor.at += 1;
    }
    Some(modes)
}

/// Behind BEGIN, or START TRANSACTION. It goes to all servers whatever its
/// modes; the effects tell which of them a standby would refuse, so that the
/// standbys get a plain BEGIN.
pub fn begin(cursor: Cursor) -> Verdict {
    match modes(cursor) {
        Some(modes) => answer(Kind::Begin, Servers::All, modes.effects(), "begins a transaction"),
        None => unparsed("unknown transaction mode"),
    }
}

/// Behind COMMIT or END
pub fn commit(cursor: Cursor) -> Verdict {
    match cursor.keyword(0) {
        Keyword::Prepared => finish_prepared(),
        _ => ends(cursor, Kind::Commit, "ends the transaction"),
    }
}

/// Behind ROLLBACK or ABORT
pub fn rollback(mut cursor: Cursor) -> Verdict {
    if cursor.keyword(0) == Keyword::Prepared {
        return finish_prepared();
    }
    cursor.accept_any(&[Keyword::Work, Keyword::Transaction]);
    if !cursor.accept(Keyword::To) {
        return ends(cursor, Kind::Rollback, "ends the transaction");
    }
    // Not a write: but what was written before the savepoint stays written.
    savepoint(cursor, Kind::RollbackTo, Effects::empty())
}

/// Nothing but words can follow: `COMMIT WORK AND NO CHAIN`.
fn ends(cursor: Cursor, kind: Kind, reason: &str) -> Verdict {
    let rest = cursor.rest();
    match rest.words().iter().all(|word| word.kind == TokenKind::Word) {
        true => answer(kind, Servers::All, Effects::empty(), reason),
        false => unparsed("something after the end of the transaction"),
    }
}

/// Prepared transactions exist on the primary alone.
fn finish_prepared() -> Verdict {
    answer(Kind::FinishPrepared, Servers::Primary, Effects::empty(), "two-phase commit")
}

/// PREPARE TRANSACTION
pub fn prepare_transaction() -> Verdict {
    answer(Kind::PrepareTransaction, Servers::Primary, Effects::empty(), "two-phase commit")
}

/// Behind SAVEPOINT, RELEASE or ROLLBACK TO
pub fn savepoint(mut cursor: Cursor, kind: Kind, effects: Effects) -> Verdict {
    if kind != Kind::Savepoint && cursor.peek(1).is_some() {
        cursor.accept(Keyword::Savepoint);
    }
    match cursor.identifier() {
        Some(name) => {
            let mut verdict = answer(kind, Servers::All, effects, "savepoint");
            verdict.name = Some(name);
            verdict
        }
        None => unparsed("savepoint without a name"),
    }
}
