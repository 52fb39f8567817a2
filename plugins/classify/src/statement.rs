//! One statement: what its first word says.

use waypool_plugin_sdk::{Depends, Effects, Host, Kind, Servers, Verdict};
use waypool_scan::TokenKind;

use crate::answer::{answer, displayed, unparsed, write};
use crate::config::Policy;
use crate::facts::{self, Relations};
use crate::keyword::Keyword;
use crate::query::{self, Into, Query};
use crate::words::{Cursor, Name};
use crate::{prepared, session, transaction};

/// What a verdict is made from, besides the statement.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub policy: &'a Policy,
    pub host: &'a Host,
    /// Where the statement stands
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// By itself. `balanced`: Pgpool-II would balance a SELECT with what
    /// stands before it.
    Alone { balanced: bool },
    /// In COPY, EXPLAIN or PREPARE, which do not nest
    Inside,
}

impl Context<'_> {
    pub fn inside(self) -> Self {
        Self { place: Place::Inside, ..self }
    }

    /// Which relations matter here. In PREPARE and COPY, Pgpool-II looks at
    /// none; but a temporary or an unlogged table cannot be read elsewhere.
    fn relations(&self) -> Relations {
        Relations { catalog: self.place != Place::Inside, ..self.policy.relations() }
    }
}

/// The verdict for one statement, which is not empty.
pub fn classify(mut cursor: Cursor, context: Context) -> Verdict {
    use Keyword::*;
    if cursor.kind(0) == Some(TokenKind::ParenOpen) {
        return select(cursor, context);
    }
    let first = cursor.keyword(0);
    if matches!(first, Select | With | Values | Table) {
        return select(cursor, context);
    }
    if matches!(first, Insert | Update | Delete | Merge) {
        return dml(cursor);
    }
    cursor.at += 1;
    let cursor = cursor;
    match first {
        Begin => transaction::begin(cursor),
        Start if cursor.keyword(0) == Transaction => transaction::begin(cursor),
        Commit | End => transaction::commit(cursor),
        Rollback | Abort => transaction::rollback(cursor),
        Savepoint => transaction::savepoint(cursor, Kind::Savepoint, Effects::WRITES),
        Release => transaction::savepoint(cursor, Kind::Release, Effects::WRITES),
        Set => session::set(cursor),
        Reset => session::reset(cursor),
        Show => session::show(cursor),
        Discard => session::discard(cursor),
        Prepare | Execute | Deallocate | Explain | Copy if context.place == Place::Inside => match first {
            Execute => prepared::execute(cursor, context),
            _ => unparsed("a statement which does not nest"),
        },
        Prepare if cursor.spells(&[Transaction]) && is_string(cursor.kind(1)) => {
            transaction::prepare_transaction()
        }
        Prepare => prepared::prepare(cursor, context),
        Execute => prepared::execute(cursor, context),
        Deallocate => prepared::deallocate(cursor),
        Explain => prepared::explain(cursor, context),
        Copy => copy(cursor, context),
        Declare => cursor_statement(cursor),
        Fetch | Move | Close => write(Kind::Cursor, "a cursor of the primary"),
        Listen | Unlisten => session_state(write(Kind::Listen, "notifications come from the primary")),
        Notify => write(Kind::Listen, "notifications come from the primary"),
        Lock => lock(cursor),
        Truncate => truncate(cursor),
        Create | Alter | Drop if cursor.keyword(0) == Database => {
            let mut verdict = write(Kind::Ddl, "changes a database");
            verdict.effects |= Effects::UNUSED_DATABASE;
            verdict
        }
        Create => create(cursor),
        Alter | Drop => {
            Verdict { writes: named_relations(cursor), ..write(Kind::Ddl, "changes the catalog") }
        }
        Grant | Revoke | Comment | Security | Import | Reassign => write(Kind::Ddl, "changes the catalog"),
        Load => session_state(write(Kind::Utility, "LOAD")),
        Call | Do | Vacuum | Analyze | Analyse | Checkpoint | Reindex | Cluster | Refresh => {
            write(Kind::Utility, "may change anything")
        }
        _ => unparsed("unknown statement"),
    }
}

