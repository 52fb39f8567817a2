//! A stand-in for the proxy, for a plugin's own tests.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use crate::{FunctionFact, Host, Level, RelationFact, RelationFacts, Volatility};

/// `schema.name` or `name`, split as the catalog would be asked.
type Name = (Option<String>, String);

/// A proxy with a table of facts. It remembers what the plugin logged and
/// counted.
///
/// ```
/// use waypool_plugin_sdk::{FunctionFact, Host, Volatility, testing::FakeHost};
///
/// let host = FakeHost::new().function("pg_catalog.random", Volatility::Volatile);
/// assert_eq!(host.function_fact(None, "random"), FunctionFact::Found(Volatility::Volatile));
/// assert_eq!(host.function_fact(None, "nosuch"), FunctionFact::Missing);
/// ```
#[derive(Debug, Default)]
pub struct FakeHost {
    functions: Vec<(Name, Volatility)>,
    relations: Vec<(Name, RelationFacts)>,
    unknown_by_default: bool,
    logs: RefCell<Vec<(Level, String)>>,
    counts: RefCell<BTreeMap<String, u64>>,
    asked: RefCell<HashMap<Name, u32>>,
}

impl FakeHost {
    /// An empty catalog: every name is missing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function: `"name"` or `"schema.name"`. Several of one name are
    /// overloads; the most volatile is answered.
    pub fn function(mut self, name: &str, volatility: Volatility) -> Self {
        self.functions.push((split(name), volatility));
        self
    }

    /// Adds a relation: `"name"` or `"schema.name"`. An ordinary table is
    /// [`RelationFacts::empty()`].
    pub fn relation(mut self, name: &str, facts: RelationFacts) -> Self {
        self.relations.push((split(name), facts));
        self
    }

    /// With `true`, names that are not in the table are `Unknown` (the proxy
    /// has not looked yet) rather than `Missing`.
    pub fn unknown_by_default(mut self, yes: bool) -> Self {
        self.unknown_by_default = yes;
        self
    }

    /// What the plugin logged, in order.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.logs.borrow().clone()
    }

    /// The sum of what the plugin counted under this name.
    pub fn counted(&self, name: &str) -> u64 {
        self.counts.borrow().get(name).copied().unwrap_or(0)
    }

    /// How often a fact of this name was asked for.
    pub fn asked(&self, name: &str) -> u32 {
        self.asked.borrow().get(&split(name)).copied().unwrap_or(0)
    }

    fn note_question(&self, schema: Option<&str>, name: &str) {
        let key = (schema.map(str::to_owned), name.to_owned());
        *self.asked.borrow_mut().entry(key).or_default() += 1;
    }
}

impl Host for FakeHost {
    fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        self.note_question(schema, name);
        let found = matching(&self.functions, schema, name).copied().max();
        match found {
            Some(volatility) => FunctionFact::Found(volatility),
            None if self.unknown_by_default => FunctionFact::Unknown,
            None => FunctionFact::Missing,
        }
    }

    fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        self.note_question(schema, name);
        let found = matching(&self.relations, schema, name).copied().reduce(|all, one| all | one);
        match found {
            Some(facts) => RelationFact::Found(facts),
            None if self.unknown_by_default => RelationFact::Unknown,
            None => RelationFact::Missing,
        }
    }

    fn log(&self, level: Level, message: &str) {
        self.logs.borrow_mut().push((level, message.to_owned()));
    }

    fn count(&self, name: &str, delta: u64) {
        *self.counts.borrow_mut().entry(name.to_owned()).or_default() += delta;
    }
}

fn split(name: &str) -> Name {
    match name.split_once('.') {
        Some((schema, name)) => (Some(schema.to_owned()), name.to_owned()),
        None => (None, name.to_owned()),
    }
}

/// The rows of this name. A row without a schema is in every schema, and a
/// question without a schema is about all of them.
fn matching<'t, F>(
    table: &'t [(Name, F)],
    schema: Option<&'t str>,
    name: &'t str,
) -> impl Iterator<Item = &'t F> {
    table
        .iter()
        .filter(move |((row_schema, row_name), _)| {
            let schemas_agree = match (row_schema.as_deref(), schema) {
                (Some(row), Some(asked)) => row == asked,
                _ => true,
            };
            row_name == name && schemas_agree
        })
        .map(|(_, fact)| fact)
}

#[cfg(test)]
mod tests;
