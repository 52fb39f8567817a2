//! UPDATE, DELETE and MERGE: everything is evaluated for each row.

use crate::columns::{self, Table};
use crate::draft::{Draft, Times};
use crate::insert;
use crate::words::{Name, Statement};
use waypool_scan::TokenKind;

pub fn update(statement: &Statement, at: usize, end: usize, draft: &mut Draft) {
    let target = if statement.is(at + 1, "only") { at + 2 } else { at + 1 };
    let set = statement.find(target, end, &["set"]);
    if let Some(name) = statement.name(target) {
        assignments(statement, set, end, &name, Times::PerRow, draft);
    }
    scan_to_returning(statement, at, end, draft);
}

pub fn delete(statement: &Statement, at: usize, end: usize, draft: &mut Draft) {
    scan_to_returning(statement, at, end, draft);
}

/// `MERGE INTO t … WHEN NOT MATCHED THEN INSERT …`
pub fn merge(statement: &Statement, at: usize, end: usize, draft: &mut Draft) {
    let target = if statement.is(at + 2, "only") { at + 3 } else { at + 2 };
    if let Some(name) = statement.name(target) {
        let mut at = target;
        while at < end {
            if statement.is(at, "then") && statement.is(at + 1, "insert") {
                insert::row(statement, at + 2, end, &name, draft);
            } else if statement.is(at, "then") && statement.is(at + 1, "update") {
                assignments(statement, at + 2, end, &name, Times::PerRow, draft);
            }
            at = statement.next(at);
        }
    }
    scan_to_returning(statement, at, end, draft);
}

/// What RETURNING gives is stored nowhere.
fn scan_to_returning(statement: &Statement, at: usize, end: usize, draft: &mut Draft) {
    let returning = statement.find(at, end, &["returning"]);
    draft.scan(statement, at, returning, Times::PerRow);
    draft.scan(statement, returning, end, Times::Unstored);
}

/// `SET a = DEFAULT, (b, c) = (DEFAULT, 1)`, from the SET on.
pub fn assignments(
    statement: &Statement,
    set: usize,
    end: usize,
    target: &Name,
    times: Times,
    draft: &mut Draft,
) {
    if !statement.is(set, "set") {
        return;
    }
    let stop = statement.find(set, end, &["from", "where", "returning", "when"]);
    let wanted = (set..stop).any(|at| statement.is(at, "default"));
    let columns = match wanted.then(|| columns::find(draft.host, target)) {
        None | Some(Table::Missing) => return,
        Some(Table::Unknown) => return draft.ask(),
        Some(Table::Unclear(why)) => {
            return draft.object(&format!("DEFAULT: \"{}\" is {why}", target.name), "Write the value.");
        }
        Some(Table::Found(columns)) => columns,
    };
    let default_of =
        |name: &str| columns.iter().find(|column| column.name == name).and_then(columns::default);
    for (from, to) in statement.items(set + 1, stop) {
        let names: Vec<String> = match statement.opens(from) {
            true => {
                let list = statement.items(from + 1, statement.partner(from));
                list.iter().filter_map(|(first, _)| statement.identifier(*first)).collect()
            }
            false => statement.identifier(from).into_iter().collect(),
        };
        let places: Vec<usize> = values_of(statement, from, to);
        for (name, at) in names.iter().zip(places) {
            if statement.is(at, "default")
                && let Some(default) = default_of(name)
            {
                draft.put_default(statement.start(at), statement.end(at + 1), &default, times);
            }
        }
    }
}

/// Where the values of an assignment begin: one, or those of a row.
fn values_of(statement: &Statement, from: usize, to: usize) -> Vec<usize> {
    let mut at = from;
    while at < to && !(statement.kind(at) == Some(TokenKind::Operator) && statement.raw(at) == "=") {
        at = statement.next(at);
    }
    let value = if statement.is(at + 1, "row") { at + 2 } else { at + 1 };
    match statement.opens(from) && statement.opens(value) {
        true => {
            statement.items(value + 1, statement.partner(value)).into_iter().map(|(first, _)| first).collect()
        }
        false => vec![value],
    }
}
