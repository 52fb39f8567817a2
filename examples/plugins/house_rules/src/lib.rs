//! Edits statements by the rules of the house:
//!
//! - reads of a table see only the rows for which a condition holds;
//! - a table is called by its new name, whatever old programs call it;
//! - a SELECT without LIMIT gets one.
//!
//! A rewriter that guesses does harm. This one edits what it is sure of (see
//! [`sketch`]), and leaves everything else as it is, or refuses it if it names
//! one of the tables. Edits are byte ranges: the rest of the text stays as the
//! program wrote it, parameters (`$1`) too.

mod sketch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{Depends, Edit, Host, Plan, Plugin, Refusal, Result, Rewriter, export};

use sketch::{Reference, Sketch};

/// `[plugins.house_rules.config]` of waypool.toml
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Reads of the table see the rows for which this SQL is true.
    pub conditions: BTreeMap<String, String>,
    /// The table's new name.
    pub renames: BTreeMap<String, String>,
    /// For a SELECT that has none; 0 is none.
    pub limit: u64,
    /// A statement that names such a table where it cannot be edited safely.
    pub otherwise: Otherwise,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    Keep,
    #[default]
    Reject,
}

#[derive(Debug)]
pub struct HouseRules {
    config: Config,
}

impl Plugin for HouseRules {
    type Config = Config;

    const ABOUT: &'static str = "Adds a condition to a table, a LIMIT to a SELECT, renames a table";

    fn new(config: Config) -> Result<Self> {
        let Config { conditions, renames, .. } = &config;
        for (key, rules) in [("conditions", conditions), ("renames", renames)] {
            if let Some((table, _)) = rules.iter().find(|(_, rule)| rule.trim().is_empty()) {
                return Err(format!("{key}.{table} is empty: remove the line").into());
            }
        }
        Ok(HouseRules { config })
    }
}

impl Rewriter for HouseRules {
    fn rewrite(&mut self, text: &str, _host: &Host) -> Result<Plan> {
        let sketch = Sketch::new(text);
        let ours = |reference: &&Reference| self.is_ours(&reference.name);
        let edited: Vec<&Reference> = sketch.references.iter().filter(ours).collect();
        let unsure =
            sketch.names_elsewhere(&edited, |name| self.is_ours(name)).or_else(|| sketch.escaped_name());
        if let Some(table) = unsure.filter(|_| self.rejects()) {
            // 0A000: feature not supported
            let refusal = Refusal::new("0A000", format!("table {table} cannot be used in this way here"))
                .hint("Write a plain SELECT … FROM … JOIN …, one statement at a time, without subqueries on it.");
            return Ok(refusal.into());
        }
        let mut edits: Vec<Edit> = edited.into_iter().filter_map(|table| self.edit(text, table)).collect();
        if let Some(end) = sketch.limitless.filter(|_| self.config.limit > 0) {
            edits.push(Edit::insert(end, format!(" LIMIT {}", self.config.limit)));
        }
        Ok(match edits.is_empty() {
            // The same for all texts of this shape: no literal was looked at.
            true => Plan::Keep(Depends::Shape),
            false => Plan::Edit(edits),
        })
    }
}

impl HouseRules {
    fn rejects(&self) -> bool {
        let Config { conditions, renames, otherwise, .. } = &self.config;
        *otherwise == Otherwise::Reject && !(conditions.is_empty() && renames.is_empty())
    }

    fn is_ours(&self, name: &str) -> bool {
        self.config.conditions.contains_key(name) || self.config.renames.contains_key(name)
    }

    /// `orders` becomes `(SELECT * FROM orders WHERE …) AS orders`. PostgreSQL
    /// plans that like the table with one more condition in WHERE, and it is
    /// right wherever the table stands: in joins, with OR in the WHERE.
    fn edit(&self, text: &str, table: &Reference) -> Option<Edit> {
        let Reference { range, last, name, .. } = table;
        let schema = &text[range.start..last.start];
        let renamed = match self.config.renames.get(name) {
            Some(new) if new.contains('.') => new.clone(),
            Some(new) => format!("{schema}{new}"),
            None => text[range.clone()].to_owned(),
        };
        let condition = self.config.conditions.get(name).filter(|_| table.is_read);
        let source = match condition {
            Some(condition) => format!("(SELECT * FROM {renamed} WHERE {condition})"),
            None if self.config.renames.contains_key(name) => renamed,
            None => return None,
        };
        // What the rest of the statement calls it.
        let alias = if table.has_alias { String::new() } else { format!(" AS {}", &text[last.clone()]) };
        Some(Edit::replace(range.clone(), source + &alias))
    }
}

export!(HouseRules: rewriter);

#[cfg(test)]
mod tests;
