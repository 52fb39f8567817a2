//! Finding what each server would make up for itself.

use waypool_plugin_sdk::{FunctionFact, Host, Volatility};
use waypool_scan::TokenKind;

use crate::known::{self, What};
use crate::words::Statement;

/// A value in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub what: What,
    /// Its words
    pub from: usize,
    pub to: usize,
    pub type_name: Option<String>,
    /// For people
    pub name: String,
    /// A function that nothing is known of but that it is volatile: it may
    /// change something.
    pub changes: bool,
}

/// What stands here.
pub enum Here {
    /// Nothing of interest
    Nothing,
    Found(Occurrence),
    /// The catalog has to be asked.
    Unknown,
}

/// Looks at one word of a statement.
pub fn look(statement: &Statement, at: usize, host: &Host) -> Here {
    match statement.kind(at) {
        Some(TokenKind::Word | TokenKind::QuotedIdentifier) => {}
        Some(kind) if kind.is_literal() && kind != TokenKind::Number => {
            return literal_with_cast(statement, at).map_or(Here::Nothing, Here::Found);
        }
        _ => return Here::Nothing,
    }
    let before = at.checked_sub(1);
    let behind_dot = before.is_some_and(|before| statement.kind(before) == Some(TokenKind::Dot));
    let is_label = before.is_some_and(|before| statement.is(before, "as"));
    if behind_dot || is_label {
        return Here::Nothing;
    }
    if let Some(found) = moment(statement, at).or_else(|| literal_behind_type(statement, at)) {
        return Here::Found(found);
    }
    call(statement, at, host)
}

/// `CURRENT_TIMESTAMP`, `LOCALTIME(3)`
fn moment(statement: &Statement, at: usize) -> Option<Occurrence> {
    if statement.kind(at) != Some(TokenKind::Word) {
        return None;
    }
    let type_name = known::moment(statement.raw(at))?;
    let to = if statement.opens(at + 1) { statement.next(at + 1) } else { at + 1 };
    Some(stable(statement, at, to, type_name))
}

fn stable(statement: &Statement, from: usize, to: usize, type_name: &str) -> Occurrence {
    Occurrence {
        what: What::Stable,
        from,
        to,
        type_name: Some(type_name.to_owned()),
        name: statement.slice(from, to).to_owned(),
        changes: false,
    }
}

/// A function that is called here.
fn call(statement: &Statement, at: usize, host: &Host) -> Here {
    // A column list, or a type with modifiers.
    let no_call = ["into", "table", "update", "references"];
    let Some(name) = statement.name(at).filter(|name| statement.opens(name.end)) else {
        return Here::Nothing;
    };
    if at.checked_sub(1).is_some_and(|before| statement.is_any(before, &no_call)) {
        return Here::Nothing;
    }
    let to = statement.next(name.end);
    let found = |what, type_name: Option<&str>, changes| {
        Here::Found(Occurrence {
            what,
            from: at,
            to,
            type_name: type_name.map(str::to_owned),
            name: format!("{}()", statement.slice(at, name.end)),
            changes,
        })
    };
    let schema = name.schema.as_deref();
    let of_system =
        schema.is_none_or(|schema| schema == "pg_catalog") || name.name.starts_with("uuid_generate");
    if of_system && let Some(known) = known::function(&name.name) {
        return found(known.what, known.type_name, known.what == What::Sequence);
    }
    // `age(timestamp)` counts from the current date.
    let first = statement.kind(name.end + 1);
    let one_argument =
        first != Some(TokenKind::ParenClose) && statement.items(name.end + 1, to - 1).len() == 1;
    if of_system && name.name == "age" && one_argument {
        return found(What::Unrepeatable, None, false);
    }
    if of_system && known::is_harmless(&name.name) {
        return Here::Nothing;
    }
    match host.function_fact(schema, &name.name) {
        FunctionFact::Unknown => Here::Unknown,
        FunctionFact::Found(Volatility::Volatile) => found(What::Random, None, true),
        FunctionFact::Found(_) | FunctionFact::Missing => Here::Nothing,
    }
}

/// `'now'::timestamptz`, `CAST('today' AS date)`
fn literal_with_cast(statement: &Statement, at: usize) -> Option<Occurrence> {
    if !known::is_moment(statement.raw(at)) {
        return None;
    }
    if statement.kind(at + 1) == Some(TokenKind::Cast) {
        let (to, type_name) = datetime_type(statement, at + 2)?;
        return Some(stable(statement, at, to, type_name));
    }
    let in_cast = at >= 2 && statement.opens(at - 1) && statement.is(at - 2, "cast");
    if in_cast && statement.is(at + 1, "as") {
        let (to, type_name) = datetime_type(statement, at + 2)?;
        return statement.closes(to).then(|| stable(statement, at - 2, to + 1, type_name));
    }
    None
}

/// `timestamp with time zone 'now'`
fn literal_behind_type(statement: &Statement, at: usize) -> Option<Occurrence> {
    let (to, type_name) = datetime_type(statement, at)?;
    let is_string = statement.kind(to).is_some_and(|kind| kind.is_literal() && kind != TokenKind::Number);
    (is_string && known::is_moment(statement.raw(to))).then(|| stable(statement, at, to + 1, type_name))
}

/// Where the name of a type of date or time ends that begins here.
fn datetime_type(statement: &Statement, at: usize) -> Option<(usize, &'static str)> {
    let qualified = statement.is(at, "pg_catalog") && statement.kind(at + 1) == Some(TokenKind::Dot);
    let at = if qualified { at + 2 } else { at };
    let mut to = at + 1;
    if statement.opens(to) {
        to = statement.next(to);
    }
    let zoned = match () {
        () if statement.spells(to, &["with", "time", "zone"]) => Some(true),
        () if statement.spells(to, &["without", "time", "zone"]) => Some(false),
        () => None,
    };
    let end = if zoned.is_some() { to + 3 } else { to };
    let name = statement.identifier(at)?;
    let type_name = match (name.as_str(), zoned == Some(true)) {
        ("date", _) => "pg_catalog.date",
        ("timestamptz", _) | ("timestamp", true) => known::TIMESTAMPTZ,
        ("timetz", _) | ("time", true) => "pg_catalog.timetz",
        ("timestamp", false) => "pg_catalog.timestamp",
        ("time", false) => "pg_catalog.time",
        _ => return None,
    };
    let is_array = statement.kind(end) == Some(TokenKind::BracketOpen);
    (!is_array).then_some((end, type_name))
}
