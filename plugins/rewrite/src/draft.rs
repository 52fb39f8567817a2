//! The edits of a text, and what stands in their way.

use waypool_plugin_sdk::{Depends, Edit, Evaluation, Host, Plan, Refusal};
use waypool_scan::TokenKind;

use crate::columns::{Default, Kind};
use crate::config::OnNondeterministic;
use crate::known::What;
use crate::occurrence::{self, Here, Occurrence};
use crate::words::Statement;

/// How often a part of a statement is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Once: a value can stand there.
    Once,
    /// For each row.
    PerRow,
    /// Nothing of it is stored: only what is the same for a whole statement.
    Unstored,
}

pub struct Draft<'h> {
    pub on_nondeterministic: OnNondeterministic,
    pub host: &'h Host,
    edits: Vec<Edit>,
    refusal: Option<Refusal>,
    /// The catalog has to be asked.
    unknown: bool,
    /// A literal was looked at.
    literal: bool,
}

impl<'h> Draft<'h> {
    pub fn new(on_nondeterministic: OnNondeterministic, host: &'h Host) -> Self {
        Draft { on_nondeterministic, host, edits: Vec::new(), refusal: None, unknown: false, literal: false }
    }

    pub fn plan(mut self) -> Plan {
        if self.unknown {
            let why = "the catalog cannot be asked what this statement would make up on each server";
            return Refusal::new("57P03", why).hint("Try again once the main server answers.").into();
        }
        if let Some(refusal) = self.refusal {
            return refusal.into();
        }
        if !self.edits.is_empty() {
            // What is put in at one place stays in order.
            self.edits.sort_by_key(|edit| edit.start);
            return Plan::Edit(self.edits);
        }
        Plan::Keep(if self.literal { Depends::Text } else { Depends::Shape })
    }

    /// The catalog has to be asked first.
    pub fn ask(&mut self) {
        self.unknown = true;
    }

    pub fn looked_at_literal(&mut self) {
        self.literal = true;
    }

    /// With standard_conforming_strings off the text means something else.
    pub fn ambiguous(&mut self) {
        if !self.edits.is_empty() {
            let why = "a backslash before a quote: it is not certain where the string ends";
            self.refuse(Refusal::new("0A000", why).hint("Write the string as E'…'."));
        }
    }

    pub fn insert(&mut self, at: usize, text: &str) {
        self.edits.push(Edit::insert(at, text));
    }

    pub fn replace(&mut self, from: usize, to: usize, text: &str) {
        self.edits.push(Edit::replace(from..to, text));
    }

    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// Refused, unless the operator takes the difference.
    pub fn object(&mut self, what: &str, hint: &str) {
        if self.on_nondeterministic != OnNondeterministic::Allow {
            let message = format!("each server would store another value of {what}");
            let hint = format!(
                "{hint} (on_nondeterministic = \"allow\" of [plugins.rewrite.config] lets the servers differ.)"
            );
            self.refuse(Refusal::new("0A000", message).hint(hint));
        }
    }

    /// The value of an expression, in the place of these bytes.
    pub fn evaluate(&mut self, from: usize, to: usize, evaluation: Evaluation) {
        self.edits.push(Edit::evaluate(from..to, evaluation));
    }

    /// How many edits there are so far.
    pub fn edits(&self) -> usize {
        self.edits.len()
    }

    /// Whether the value of a column's default can be put in; objects if not.
    pub fn puts_default(&mut self, default: &Default, times: Times) -> bool {
        let once = default.kind == Kind::Stable || times == Times::Once;
        let puts = once && !self.forbids(default.kind == Kind::Volatile);
        if !puts {
            self.object_to_default(default);
        }
        puts
    }

    /// Puts it in, in the place of these bytes.
    pub fn put(&mut self, from: usize, to: usize, default: &Default) {
        let evaluation = Evaluation::new(&default.expression).of_type(&default.type_name);
        let evaluation = if default.kind == Kind::Stable { evaluation } else { evaluation.everywhere() };
        self.evaluate(from, to, evaluation);
    }

    /// Both. `false`: it is not one that can be put in.
    pub fn put_default(&mut self, from: usize, to: usize, default: &Default, times: Times) -> bool {
        let puts = self.puts_default(default, times);
        if puts {
            self.put(from, to, default);
        }
        puts
    }

    pub fn object_to_default(&mut self, default: &Default) {
        let what = format!("column \"{}\", whose default is {}", default.column, default.expression);
        self.object(&what, "Give the column a value.");
    }

    /// Random values may be forbidden altogether.
    fn forbids(&self, random: bool) -> bool {
        random && self.on_nondeterministic == OnNondeterministic::Reject
    }

