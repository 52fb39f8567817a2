//! Statements about statements: PREPARE, EXECUTE, DEALLOCATE, EXPLAIN.

use waypool_plugin_sdk::{Depends, Effects, Kind, Servers, Verdict};
use waypool_scan::TokenKind;

use crate::answer::{answer, displayed, unparsed};
use crate::facts;
use crate::keyword::Keyword;
use crate::query;
use crate::statement::{Context, classify};
use crate::words::Cursor;

#[cfg(test)]
mod tests;

/// Behind PREPARE: servers and effects are those of the statement inside.
pub fn prepare(mut cursor: Cursor, context: Context) -> Verdict {
    let Some(name) = cursor.identifier() else {
        return unparsed("PREPARE without a name");
    };
    cursor.skip_parentheses();
    if !cursor.accept(Keyword::As) || cursor.at_end() {
        return unparsed("PREPARE without a statement");
    }
    let inner = classify(cursor.rest(), context.inside());
    if inner.effects.contains(Effects::UNPARSED) {
        return inner;
    }
    Verdict {
        depends: exact(inner.depends),
        kind: Kind::Prepare,
        effects: inner.effects | Effects::SESSION_STATE,
        name: Some(name),
        ..inner
    }
}

/// A shape tells nothing about a statement that is not folded.
fn exact(depends: Depends) -> Depends {
    match depends {
        Depends::Moment => Depends::Moment,
        _ => Depends::Text,
    }
}

/// Behind EXECUTE. Where it goes is what the PREPARE said; the effects here
/// are those of its arguments, and add to it.
pub fn execute(mut cursor: Cursor, context: Context) -> Verdict {
    let Some(name) = cursor.identifier() else {
        return unparsed("EXECUTE without a name");
    };
    let arguments = query::read(cursor.rest());
    if let Some(what) = arguments.broken {
        return unparsed(what);
    }
    let found = facts::judge_calls(&arguments, &context.policy.calls, context.host);
    let (effects, reason, depends) = match found {
        Some(finding) if finding.waiting => (finding.effects, finding.reason, Depends::Moment),
        Some(finding) => (finding.effects, finding.reason, Depends::Text),
        None => (Effects::empty(), "as its PREPARE".to_owned(), Depends::Text),
    };
    Verdict {
        depends,
        name: Some(name),
        functions: displayed(arguments.functions),
        ..answer(Kind::Execute, Servers::Primary, effects, &reason)
    }
}

/// Behind DEALLOCATE. Where it goes is where its PREPARE went.
pub fn deallocate(mut cursor: Cursor) -> Verdict {
    // PREPARE may be a name here.
    if cursor.peek(1).is_some() {
        cursor.accept(Keyword::Prepare);
    }
    let effects = Effects::WRITES | Effects::SESSION_STATE;
    if cursor.keyword(0) == Keyword::All {
        return answer(Kind::Deallocate, Servers::All, effects, "all prepared statements");
    }
    let verdict = answer(Kind::Deallocate, Servers::Primary, effects, "as its PREPARE");
    match cursor.identifier() {
        Some(name) => Verdict { name: Some(name), ..verdict },
        None => unparsed("DEALLOCATE without a name"),
    }
}

/// Does the parenthesis here hold a query rather than options?
fn holds_query(cursor: &Cursor) -> bool {
    use Keyword::{Select, Table, Values, With};
    cursor.kind(1) == Some(TokenKind::ParenOpen)
        || matches!(cursor.keyword(1), Select | With | Values | Table)
}

/// Behind EXPLAIN: on the primary, as with Pgpool-II, whatever it explains.
/// It writes if it runs a statement that does.
pub fn explain(mut cursor: Cursor, context: Context) -> Verdict {
    let runs = match cursor.kind(0) {
        Some(TokenKind::ParenOpen) if !holds_query(&cursor) => {
            let start = cursor.at;
            let Some(end) = cursor.skip_parentheses() else {
                return unparsed("unbalanced parentheses");
            };
            // ANALYZE false is taken for ANALYZE: on the primary either way.
            let options = cursor.between(start + 1, end);
            options.contains(Keyword::Analyze) || options.contains(Keyword::Analyse)
        }
        _ => {
            let runs = cursor.accept_any(&[Keyword::Analyze, Keyword::Analyse]);
            cursor.accept(Keyword::Verbose);
            runs
        }
    };
    if cursor.at_end() {
        return unparsed("EXPLAIN of nothing");
    }
    let inner = classify(cursor.rest(), context.inside());
    if inner.effects.contains(Effects::UNPARSED) {
        return inner;
    }
    let unknown = inner.kind == Kind::Execute && runs;
    let effects = match runs {
        true if unknown => Effects::WRITES,
        true => inner.effects & (Effects::WRITES | Effects::LOCKS),
        false => Effects::empty(),
    };
    Verdict {
        depends: if runs { exact(inner.depends) } else { Depends::Text },
        kind: Kind::Explain,
        servers: Servers::Primary,
        effects,
        name: inner.name.filter(|_| inner.kind == Kind::Execute),
        reason: "EXPLAIN".to_owned(),
        reads: inner.reads,
        writes: if runs { inner.writes } else { Vec::new() },
        functions: inner.functions,
        tags: Vec::new(),
    }
}
