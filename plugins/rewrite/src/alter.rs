//! ALTER TABLE: the rows that are there get values.

use crate::columns::quoted;
use crate::draft::{Draft, Times};
use crate::words::Statement;

const SERIAL: [&str; 6] = ["smallserial", "serial", "bigserial", "serial2", "serial4", "serial8"];
/// What may stand behind the expression of a default.
const BEHIND: [&str; 8] =
    ["constraint", "null", "check", "unique", "primary", "references", "deferrable", "initially"];

pub fn table(statement: &Statement, at: usize, draft: &mut Draft) {
    let exists = if statement.spells(at + 2, &["if", "exists"]) { 2 } else { 0 };
    let only = usize::from(statement.is(at + 2 + exists, "only"));
    let Some(target) = statement.name(at + 2 + exists + only) else { return };
    for (from, to) in statement.items(target.end, statement.len()) {
        let using = statement.find(from, to, &["using"]);
        if statement.is(from, "add") {
            add(statement, from + 1, to, draft);
        } else if statement.is(from, "alter") {
            draft.scan(statement, using, to, Times::PerRow);
        }
    }
}

/// What stands behind ADD.
fn add(statement: &Statement, from: usize, to: usize, draft: &mut Draft) {
    let constraints = ["constraint", "check", "unique", "primary", "foreign", "exclude"];
    if statement.is_any(from, &constraints) {
        return;
    }
    let at = if statement.is(from, "column") { from + 1 } else { from };
    let maybe = statement.spells(at, &["if", "not", "exists"]);
    let at = if maybe { at + 3 } else { at };
    let Some(column) = statement.identifier(at) else { return };
    if statement.is_any(at + 1, &SERIAL) || statement.find(at + 1, to, &["identity"]) < to {
        let hint = "Each numbers the rows in its own order. Make another table with the column, and fill it by \
                    INSERT … SELECT … ORDER BY.";
        return draft.object(&format!("column \"{column}\""), hint);
    }
    let default = statement.find(at + 1, to, &["default"]);
    if default == to {
        return;
    }
    let end = end_of_expression(statement, default + 1, to);
    let before = draft.edits();
    draft.scan(statement, default + 1, end, Times::PerRow);
    if draft.edits() == before {
        return;
    }
    if maybe {
        // The column that is there may have another default.
        return draft.object(&format!("column \"{column}\""), "Leave IF NOT EXISTS out.");
    }
    // The rows that are there have one value, those to come the expression's.
    let expression = statement.slice(default + 1, end);
    let column = quoted(&column);
    draft.insert(statement.end(to), &format!(", ALTER COLUMN {column} SET DEFAULT {expression}"));
}

fn end_of_expression(statement: &Statement, from: usize, to: usize) -> usize {
    let mut at = from;
    loop {
        // NULL may be the expression itself.
        at = statement.next(at);
        let ends = statement.is_any(at, &BEHIND) || statement.spells(at, &["not", "null"]);
        if at >= to || ends || statement.spells(at, &["not", "deferrable"]) {
            return at.min(to);
        }
    }
}
