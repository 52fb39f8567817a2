//! INSERT, and the INSERT of a MERGE: values, and columns without one.

use waypool_plugin_sdk::{Column, Evaluation};
use waypool_scan::TokenKind;

use crate::columns::{self, Default, Kind, Table};
use crate::draft::{Draft, Times};
use crate::known;
use crate::modify;
use crate::statement::{gives_one_row, main_of_with};
use crate::words::{Name, Statement};

/// What stands between the table and the rows.
struct Head {
    target: Name,
    /// The word behind the table and its alias
    list_at: usize,
    /// The columns listed
    list: Option<Vec<String>>,
    /// The word behind the list
    list_end: usize,
    /// OVERRIDING SYSTEM, or USER
    system: bool,
    user: bool,
    /// Where the rows begin
    body: usize,
}

impl Head {
    fn read(statement: &Statement, target: Name, list_at: usize) -> Self {
        let open = list_at;
        let is_list =
            statement.opens(open) && !statement.begins_query(open + 1) && !statement.opens(open + 1);
        let list = is_list.then(|| {
            let items = statement.items(open + 1, statement.partner(open));
            items.iter().filter_map(|(first, _)| statement.identifier(*first)).collect()
        });
        let list_end = if is_list { statement.next(open) } else { open };
        let overriding = statement.is(list_end, "overriding");
        Head {
            target,
            list_at,
            list,
            list_end,
            system: overriding && statement.is(list_end + 1, "system"),
            user: overriding && statement.is(list_end + 1, "user"),
            body: if overriding { list_end + 3 } else { list_end },
        }
    }
}

/// The words `at..end` are an INSERT.
pub fn rewrite(statement: &Statement, at: usize, end: usize, draft: &mut Draft) {
    let Some(target) = statement.name(at + 2) else { return };
    let behind = target.end;
    let list_at = if statement.is(behind, "as") { behind + 2 } else { behind };
    let head = Head::read(statement, target, list_at);
    let rest = tail(statement, head.body, end);
    let times = if statement.is(head.body, "default") {
        fill_rows(statement, &head, &[], Times::Once, draft);
        Times::Once
    } else {
        match rows(statement, head.body, rest) {
            Some(rows) => {
                fill_rows(statement, &head, &rows, Times::Once, draft);
                if rows.len() == 1 { Times::Once } else { Times::PerRow }
            }
            None => fill_query(statement, &head, rest, draft),
        }
    };
    conflict(statement, &head.target, rest, end, times, draft);
}

/// Where ON CONFLICT or RETURNING begins.
fn tail(statement: &Statement, from: usize, end: usize) -> usize {
    let mut at = from;
    while at < end && !statement.is(at, "returning") && !statement.spells(at, &["on", "conflict"]) {
        at = statement.next(at);
    }
    at.min(end)
}

fn conflict(statement: &Statement, target: &Name, rest: usize, end: usize, times: Times, draft: &mut Draft) {
    let returning = statement.find(rest, end, &["returning"]);
    let set = statement.find(rest, returning, &["set"]);
    modify::assignments(statement, set, returning, target, times, draft);
    draft.scan(statement, rest, returning, times);
    draft.scan(statement, returning, end, Times::Unstored);
}

/// The INSERT of a MERGE, behind that word: once for each row.
pub fn row(statement: &Statement, at: usize, end: usize, target: &Name, draft: &mut Draft) {
    let head = Head::read(statement, target.clone(), at);
    if statement.is(head.body, "default") {
        fill_rows(statement, &head, &[], Times::PerRow, draft);
    } else if statement.is(head.body, "values") && head.body < end && statement.opens(head.body + 1) {
        let open = head.body + 1;
        fill_rows(statement, &head, &[(open, statement.partner(open))], Times::PerRow, draft);
    }
}

/// The parentheses of `VALUES (…), (…)`, if there is nothing else.
fn rows(statement: &Statement, at: usize, end: usize) -> Option<Vec<(usize, usize)>> {
    let mut rows = Vec::new();
    if !statement.is(at, "values") {
        return None;
    }
    let mut at = at + 1;
    while statement.opens(at) {
        rows.push((at, statement.partner(at)));
        at = statement.next(at);
        if at < end && statement.kind(at) == Some(TokenKind::Comma) {
            at += 1;
        } else {
            break;
        }
    }
    (at == end && !rows.is_empty()).then_some(rows)
}

