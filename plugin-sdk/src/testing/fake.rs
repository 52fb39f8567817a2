//! What [`Host`](crate::Host) stands before natively.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use crate::{
    Column, ColumnsFact, FunctionFact, Level, RelationFact, RelationFacts, TableColumns, Verdict, Volatility,
};

/// `schema.name` or `name`, split as the catalog would be asked.
type Name = (Option<String>, String);

/// 2025-01-01 00:00 UTC
const START: u64 = 1_735_689_600_000_000;

#[derive(Debug)]
pub struct Fake {
    functions: Vec<(Name, Volatility)>,
    operators: Vec<(String, Volatility)>,
    relations: Vec<(Name, RelationFacts)>,
    columns: Vec<(Name, TableColumns)>,
    unknown_by_default: bool,
    /// Database, user and application name
    session: RefCell<[String; 3]>,
    statement: RefCell<Verdict>,
    remembered: RefCell<Vec<String>>,
    store: RefCell<HashMap<String, Stored>>,
    now: Cell<u64>,
    seen: Seen,
}

#[derive(Debug)]
struct Stored {
    value: u64,
    /// The moment at which it is gone
    until: Option<u64>,
}

/// What the plugin did.
#[derive(Debug, Default)]
struct Seen {
    logs: RefCell<Vec<(Level, String)>>,
    counts: RefCell<BTreeMap<String, u64>>,
    gauges: RefCell<BTreeMap<String, f64>>,
    asked: RefCell<HashMap<Name, u32>>,
    calls: RefCell<BTreeMap<&'static str, u32>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            functions: Vec::new(),
            operators: Vec::new(),
            relations: Vec::new(),
            columns: Vec::new(),
            unknown_by_default: false,
            session: RefCell::default(),
            statement: RefCell::new(Verdict::conservative("nothing is routed")),
            remembered: RefCell::default(),
            store: RefCell::default(),
            now: Cell::new(START),
            seen: Seen::default(),
        }
    }
}

// === what the test says ===

impl Fake {
    pub fn add_function(&mut self, name: &str, volatility: Volatility) {
        self.functions.push((split(name), volatility));
    }

    pub fn add_operator(&mut self, name: &str, volatility: Volatility) {
        self.operators.push((name.to_owned(), volatility));
    }

    pub fn add_relation(&mut self, name: &str, facts: RelationFacts) {
        self.relations.push((split(name), facts));
    }

    pub fn add_columns(&mut self, name: &str, columns: Vec<Column>) {
        let (schema, name) = split(name);
        let schema = schema.unwrap_or_else(|| "public".to_owned());
        let table = TableColumns { schema: schema.clone(), view: false, columns };
        self.columns.push(((Some(schema), name), table));
    }

    pub fn set_unknown_by_default(&mut self, yes: bool) {
        self.unknown_by_default = yes;
    }

    pub fn set_session(&self, session: [String; 3]) {
        self.session.replace(session);
    }

    pub fn set_statement(&self, verdict: &Verdict) {
        self.statement.replace(verdict.clone());
    }

    pub fn forget(&self) {
        self.remembered.borrow_mut().clear();
    }

    pub fn set_now(&self, micros: u64) {
        self.now.set(micros);
    }

    pub fn pass(&self, millis: u64) {
        self.now.set(self.now.get() + millis * 1000);
    }
}

// === what the plugin did ===

impl Fake {
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.seen.logs.borrow().clone()
    }

    pub fn counted(&self, name: &str) -> u64 {
        self.seen.counts.borrow().get(name).copied().unwrap_or_default()
    }

    pub fn gauged(&self, name: &str) -> Option<f64> {
        self.seen.gauges.borrow().get(name).copied()
    }

    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let counts = self.seen.counts.borrow();
        let counts = counts.iter().map(|(name, count)| (name.clone(), *count as f64));
        counts.chain(self.seen.gauges.borrow().clone()).collect()
    }

    pub fn asked(&self, name: &str) -> u32 {
        self.seen.asked.borrow().get(&split(name)).copied().unwrap_or_default()
    }

    pub fn calls(&self) -> BTreeMap<&'static str, u32> {
        self.seen.calls.borrow().clone()
    }

    fn note_call(&self, method: &'static str) {
        *self.seen.calls.borrow_mut().entry(method).or_default() += 1;
    }

    fn note_question(&self, schema: Option<&str>, name: &str) {
        let key = (schema.map(str::to_owned), name.to_owned());
        *self.seen.asked.borrow_mut().entry(key).or_default() += 1;
    }
}

// === what the plugin asks: the methods of `Host` ===

