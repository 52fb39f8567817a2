//! Waypool's default classifier: Pgpool-II's rules for streaming replication
//! (`docs/pgpool-differences.md` lists where it deliberately decides
//! otherwise).
//!
//! The way of a text: [`words`] cuts it into tokens, [`split`] into
//! statements; [`statement`] looks at the first word; [`query`] passes over a
//! query once and lists what it names; [`facts`] asks the catalog about these
//! names, unless [`config`] has lists of functions.
//!
//! The rule behind all: a text that is not understood for certain goes to the
//! primary and counts as a write.

mod answer;
mod config;
mod facts;
mod keyword;
mod pattern;
mod prepared;
mod query;
mod session;
mod split;
mod statement;
mod transaction;
mod words;

#[cfg(test)]
mod tests;

pub use config::{CheckTempTable, List, Rules};

use waypool_plugin_sdk::{
    Classifier, Depends, Effects, Error, Host, Kind, Opinion, Plugin, Servers, Verdict,
};
use waypool_scan::TokenKind;

use crate::answer::{answer, unparsed};
use crate::config::Policy;
use crate::split::Statements;
use crate::statement::{Context, Place};
use crate::words::{Cursor, Word};

/// The plugin.
#[derive(Debug)]
pub struct Classify {
    policy: Policy,
    /// The words of the text at hand; kept for its storage.
    words: Vec<Word>,
}

impl Plugin for Classify {
    type Config = Rules;

    const ABOUT: &'static str =
        "Tells what a statement is by Pgpool-II's rules for streaming replication (Waypool's own)";

    fn new(rules: Rules) -> Result<Self, Error> {
        Ok(Self { policy: Policy::new(rules)?, words: Vec::new() })
    }
}

impl Classifier for Classify {
    fn classify(&mut self, text: &str, host: &Host) -> Result<Opinion, Error> {
        Ok(Opinion::Answer(self.verdict(text, host)))
    }
}

impl Classify {
    /// The verdict for a text: there is one for each.
    pub fn verdict(&mut self, text: &str, host: &Host) -> Verdict {
        let ambiguous = words::cut(text, &mut self.words);
        let policy = &self.policy;
        let balanced = policy.allow_sql_comments() || policy.begins_as_read(text);
        let context = Context { policy, host, place: Place::Alone { balanced } };
        let cursor = Cursor::new(text, &self.words);
        let verdict = match split::statements(&self.words) {
            Statements::None => empty(balanced),
            Statements::One(one) => statement::classify(cursor.between(one.start, one.end), context),
            Statements::Several(several) => {
                let context = Context {
                    // The first character of the text is not that of each.
                    place: Place::Alone { balanced: true },
                    ..context
                };
                let statements = several.iter().map(|one| cursor.between(one.start, one.end));
                multiple(statements.map(|one| statement::classify(one, context)))
            }
        };
        if self.words.last().is_some_and(|word| word.kind == TokenKind::Unterminated) {
            return unparsed("unterminated quote or comment");
        }
        if ambiguous {
            return cautious(verdict);
        }
        by_pattern(verdict, text, policy)
    }
}

/// What could go to any server does not if `primary_routing_query_pattern_list`
/// has its text. It does not become a write by that.
fn by_pattern(verdict: Verdict, text: &str, policy: &Policy) -> Verdict {
    if verdict.servers != Servers::Any || policy.primary_queries.is_empty() {
        return verdict;
    }
    let verdict = Verdict { depends: Depends::Text, ..verdict };
    match policy.primary_queries.matches(text) {
        true => Verdict {
            servers: Servers::Primary,
            reason: "in primary_routing_query_pattern_list".to_owned(),
            ..verdict
        },
        false => verdict,
    }
}

/// Nothing, a semicolon or a comment: as a SELECT.
fn empty(balanced: bool) -> Verdict {
    let servers = if balanced { Servers::Any } else { Servers::Primary };
    answer(Kind::Empty, servers, Effects::empty(), "empty")
}

/// A text of several statements goes to the primary as a whole.
fn multiple(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let reason = "several statements";
    let mut whole = answer(Kind::Unknown, Servers::Primary, Effects::MULTIPLE, reason);
    for mut verdict in verdicts {
        whole.effects |= verdict.effects;
        if changes_transaction(verdict.kind) {
            whole.effects |= Effects::TRANSACTION_INSIDE;
        }
        if verdict.depends == Depends::Moment {
            whole.depends = Depends::Moment;
            whole.reason = verdict.reason;
        }
        whole.reads.append(&mut verdict.reads);
        whole.writes.append(&mut verdict.writes);
        whole.functions.append(&mut verdict.functions);
    }
    whole
}

fn changes_transaction(kind: Kind) -> bool {
    matches!(kind, Kind::Begin | Kind::Commit | Kind::Rollback | Kind::PrepareTransaction)
}

/// The verdict for a text that may read differently: a write on the primary
/// stays one, everything else becomes one.
fn cautious(verdict: Verdict) -> Verdict {
    let write = verdict.servers == Servers::Primary && verdict.effects.contains(Effects::WRITES);
    match write {
        true => Verdict { depends: Depends::Text, ..verdict },
        false => Verdict {
            reads: verdict.reads,
            writes: verdict.writes,
            functions: verdict.functions,
            ..unparsed("a backslash before a quote: standard_conforming_strings may be off")
        },
    }
}

waypool_plugin_sdk::export!(Classify: classifier);
