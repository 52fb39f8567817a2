//! COPY: of a query, or into a table.

use crate::columns::{self, Kind, Table};
use crate::draft::Draft;
use crate::words::Statement;
use crate::{insert, modify};

pub fn rewrite(statement: &Statement, at: usize, draft: &mut Draft) {
    let end = statement.len();
    if statement.opens(at + 1) {
        // Of a query nothing is stored, unless it changes data.
        let (first, close) = (at + 2, statement.partner(at + 1));
        if statement.is(first, "insert") {
            insert::rewrite(statement, first, close, draft);
        } else if statement.is(first, "update") {
            modify::update(statement, first, close, draft);
        } else if statement.is(first, "delete") {
            modify::delete(statement, first, close, draft);
        } else if statement.is(first, "merge") {
            modify::merge(statement, first, close, draft);
        }
        return;
    }
    let target = if statement.is(at + 1, "binary") { at + 2 } else { at + 1 };
    let Some(name) = statement.name(target) else { return };
    let list = statement.opens(name.end).then_some(name.end);
    let from = if list.is_some() { statement.next(name.end) } else { name.end };
    if !statement.is(from, "from") {
        return;
    }
    // COPY … (DEFAULT '\D') has a default wherever that stands.
    let anywhere = (from..end).any(|at| statement.is(at, "default"));
    let given: Vec<String> = match list {
        Some(open) => {
            let items = statement.items(open + 1, statement.partner(open));
            items.iter().filter_map(|(first, _)| statement.identifier(*first)).collect()
        }
        // Every column.
        None if !anywhere => return,
        None => Vec::new(),
    };
    let columns = match columns::find(draft.host, &name) {
        Table::Unknown => return draft.ask(),
        Table::Missing => return,
        Table::Unclear(why) => {
            return draft
                .object(&format!("a column: \"{}\" is {why}", name.name), "Name the table by its schema.");
        }
        Table::Found(columns) => columns,
    };
    let left_out = columns.iter().filter(|column| anywhere || !given.contains(&column.name));
    for default in left_out.filter_map(columns::default) {
        // The rows come in one order, and nobody else inserts meanwhile: every
        // server counts alike.
        if default.kind != Kind::Sequence {
            draft.object_to_default(&default);
        }
    }
}