impl Fake {
    pub fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        self.note_call("function_fact");
        self.note_question(schema, name);
        self.most_volatile(matching(&self.functions, schema, name).copied())
    }

    pub fn operator_fact(&self, name: &str) -> FunctionFact {
        self.note_call("operator_fact");
        self.note_question(None, name);
        let found = self.operators.iter().filter(|(one, _)| one == name);
        self.most_volatile(found.map(|(_, volatility)| *volatility))
    }

    fn most_volatile(&self, found: impl Iterator<Item = Volatility>) -> FunctionFact {
        match found.max() {
            Some(volatility) => FunctionFact::Found(volatility),
            None if self.unknown_by_default => FunctionFact::Unknown,
            None => FunctionFact::Missing,
        }
    }

    pub fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        self.note_call("relation_fact");
        self.note_question(schema, name);
        let found = matching(&self.relations, schema, name).copied().reduce(|all, one| all | one);
        match found {
            Some(facts) => RelationFact::Found(facts),
            None if self.unknown_by_default => RelationFact::Unknown,
            None => RelationFact::Missing,
        }
    }

    pub fn columns_fact(&self, schema: Option<&str>, name: &str) -> ColumnsFact {
        self.note_call("columns_fact");
        self.note_question(schema, name);
        let found: Vec<_> = matching(&self.columns, schema, name).cloned().collect();
        match found.is_empty() {
            false => ColumnsFact::Found(found),
            true if self.unknown_by_default => ColumnsFact::Unknown,
            true => ColumnsFact::Missing,
        }
    }

    pub fn log(&self, level: Level, message: &str) {
        self.note_call("log");
        self.seen.logs.borrow_mut().push((level, message.to_owned()));
    }

    pub fn count(&self, name: &str, delta: u64) {
        self.note_call("count");
        *self.seen.counts.borrow_mut().entry(name.to_owned()).or_default() += delta;
    }

    pub fn gauge(&self, name: &str, value: f64) {
        self.note_call("gauge");
        self.seen.gauges.borrow_mut().insert(name.to_owned(), value);
    }

    pub fn database(&self) -> String {
        self.note_call("database");
        self.session.borrow()[0].clone()
    }

    pub fn user(&self) -> String {
        self.note_call("user");
        self.session.borrow()[1].clone()
    }

    pub fn application_name(&self) -> String {
        self.note_call("application_name");
        self.session.borrow()[2].clone()
    }

    pub fn reads(&self) -> Vec<String> {
        self.note_call("reads");
        self.statement.borrow().reads.clone()
    }

    pub fn writes(&self) -> Vec<String> {
        self.note_call("writes");
        self.statement.borrow().writes.clone()
    }

    pub fn functions(&self) -> Vec<String> {
        self.note_call("functions");
        self.statement.borrow().functions.clone()
    }

    pub fn tags(&self) -> Vec<String> {
        self.note_call("tags");
        self.statement.borrow().tags.clone()
    }

    pub fn remember(&self, word: &str) {
        self.note_call("remember");
        let mut remembered = self.remembered.borrow_mut();
        if !remembered.iter().any(|one| one == word) {
            remembered.push(word.to_owned());
        }
    }

    pub fn remembered(&self) -> Vec<String> {
        self.note_call("remembered");
        self.remembered.borrow().clone()
    }

    pub fn get(&self, key: &str) -> Option<u64> {
        self.note_call("get");
        self.stored(key)
    }

    pub fn set(&self, key: &str, value: u64, millis: Option<u64>) -> bool {
        self.note_call("set");
        self.put(key, value, millis);
        true
    }

    pub fn add(&self, key: &str, delta: i64, millis: Option<u64>) -> Option<u64> {
        self.note_call("add");
        let Some(before) = self.stored(key) else {
            let value = delta.max(0) as u64;
            self.put(key, value, millis);
            return Some(value);
        };
        let value = before.saturating_add_signed(delta);
        if let Some(stored) = self.store.borrow_mut().get_mut(key) {
            stored.value = value;
        }
        Some(value)
    }

    pub fn now(&self) -> u64 {
        self.note_call("now");
        self.now.get()
    }
}

impl Fake {
    fn stored(&self, key: &str) -> Option<u64> {
        let now = self.now.get();
        let store = self.store.borrow();
        let stored = store.get(key).filter(|stored| stored.until.is_none_or(|until| now < until));
        stored.map(|stored| stored.value)
    }

    fn put(&self, key: &str, value: u64, millis: Option<u64>) {
        let until = millis.map(|millis| self.now.get() + millis * 1000);
        self.store.borrow_mut().insert(key.to_owned(), Stored { value, until });
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
