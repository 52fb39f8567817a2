//! One statement: what its first words say.

use waypool_plugin_sdk::{FunctionFact, Refusal, Volatility};

use crate::draft::{Draft, Times};
use crate::known::What;
use crate::occurrence::{self, Here};
use crate::words::Statement;
use crate::{alter, copy, insert, known, modify};

/// `alone`: it is the only one of its text.
pub fn rewrite(statement: &Statement, alone: bool, draft: &mut Draft) {
    if statement.is(0, "explain") {
        explain(statement, draft);
    } else if statement.is(0, "prepare") && !statement.is(1, "transaction") {
        prepare(statement, alone, draft);
    } else {
        run(statement, 0, draft);
    }
}

/// It runs what it explains with ANALYZE alone.
fn explain(statement: &Statement, draft: &mut Draft) {
    let mut at = 1;
    let mut runs = false;
    if statement.opens(at) && !statement.begins_query(at + 1) && !statement.opens(at + 1) {
        let options = statement.partner(at);
        runs = (at..options).any(|at| statement.is_any(at, &["analyze", "analyse"]));
        at = options + 1;
    }
    while statement.is_any(at, &["analyze", "analyse", "verbose"]) {
        runs |= !statement.is(at, "verbose");
        at += 1;
    }
    if runs {
        run(statement, at, draft);
    }
}

/// What stands in it is evaluated with each EXECUTE: the proxy adds arguments.
fn prepare(statement: &Statement, alone: bool, draft: &mut Draft) {
    let behind = if statement.opens(2) { statement.next(2) } else { 2 };
    if !statement.is(behind, "as") {
        return;
    }
    let before = draft.edits();
    run(statement, behind + 1, draft);
    if !alone && draft.edits() > before {
        let why = "this PREPARE needs values with each EXECUTE, and stands among other statements";
        draft.refuse(Refusal::new("0A000", why).hint("Send the PREPARE by itself."));
    }
}

/// A statement that is run, from this word on.
fn run(statement: &Statement, at: usize, draft: &mut Draft) {
    let end = statement.len();
    if statement.begins_query(at) || statement.opens(at) {
        query(statement, at, draft);
    } else if statement.is(at, "insert") {
        insert::rewrite(statement, at, end, draft);
    } else if statement.is(at, "update") {
        modify::update(statement, at, end, draft);
    } else if statement.is(at, "delete") {
        modify::delete(statement, at, end, draft);
    } else if statement.is(at, "merge") {
        modify::merge(statement, at, end, draft);
    } else if statement.is_any(at, &["execute", "call"]) {
        // What is called is no value.
        let arguments = statement.name(at + 1).map_or(at + 1, |name| name.end);
        draft.scan(statement, arguments, end, Times::Once);
    } else if statement.is(at, "copy") {
        copy::rewrite(statement, at, draft);
    } else if statement.is(at, "create") {
        create(statement, at, draft);
    } else if statement.spells(at, &["alter", "table"]) {
        alter::table(statement, at, draft);
    }
}

/// CREATE TABLE … AS. A view keeps the expressions, not their values.
fn create(statement: &Statement, at: usize, draft: &mut Draft) {
    let end = statement.len();
    let head =
        statement.find(at, end, &["table", "view", "function", "procedure", "index", "schema", "trigger"]);
    if !statement.is(head, "table") {
        return;
    }
    let inside =
        |at: usize| statement.begins_query(at) || (statement.opens(at) && statement.begins_query(at + 1));
    let mut at = head + 1;
    while at < end {
        if statement.is(at, "as") && (inside(at + 1) || statement.is(at + 1, "execute")) {
            return stored(statement, at + 1, draft);
        }
        at = statement.next(at);
    }
}

/// A query whose rows are stored.
fn stored(statement: &Statement, at: usize, draft: &mut Draft) {
    let end = statement.len();
    if statement.is(at, "execute") {
        return draft.scan(statement, at + 2, end, Times::Once);
    }
    let times = if gives_one_row(statement, at, end) { Times::Once } else { Times::PerRow };
    draft.scan(statement, at, end, times);
}