fn is_string(kind: Option<TokenKind>) -> bool {
    kind.is_some_and(|kind| kind.is_literal() && kind != TokenKind::Number)
}

fn session_state(mut verdict: Verdict) -> Verdict {
    verdict.effects |= Effects::SESSION_STATE;
    verdict
}

// === queries ===

/// SELECT, WITH, VALUES, TABLE, or one of them in parentheses
fn select(cursor: Cursor, context: Context) -> Verdict {
    let query = query::read(cursor);
    let mut verdict = judge(&query, cursor, context);
    if facts::change_session(&query.functions) || query.into == Some(Into::Temporary) {
        // Whatever the lists of functions say: what is set on a standby alone
        // is not there for the session's writes.
        verdict.servers = Servers::Primary;
        verdict.effects |= Effects::SESSION_STATE;
    }
    let sets = matches!(query.functions.as_slice(), [only] if only.name == "set_config");
    if let Some(name) = sets.then(|| session::set_config(cursor)).flatten() {
        verdict.kind = Kind::Set;
        verdict.name = Some(name);
        verdict.depends = Depends::Text;
        verdict.effects |= Effects::WRITES;
    }
    naming(verdict, query)
}

fn naming(mut verdict: Verdict, query: Query) -> Verdict {
    verdict.reads = displayed(query.reads);
    verdict.writes = displayed(query.targets);
    verdict.functions = displayed(query.functions);
    verdict
}

fn judge(query: &Query, cursor: Cursor, context: Context) -> Verdict {
    if let Some(what) = query.broken {
        return unparsed(what);
    }
    let depends = match query.doubt {
        None => Depends::Shape,
        Some(_) => Depends::Text,
    };
    if let Some(statement) = query.writes {
        let kind = if query.into.is_some() { Kind::Ddl } else { Kind::Dml };
        return Verdict { depends, ..write(kind, statement) };
    }
    if query.locks {
        let effects = Effects::WRITES | Effects::LOCKS;
        return Verdict { depends, ..answer(Kind::Select, Servers::Primary, effects, "locks rows") };
    }
    if let Some(what) = query.doubt {
        return unparsed(what);
    }
    let refused = unbalanced(cursor, context);
    let found = facts::judge(query, &context.policy.calls, context.relations(), context.host);
    let mut verdict = match (&found, refused) {
        (Some(finding), _) => answer(Kind::Select, Servers::Primary, finding.effects, &finding.reason),
        (None, Some(reason)) => write(Kind::Select, reason),
        (None, None) => answer(Kind::Select, Servers::Any, Effects::empty(), "reads"),
    };
    if refused.is_some() {
        verdict.effects |= Effects::WRITES;
    }
    let waiting = found.is_some_and(|finding| finding.waiting);
    verdict.depends = if waiting { Depends::Moment } else { Depends::Shape };
    verdict
}

/// Pgpool-II takes a statement for a read by its first character; VALUES and
/// what begins with a comment are none, and count as writes.
fn unbalanced(cursor: Cursor, context: Context) -> Option<&'static str> {
    if context.policy.allow_sql_comments() {
        return None;
    }
    match context.place {
        Place::Alone { balanced: false } => Some("begins with a comment, or with VALUES"),
        Place::Alone { .. } if cursor.keyword(0) == Keyword::Values => Some("VALUES"),
        _ => None,
    }
}

fn dml(cursor: Cursor) -> Verdict {
    let query = query::read(cursor);
    if query.writes.is_none() || query.broken.is_some() {
        return unparsed(query.broken.unwrap_or("unknown statement"));
    }
    naming(Verdict { depends: Depends::Shape, ..write(Kind::Dml, "changes data") }, query)
}

