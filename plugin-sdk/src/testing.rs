//! A stand-in for the proxy, for a plugin's own tests.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use crate::{BalancerHost, FunctionFact, Host, Level, RelationFact, RelationFacts, Volatility};

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
    operators: Vec<(String, Volatility)>,
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

    /// Adds an operator.
    pub fn operator(mut self, name: &str, volatility: Volatility) -> Self {
        self.operators.push((name.to_owned(), volatility));
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

    fn operator_fact(&self, name: &str) -> FunctionFact {
        let found = self.operators.iter().filter(|(one, _)| one == name).map(|(_, volatility)| *volatility);
        match found.max_by_key(|volatility| *volatility as u8) {
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

/// A session of a proxy, for balancers: the statement at hand, what was kept
/// with the session, and the store.
#[derive(Debug, Default)]
pub struct FakeSession {
    /// The session's database.
    pub database: String,
    /// What the statement reads.
    pub reads: Vec<String>,
    /// What it writes.
    pub writes: Vec<String>,
    /// What it calls.
    pub functions: Vec<String>,
    remembered: RefCell<Vec<String>>,
    store: RefCell<HashMap<String, (u64, Option<u64>)>>,
    logs: RefCell<Vec<(Level, String)>>,
    counts: RefCell<BTreeMap<String, u64>>,
}

impl FakeSession {
    /// A session in this database, with an empty store.
    pub fn new(database: &str) -> Self {
        Self { database: database.to_owned(), ..Self::default() }
    }

    /// A statement's relations, from now on.
    pub fn statement(&mut self, reads: &[&str], writes: &[&str]) {
        self.reads = reads.iter().map(ToString::to_string).collect();
        self.writes = writes.iter().map(ToString::to_string).collect();
    }

    /// The transaction is over: what was remembered is gone.
    pub fn forget(&self) {
        self.remembered.borrow_mut().clear();
    }

    /// So many milliseconds pass for the store.
    pub fn pass(&self, millis: u64) {
        self.store.borrow_mut().retain(|_, (_, left)| match left {
            Some(left) if *left <= millis => false,
            Some(left) => {
                *left -= millis;
                true
            }
            None => true,
        });
    }

    /// What the plugin logged, in order.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.logs.borrow().clone()
    }

    /// What a counter has come to.
    pub fn counted(&self, name: &str) -> u64 {
        self.counts.borrow().get(name).copied().unwrap_or_default()
    }
}

impl BalancerHost for FakeSession {
    fn database(&self) -> String {
        self.database.clone()
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn writes(&self) -> Vec<String> {
        self.writes.clone()
    }

    fn functions(&self) -> Vec<String> {
        self.functions.clone()
    }

    fn remember(&self, word: &str) {
        let mut remembered = self.remembered.borrow_mut();
        if !remembered.iter().any(|one| one == word) {
            remembered.push(word.to_owned());
        }
    }

    fn remembered(&self) -> Vec<String> {
        self.remembered.borrow().clone()
    }

    fn get(&self, key: &str) -> Option<u64> {
        self.store.borrow().get(key).map(|(value, _)| *value)
    }

    fn set(&self, key: &str, value: u64, millis: Option<u64>) -> bool {
        self.store.borrow_mut().insert(key.to_owned(), (value, millis));
        true
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