/// The columns of the target; `None` if there is nothing to do about them.
fn target_columns(head: &Head, draft: &mut Draft) -> Option<Vec<Column>> {
    match columns::find(draft.host, &head.target) {
        Table::Missing => None,
        Table::Unknown => {
            draft.ask();
            None
        }
        Table::Unclear(why) => {
            let what = format!("a column: \"{}\" is {why}", head.target.name);
            draft.object(&what, "Name the table, with its schema.");
            None
        }
        Table::Found(columns) => Some(columns),
    }
}

/// VALUES, or with no rows: DEFAULT VALUES.
fn fill_rows(statement: &Statement, head: &Head, rows: &[(usize, usize)], times: Times, draft: &mut Draft) {
    let items: Vec<Vec<(usize, usize)>> =
        rows.iter().map(|(open, close)| statement.items(open + 1, *close)).collect();
    // A MERGE looks at all its words itself.
    if times == Times::Once {
        rows.iter().for_each(|(open, close)| draft.scan(statement, *open, *close, times));
    }
    let Some(columns) = target_columns(head, draft) else { return };
    let count = items.first().map_or(0, Vec::len);
    if items.iter().any(|row| row.len() != count) {
        // PostgreSQL says so.
        return;
    }
    let given: Vec<&Column> = match &head.list {
        Some(list) => {
            let named = |name: &String| columns.iter().find(|column| column.name == *name);
            let Some(given) = list.iter().map(named).collect() else { return };
            given
        }
        None => columns.iter().take(count).collect(),
    };
    if !rows.is_empty() && given.len() != count {
        return;
    }
    let mut overrides = false;
    for row in &items {
        for (column, item) in given.iter().zip(row) {
            overrides |= fill_item(statement, head, column, *item, times, draft);
        }
    }
    let left_out = columns.iter().filter(|column| !given.iter().any(|given| given.name == column.name));
    let added: Vec<Default> = left_out.filter_map(columns::default).collect();
    let added: Vec<Default> =
        added.into_iter().filter(|default| draft.puts_default(default, times)).collect();
    overrides |= added.iter().any(|default| default.always);
    let given: Vec<&str> = given.iter().map(|column| column.name.as_str()).collect();
    list_columns(statement, head, &given, &added, overrides, draft);
    for (_, close) in rows {
        put_behind(statement.start(*close), &added, draft);
    }
    if rows.is_empty() && !added.is_empty() {
        let (from, to) = (statement.start(head.body), statement.end(head.body + 2));
        draft.replace(from, to, "VALUES (");
        for (number, default) in added.iter().enumerate() {
            if number > 0 {
                draft.insert(to, ", ");
            }
            draft.put(to, to, default);
        }
        draft.insert(to, ")");
    }
}

/// `, value, value` before this byte.
fn put_behind(at: usize, added: &[Default], draft: &mut Draft) {
    for default in added {
        draft.insert(at, ", ");
        draft.put(at, at, default);
    }
}

/// Adds columns to the list of them, or such a list.
fn list_columns(
    statement: &Statement,
    head: &Head,
    given: &[&str],
    added: &[Default],
    overrides: bool,
    draft: &mut Draft,
) {
    let quoted = |default: &Default| columns::quoted(&default.column);
    let names = added.iter().map(quoted);
    match &head.list {
        _ if added.is_empty() => {}
        Some(_) => {
            let more: String = names.map(|name| format!(", {name}")).collect();
            draft.insert(statement.start(head.list_end - 1), &more);
        }
        None => {
            let all: Vec<String> = given.iter().map(|name| columns::quoted(name)).chain(names).collect();
            draft.insert(statement.end(head.list_at), &format!(" ({})", all.join(", ")));
        }
    }
    if overrides && !head.system && !head.user {
        draft.insert(statement.end(head.list_end), " OVERRIDING SYSTEM VALUE");
    }
}

/// One value of a row. Answers whether an identity column gets a value that it
/// would refuse.
fn fill_item(
    statement: &Statement,
    head: &Head,
    column: &Column,
    (from, to): (usize, usize),
    times: Times,
    draft: &mut Draft,
) -> bool {
    if to != from + 1 {
        return false;
    }
    let (start, end) = (statement.start(from), statement.end(to));
    if statement.is(from, "default") {
        let Some(default) = columns::default(column) else { return false };
        return draft.put_default(start, end, &default, times) && default.always;
    }
    if head.user && columns::default(column).is_some_and(|default| default.kind == Kind::Sequence) {
        let what = format!("column \"{}\"", column.name);
        draft.object(&what, "Leave the column out instead of OVERRIDING USER VALUE.");
    }
    let is_string = statement.kind(from).is_some_and(|kind| kind.is_literal() && kind != TokenKind::Number);
    if is_string && known::is_datetime(&column.type_name) {
        draft.looked_at_literal();
        if known::is_moment(statement.raw(from)) {
            let evaluation = Evaluation::new(statement.raw(from)).of_type(&column.type_name);
            draft.evaluate(start, end, evaluation);
        }
    }
    false
}

