//! Statements that set the session's parameters: SET, RESET, SHOW, DISCARD.

use waypool_plugin_sdk::{Effects, Kind, Servers, Verdict};
use waypool_scan::TokenKind;

use crate::answer::{answer, unparsed, write};
use crate::keyword::Keyword;
use crate::transaction::{self, Modes};
use crate::words::Cursor;

/// Every session's part of this: sent to all servers, and counted as a write
/// by Pgpool-II, so that later reads of the transaction see it for certain.
const PARAMETER: Effects = Effects::WRITES.union(Effects::SESSION_STATE);

fn named(mut verdict: Verdict, name: impl Into<String>) -> Verdict {
    verdict.name = Some(name.into());
    verdict
}

/// How long a SET lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Session,
    Transaction,
}

impl Scope {
    fn answer(self, name: impl Into<String>) -> Verdict {
        let (kind, effects) = match self {
            Scope::Session => (Kind::Set, PARAMETER),
            Scope::Transaction => (Kind::SetLocal, Effects::WRITES),
        };
        named(answer(kind, Servers::All, effects, "sets a parameter"), name)
    }
}

/// Behind SET
pub fn set(mut cursor: Cursor) -> Verdict {
    use Keyword::*;
    let scope = if cursor.accept(Local) { Scope::Transaction } else { Scope::Session };
    let session = cursor.accept(Session);
    match (cursor.keyword(0), cursor.keyword(1)) {
        (Transaction, Snapshot) => shared_snapshot(),
        (Transaction, _) => set_modes(cursor, Kind::SetLocal),
        (Characteristics, As) if session => set_modes(cursor, Kind::Set),
        (Constraints, _) => write(Kind::SetLocal, "SET CONSTRAINTS"),
        (Authorization, _) if session => scope.answer("session_authorization"),
        (Time, Zone) => scope.answer("timezone"),
        (Xml, OptionOf) => scope.answer("xmloption"),
        (Names, next) if !assigns(&cursor, next) => scope.answer("client_encoding"),
        (Schema, next) if !assigns(&cursor, next) => scope.answer("search_path"),
        (Role, next) if !assigns(&cursor, next) => scope.answer("role"),
        _ => set_variable(cursor, scope),
    }
}

/// Does TO or = follow the word here?
fn assigns(cursor: &Cursor, next: Keyword) -> bool {
    next == Keyword::To || cursor.kind(1) == Some(TokenKind::Operator)
}

/// SET TRANSACTION SNAPSHOT: the snapshot exists on the primary alone, and
/// so do all reads of it.
fn shared_snapshot() -> Verdict {
    write(Kind::SetLocal, "a snapshot of the primary")
}

/// SET TRANSACTION, SET SESSION CHARACTERISTICS AS TRANSACTION
fn set_modes(cursor: Cursor, kind: Kind) -> Verdict {
    let Some(modes) = transaction::modes(cursor) else {
        return unparsed("unknown transaction mode");
    };
    let name = match (kind, modes.isolation) {
        (Kind::SetLocal, _) => "transaction",
        (_, true) => "default_transaction_isolation",
        (_, false) if modes.access.is_some() => "default_transaction_read_only",
        _ => "default_transaction_deferrable",
    };
    named(mode_answer(kind, modes), name)
}

fn mode_answer(kind: Kind, modes: Modes) -> Verdict {
    // A standby refuses SERIALIZABLE and READ WRITE.
    let (servers, reason) = match modes.primary_only() {
        true => (Servers::Primary, "a transaction mode that only the primary has"),
        false => (Servers::All, "sets a transaction mode"),
    };
    let mut effects = modes.effects();
    if !effects.intersects(Effects::SERIALIZABLE | Effects::READ_ONLY) {
        effects |= Effects::WRITES;
    }
    if kind == Kind::Set {
        effects |= Effects::SESSION_STATE;
    }
    answer(kind, servers, effects, reason)
}

