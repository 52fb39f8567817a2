//! Waypool's default rewriter.
//!
//! With streaming replication PostgreSQL copies the effects of what the primary
//! ran, and no statement needs a change: each is kept as the client wrote it.
//! With native replication every server runs every write by itself, and what
//! each would make up for itself (the time, random values, numbers of sequences)
//! has to become the same on all: the main server evaluates it, and its value
//! stands in the text that all get. What cannot be handled so is refused.
//!
//! The way of a text: [`words`] cuts it; [`statement`] looks at its first words;
//! [`insert`], [`modify`], [`copy`] and [`alter`] at its parts and at the columns that take
//! their defaults; [`occurrence`] finds what is [`known`] to differ, or volatile
//! by the catalog; [`draft`] collects the edits.

mod alter;
mod columns;
mod config;
mod copy;
mod draft;
mod insert;
mod known;
mod modify;
mod occurrence;
mod statement;
mod words;

#[cfg(test)]
mod tests;

pub use config::{Mode, OnNondeterministic, Rules};

use waypool_plugin_sdk::{Depends, Error, Host, Plan, Plugin, Rewriter};

use crate::draft::Draft;
use crate::words::Statement;

/// The plugin.
#[derive(Debug)]
pub struct Rewrite {
    rules: Rules,
}

impl Plugin for Rewrite {
    type Config = Rules;

    const ABOUT: &'static str = "Makes the writes of all servers equal with native replication; keeps every statement otherwise (Waypool's own)";

    fn new(rules: Rules) -> Result<Self, Error> {
        Ok(Self { rules })
    }
}

impl Rewriter for Rewrite {
    fn rewrite(&mut self, text: &str, host: &Host) -> Result<Plan, Error> {
        match self.rules.backend_clustering_mode.repeats_writes() {
            true => Ok(self.plan(text, host)),
            false => Ok(Plan::Keep(Depends::Shape)),
        }
    }
}

impl Rewrite {
    fn plan(&self, text: &str, host: &Host) -> Plan {
        let Some(statements) = words::statements(text) else {
            // PostgreSQL will refuse it.
            return Plan::keep();
        };
        let mut draft = Draft::new(self.rules.on_nondeterministic, host);
        for words in &statements {
            let statement = Statement { text, words };
            statement::rewrite(&statement, statements.len() == 1, &mut draft);
            if words::is_ambiguous(text, words) {
                draft.ambiguous();
            }
        }
        draft.plan()
    }
}

waypool_plugin_sdk::export!(Rewrite: rewriter);