/// `INSERT … SELECT`. Answers how often what stands behind it is evaluated.
fn fill_query(statement: &Statement, head: &Head, end: usize, draft: &mut Draft) -> Times {
    let wrapped = statement.opens(head.body) && statement.partner(head.body) + 1 == end;
    let (at, end) = if wrapped { (head.body + 1, end - 1) } else { (head.body, end) };
    let times = if gives_one_row(statement, at, end) { Times::Once } else { Times::PerRow };
    let is_query = statement.begins_query(at) || statement.opens(at);
    if !is_query || at + 1 >= end {
        // It breaks off.
        return times;
    }
    draft.scan(statement, at, end, times);
    let Some(columns) = target_columns(head, draft) else { return times };
    let main = if statement.is(at, "with") { main_of_with(statement, at, end) } else { at };
    let lists = select_lists(statement, main, end);
    let listed =
        lists.as_ref().and_then(|lists| lists.first()).and_then(|list| count_items(statement, *list));
    let given: Option<Vec<&str>> = match (&head.list, listed) {
        (Some(list), _) => Some(list.iter().map(String::as_str).collect()),
        (None, Some(count)) => Some(columns.iter().take(count).map(|column| column.name.as_str()).collect()),
        (None, None) => None,
    };
    let left_out = |column: &&Column| given.as_ref().is_none_or(|given| !given.contains(&&*column.name));
    let defaults: Vec<Default> = columns.iter().filter(left_out).filter_map(columns::default).collect();
    let (Some(given), Some(lists)) = (given, lists) else {
        for default in &defaults {
            let what = format!("column \"{}\", whose default is {}", default.column, default.expression);
            draft.object(
                &what,
                "List the columns of INSERT, and select a value for this one by SELECT … FROM.",
            );
        }
        return times;
    };
    let ordered = statement.find(main, end, &["order"]) < end;
    let mut added = Vec::new();
    for default in defaults {
        // Every server numbers the rows in the order of the query, while nobody
        // else inserts; but only ORDER BY makes that the same.
        if default.kind == Kind::Sequence && times == Times::PerRow {
            if !ordered {
                let what = format!("column \"{}\", whose default is {}", default.column, default.expression);
                draft.object(&what, "Add ORDER BY, so that every server numbers the rows alike.");
            }
        } else if draft.puts_default(&default, times) {
            added.push(default);
        }
    }
    let overrides = added.iter().any(|default| default.always);
    list_columns(statement, head, &given, &added, overrides, draft);
    for (_, to) in lists {
        put_behind(statement.end(to), &added, draft);
    }
    times
}

/// The lists of a SELECT, and of those that UNION and its kin join to it. `None`:
/// it is something else.
fn select_lists(statement: &Statement, at: usize, end: usize) -> Option<Vec<(usize, usize)>> {
    let mut lists = Vec::new();
    let mut at = at;
    loop {
        if !statement.is(at, "select") {
            return None;
        }
        let next = statement.find(at, end, &["union", "intersect", "except"]);
        let list = list_end(statement, at + 1, next);
        if list == at + 1 {
            return None;
        }
        lists.push((at + 1, list));
        if next == end {
            return Some(lists);
        }
        at = if statement.is_any(next + 1, &["all", "distinct"]) { next + 2 } else { next + 1 };
    }
}

fn list_end(statement: &Statement, from: usize, end: usize) -> usize {
    let stops =
        ["from", "where", "group", "having", "window", "order", "limit", "offset", "fetch", "for", "into"];
    let mut at = from;
    loop {
        at = statement.find(at, end, &stops);
        // IS DISTINCT FROM
        if !(statement.is(at, "from") && at > from && statement.is(at - 1, "distinct")) {
            return at;
        }
        at += 1;
    }
}

/// How many columns a list has; `None` if there is a `*` among them.
fn count_items(statement: &Statement, (from, to): (usize, usize)) -> Option<usize> {
    let items = statement.items(from, to);
    let is_star = |(_, to): &(usize, usize)| {
        let last = to.saturating_sub(1);
        statement.raw(last) == "*" && statement.kind(last) == Some(TokenKind::Operator)
    };
    (!items.iter().any(is_star)).then_some(items.len())
}