/// `name = value`, `name TO value`
fn set_variable(mut cursor: Cursor, scope: Scope) -> Verdict {
    let Some(name) = variable(&mut cursor) else {
        return unparsed("SET of an unreadable name");
    };
    let equals = cursor.kind(0) == Some(TokenKind::Operator) && cursor.raw() == "=";
    if !equals && cursor.keyword(0) != Keyword::To {
        return unparsed("SET without a value");
    }
    cursor.at += 1;
    let value = value(&cursor);
    match name.as_str() {
        // These last for the transaction, whatever the scope.
        "transaction_isolation" => {
            let modes = Modes { isolation: true, serializable: value == "serializable", access: None };
            named(mode_answer(Kind::SetLocal, modes), name)
        }
        "transaction_read_only" => {
            let modes = Modes { access: Some(access(&value)), ..Modes::default() };
            named(mode_answer(Kind::SetLocal, modes), name)
        }
        "transaction_deferrable" => Scope::Transaction.answer(name),
        "default_transaction_isolation" if value == "serializable" => {
            let modes = Modes { isolation: true, serializable: true, access: None };
            let kind = if scope == Scope::Session { Kind::Set } else { Kind::SetLocal };
            named(mode_answer(kind, modes), name)
        }
        _ => scope.answer(name),
    }
}

/// `SELECT set_config('name', 'value', false)`: the parameter. With other
/// arguments it is a query like others.
pub fn set_config(mut cursor: Cursor) -> Option<String> {
    if !cursor.accept(Keyword::Select) || cursor.qualified()?.name != "set_config" {
        return None;
    }
    let kinds = [
        TokenKind::ParenOpen,
        TokenKind::String,
        TokenKind::Comma,
        TokenKind::String,
        TokenKind::Comma,
        TokenKind::Word,
        TokenKind::ParenClose,
    ];
    let fits = kinds.iter().enumerate().all(|(ahead, kind)| cursor.kind(ahead) == Some(*kind));
    if !fits || cursor.words().len() != cursor.at + kinds.len() || cursor.keyword(5) != Keyword::False {
        return None;
    }
    cursor.at += 1;
    let name = cursor.raw().trim_matches('\'').to_ascii_lowercase();
    // These last for the transaction, whatever the last argument.
    let plain = !name.contains(['\'', '\\']) && !name.starts_with("transaction_");
    plain.then_some(name)
}

/// What `transaction_read_only` is set to; every spelling of a boolean that
/// PostgreSQL knows, and in doubt the one that a standby refuses.
fn access(value: &str) -> transaction::Access {
    let on = ["on", "true", "yes", "1"]
        .iter()
        .any(|spelling| !value.is_empty() && value != "o" && spelling.starts_with(value));
    if on { transaction::Access::ReadOnly } else { transaction::Access::ReadWrite }
}

/// The value here in lower case, without quotes.
fn value(cursor: &Cursor) -> String {
    let raw = cursor.raw();
    let from = raw.find('\'').map_or(0, |quote| quote + 1);
    raw[from..].trim_matches(['\'', '"']).trim().to_ascii_lowercase()
}

/// `name` or `extension.name`; case never matters in it.
fn variable(cursor: &mut Cursor) -> Option<String> {
    let mut name = cursor.identifier()?;
    while cursor.kind(0) == Some(TokenKind::Dot) {
        cursor.at += 1;
        name.push('.');
        name.push_str(&cursor.identifier()?);
    }
    Some(name.to_ascii_lowercase())
}

/// The parameter of RESET and SHOW; `None` if there is none.
fn parameter(cursor: &mut Cursor) -> Option<String> {
    use Keyword::*;
    match (cursor.keyword(0), cursor.keyword(1)) {
        (Time, Zone) => Some("timezone".to_owned()),
        (Session, Authorization) => Some("session_authorization".to_owned()),
        (Transaction, Isolation) => Some("transaction_isolation".to_owned()),
        _ => variable(cursor),
    }
}

/// Behind RESET
pub fn reset(mut cursor: Cursor) -> Verdict {
    let verdict = answer(Kind::Reset, Servers::All, PARAMETER, "resets a parameter");
    if cursor.keyword(0) == Keyword::All {
        return verdict;
    }
    match parameter(&mut cursor) {
        Some(name) => named(verdict, name),
        None => unparsed("RESET of an unreadable name"),
    }
}

/// Behind SHOW
pub fn show(mut cursor: Cursor) -> Verdict {
    let verdict = answer(Kind::Show, Servers::Any, Effects::empty(), "SHOW");
    if cursor.keyword(0) == Keyword::All {
        return verdict;
    }
    match parameter(&mut cursor) {
        Some(name) => named(verdict, name),
        None => unparsed("SHOW of an unreadable name"),
    }
}

/// Behind DISCARD
pub fn discard(mut cursor: Cursor) -> Verdict {
    let verdict = answer(Kind::Discard, Servers::All, PARAMETER, "DISCARD");
    match cursor.identifier() {
        Some(what) => named(verdict, what),
        None => unparsed("DISCARD of nothing"),
    }
}