/// SELECT, WITH, VALUES, TABLE: it may store rows after all.
fn query(statement: &Statement, at: usize, draft: &mut Draft) {
    let end = statement.len();
    if statement.is(at, "with") {
        let main = main_of_with(statement, at, end);
        let writes = statement.is_any(main, &["insert", "update", "delete", "merge"]);
        let inside = (at..main).any(|at| statement.opens(at) && modifies(statement, at + 1));
        if writes || inside {
            with(statement, at, draft);
            // What the others read may be stored.
            scan_ctes(statement, at, main, Times::PerRow, draft);
        }
        if writes {
            return run(statement, main, draft);
        }
        if inside {
            return draft.scan(statement, main, end, Times::Unstored);
        }
    }
    let into = statement.find(at, end, &["into", "from"]);
    if statement.is(into, "into") {
        let times = if gives_one_row(statement, at, end) { Times::Once } else { Times::PerRow };
        return draft.scan(statement, at, end, times);
    }
    if calls_writer(statement, at, draft) {
        draft.scan(statement, at, end, Times::Unstored);
    }
}

fn modifies(statement: &Statement, at: usize) -> bool {
    statement.is_any(at, &["insert", "update", "delete", "merge"])
}

/// Rewrites the data-modifying queries of a WITH.
fn with(statement: &Statement, at: usize, draft: &mut Draft) {
    if !statement.is(at, "with") {
        return;
    }
    let end = main_of_with(statement, at, statement.len());
    for open in (at..end).filter(|at| statement.opens(*at) && modifies(statement, at + 1)) {
        let close = statement.partner(open);
        let first = open + 1;
        if statement.is(first, "insert") {
            insert::rewrite(statement, first, close, draft);
        } else if statement.is(first, "update") {
            modify::update(statement, first, close, draft);
        } else if statement.is(first, "delete") {
            modify::delete(statement, first, close, draft);
        } else {
            modify::merge(statement, first, close, draft);
        }
    }
}

/// The queries of a WITH that only read.
fn scan_ctes(statement: &Statement, at: usize, end: usize, times: Times, draft: &mut Draft) {
    let mut at = at;
    while at < end {
        let to = statement.next(at);
        if statement.opens(at) && !modifies(statement, at + 1) {
            draft.scan(statement, at, to, times);
        }
        at = to;
    }
}

/// Where the main statement begins behind its WITH.
pub fn main_of_with(statement: &Statement, at: usize, end: usize) -> usize {
    statement.find(at + 1, end, &["select", "insert", "update", "delete", "merge", "values", "table"])
}

/// A SELECT that is a row by itself: no FROM, nothing around it, and no call but of
/// functions that are known to give one value.
pub fn gives_one_row(statement: &Statement, at: usize, end: usize) -> bool {
    let parts = ["from", "union", "intersect", "except", "group", "having", "window", "order"];
    if !statement.is(at, "select") || statement.find(at, end, &parts) < end {
        return false;
    }
    (at..end).filter(|at| statement.opens(at + 1)).all(|at| match statement.name(at) {
        Some(name) if name.end == at + 1 => {
            known::function(&name.name).is_some()
                || ["exists", "values", "coalesce", "in"].contains(&&*name.name)
                || known::moment(&name.name).is_some()
                || statement.begins_query(at + 2)
        }
        _ => true,
    })
}

/// A query that calls a volatile function, which may store what it is given. Only
/// asked if there is something in the query that would differ.
fn calls_writer(statement: &Statement, at: usize, draft: &mut Draft) -> bool {
    let end = statement.len();
    let differs = |at: usize| match occurrence::look(statement, at, draft.host) {
        Here::Found(found) => found.what == What::Stable,
        _ => false,
    };
    if !(at..end).any(|at| statement.kind(at).is_some_and(|_| may_differ(statement, at)) && differs(at)) {
        return false;
    }
    let mut writes = false;
    for at in at..end {
        let Some(name) = statement.name(at).filter(|name| statement.opens(name.end)) else { continue };
        if known::function(&name.name).is_some() || known::is_harmless(&name.name) {
            continue;
        }
        match draft.host.function_fact(name.schema.as_deref(), &name.name) {
            FunctionFact::Unknown => draft.ask(),
            FunctionFact::Found(volatility) => writes |= volatility == Volatility::Volatile,
            FunctionFact::Missing => {}
        }
    }
    writes
}

/// Without asking the catalog: is this a moment, or one of the functions known?
fn may_differ(statement: &Statement, at: usize) -> bool {
    match statement.name(at) {
        Some(name) if statement.opens(name.end) => known::function(&name.name).is_some(),
        Some(name) => {
            known::moment(&name.name).is_some()
                || statement.kind(name.end).is_some_and(|kind| kind.is_literal())
        }
        None => known::is_moment(statement.raw(at)),
    }
}