    /// Looks at the words from here to there.
    pub fn scan(&mut self, statement: &Statement, from: usize, to: usize, times: Times) {
        // Where the innermost query in parentheses ends: there each row counts.
        let mut inner = Vec::new();
        let mut at = from;
        while at < to {
            inner.retain(|end| *end > at);
            if statement.opens(at) && statement.begins_query(at + 1) {
                inner.push(statement.partner(at));
            }
            let here = if inner.is_empty() || times == Times::Unstored { times } else { Times::PerRow };
            let found = match occurrence::look(statement, at, self.host) {
                Here::Nothing => None,
                Here::Found(found) => Some(found),
                Here::Unknown => {
                    self.unknown = true;
                    None
                }
            };
            let is_string =
                statement.kind(at).is_some_and(|kind| kind.is_literal() && kind != TokenKind::Number);
            self.literal |= is_string && stands_for_type(statement, at);
            at = match found {
                Some(found) if self.take(statement, &found, here) => found.to,
                _ => at + 1,
            };
        }
    }

    /// Puts the value in, or objects. `false`: the statement keeps it.
    fn take(&mut self, statement: &Statement, found: &Occurrence, times: Times) -> bool {
        let stored = times != Times::Unstored;
        let once = found.what == What::Stable || times == Times::Once;
        match found.what {
            What::Unrepeatable if stored => {
                self.object(&found.name, hint(found));
                return false;
            }
            What::Sequence | What::Random | What::Unrepeatable if !stored => return false,
            _ => {}
        }
        if !once || self.forbids(found.what == What::Random) {
            self.object(&found.name, hint(found));
            return false;
        }
        if !is_constant(statement, found) {
            if found.what != What::Stable {
                self.object(&found.name, "Its arguments have to be constants, not parameters or columns.");
            }
            return false;
        }
        let expression = statement.slice(found.from, found.to);
        let mut evaluation = Evaluation::new(expression);
        evaluation.type_name = found.type_name.clone();
        evaluation.everywhere = found.changes;
        self.evaluate(statement.start(found.from), statement.end(found.to), evaluation);
        true
    }
}

/// A literal beside the name of a type, or in a cast: what it says may matter.
fn stands_for_type(statement: &Statement, at: usize) -> bool {
    statement.kind(at + 1) == Some(TokenKind::Cast)
        || statement.is(at + 1, "as")
        || at.checked_sub(1).is_some_and(|before| {
            statement.is_any(before, &["date", "time", "timetz", "timestamp", "timestamptz", "zone"])
                || statement.closes(before)
        })
}

fn hint(found: &Occurrence) -> &'static str {
    match found.what {
        What::Sequence => {
            "Numbers are given in VALUES: insert the rows so, or leave the column to its default."
        }
        What::Unrepeatable if found.name.starts_with("age") => "Write age(current_date, …).",
        What::Unrepeatable => "Large objects with a number of the server's choice cannot be made so.",
        _ if found.name.starts_with("clock_timestamp") => "Write now(), which is one moment for all rows.",
        _ if found.changes => {
            "If it gives the same on every server then declare it STABLE or IMMUTABLE; else let the client \
             give the value."
        }
        _ => "Let the client give the value of each row, or take VALUES.",
    }
}

/// Whether it can be evaluated by itself: no parameters, no columns.
fn is_constant(statement: &Statement, found: &Occurrence) -> bool {
    (found.from..found.to).all(|at| match statement.kind(at) {
        Some(TokenKind::Parameter) => false,
        Some(TokenKind::Word | TokenKind::QuotedIdentifier) => !is_column(statement, at),
        _ => true,
    })
}

/// May the name here be a column's? It is none if it is that of a function or of a
/// type, or a word of SQL.
fn is_column(statement: &Statement, at: usize) -> bool {
    use TokenKind::{Cast, Dot};
    let next = statement.kind(at + 1);
    let is_string = next.is_some_and(|kind| kind.is_literal() && kind != TokenKind::Number);
    if statement.opens(at + 1) || is_string {
        return false;
    }
    if next == Some(Dot) {
        return is_column(statement, at + 2);
    }
    let mut first = at;
    while first >= 2 && statement.kind(first - 1) == Some(Dot) {
        first -= 2;
    }
    if first
        .checked_sub(1)
        .is_some_and(|before| statement.kind(before) == Some(Cast) || statement.is(before, "as"))
    {
        return false;
    }
    let words = [
        "null",
        "true",
        "false",
        "as",
        "array",
        "and",
        "or",
        "not",
        "is",
        "with",
        "without",
        "time",
        "zone",
        "precision",
        "varying",
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "current_user",
        "session_user",
        "current_role",
        "user",
        "current_catalog",
        "current_schema",
        "timestamp",
        "case",
        "when",
        "then",
        "else",
        "end",
        "variadic",
        "between",
        "at",
    ];
    !statement.is_any(at, &words)
}