/// Behind COPY
fn copy(mut cursor: Cursor, context: Context) -> Verdict {
    let mut verdict = match cursor.kind(0) {
        Some(TokenKind::ParenOpen) => {
            let start = cursor.at;
            let Some(end) = cursor.skip_parentheses() else {
                return unparsed("unbalanced parentheses");
            };
            classify(cursor.between(start + 1, end), context.inside())
        }
        _ => {
            if cursor.peek(1).is_some_and(|word| word.is_name()) {
                cursor.accept(Keyword::Binary);
            }
            let mut query = Query::default();
            query.reads.extend(cursor.qualified());
            cursor.skip_parentheses();
            naming(judge(&query, cursor, context.inside()), query)
        }
    };
    let to_client =
        cursor.keyword(0) == Keyword::To && matches!(cursor.keyword(1), Keyword::Stdout | Keyword::Stdin);
    let from = cursor.keyword(0) == Keyword::From;
    if from {
        std::mem::swap(&mut verdict.reads, &mut verdict.writes);
    }
    verdict.kind = if from { Kind::Dml } else { Kind::CopyTo };
    match verdict.depends {
        Depends::Moment if to_client => {}
        _ => verdict.depends = Depends::Text,
    }
    if !to_client {
        verdict.servers = Servers::Primary;
        verdict.effects |= Effects::WRITES;
        verdict.reason = if from { "changes data" } else { "writes a file of the primary" }.to_owned();
    }
    verdict
}

// === others ===

/// Behind DECLARE
fn cursor_statement(cursor: Cursor) -> Verdict {
    let verdict = write(Kind::Cursor, "a cursor of the primary");
    let mut head = cursor;
    while !head.at_end() && head.keyword(0) != Keyword::For {
        if head.spells(&[Keyword::With, Keyword::Hold]) {
            return session_state(verdict);
        }
        head.at += 1;
    }
    verdict
}

/// Behind LOCK. A standby allows the two weakest modes.
fn lock(mut cursor: Cursor) -> Verdict {
    use Keyword::{Access, In, Mode, Row, Share};
    while !cursor.at_end() && cursor.keyword(0) != In {
        cursor.at += 1;
    }
    cursor.at += 1;
    let weak = [&[Access, Share, Mode][..], &[Row, Share, Mode]];
    if weak.iter().any(|mode| cursor.spells(mode)) {
        return answer(Kind::Lock, Servers::All, Effects::WRITES, "a lock that standbys take");
    }
    let effects = Effects::WRITES | Effects::LOCKS;
    answer(Kind::Lock, Servers::Primary, effects, "a lock that standbys refuse")
}

/// Behind TRUNCATE
fn truncate(mut cursor: Cursor) -> Verdict {
    cursor.accept(Keyword::Table);
    Verdict { writes: relation_list(cursor), ..write(Kind::Dml, "changes data") }
}

/// `[ONLY] a [*], b …`
fn relation_list(mut cursor: Cursor) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        cursor.accept(Keyword::Only);
        names.extend(cursor.qualified().map(Name::into_display));
        if cursor.raw() == "*" {
            cursor.at += 1;
        }
        if cursor.kind(0) != Some(TokenKind::Comma) {
            return names;
        }
        cursor.at += 1;
    }
}

/// Behind CREATE
fn create(mut cursor: Cursor) -> Verdict {
    cursor.accept_any(&[Keyword::Local]);
    let verdict = Verdict { writes: named_relations(cursor), ..write(Kind::Ddl, "changes the catalog") };
    // CREATE [OR REPLACE] [GLOBAL | LOCAL] TEMP …
    let head = cursor.between(cursor.at, cursor.at + 3);
    match head.contains(Keyword::Temp) || head.contains(Keyword::Temporary) {
        true => session_state(verdict),
        false => verdict,
    }
}

/// The tables and views that CREATE, ALTER or DROP is about: until the end of
/// the transaction no other server has them so.
fn named_relations(mut cursor: Cursor) -> Vec<String> {
    use Keyword::{Exists, If, Not, Table, View};
    // CREATE OR REPLACE TEMP RECURSIVE VIEW, ALTER MATERIALIZED VIEW
    for _ in 0..6 {
        if cursor.accept_any(&[Table, View]) {
            cursor.accept(If);
            cursor.accept(Not);
            cursor.accept(Exists);
            return relation_list(cursor);
        }
        cursor.at += 1;
    }
    Vec::new()
}
