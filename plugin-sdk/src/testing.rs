//! A stand-in for the proxy, for a plugin's own tests.
//!
//! A test makes a [`FakeHost`], which knows what the test says about the
//! catalog, the session, the statement and the time, and remembers what the
//! plugin logged, counted and stored. `&FakeHost` goes wherever a
//! [`&Host`](Host) is asked for.

mod fake;
mod table;
mod words;

pub(crate) use fake::Fake;
pub use table::{Tested, table};

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::{Column, Host, Identity, Level, Node, NodeRole, RelationFacts, Verdict, Volatility};

/// A proxy with a table of facts.
///
/// ```
/// use waypool_plugin_sdk::{FunctionFact, Volatility, testing::FakeHost};
///
/// let host = FakeHost::new().function("pg_catalog.random", Volatility::Volatile);
/// assert_eq!(host.function_fact(None, "random"), FunctionFact::Found(Volatility::Volatile));
/// assert_eq!(host.function_fact(None, "nosuch"), FunctionFact::Missing);
/// ```
#[derive(Debug)]
pub struct FakeHost(Host);

impl Default for FakeHost {
    fn default() -> Self {
        FakeHost(Host::around())
    }
}

impl Deref for FakeHost {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

/// Before the test.
impl FakeHost {
    /// An empty catalog, where every name is missing; nobody's session; an
    /// empty store; the first second of 2025.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function: `"name"` or `"schema.name"`. Several of one name are
    /// overloads; the most volatile is answered.
    pub fn function(mut self, name: &str, volatility: Volatility) -> Self {
        self.0.inner.add_function(name, volatility);
        self
    }

    /// Adds an operator.
    pub fn operator(mut self, name: &str, volatility: Volatility) -> Self {
        self.0.inner.add_operator(name, volatility);
        self
    }

    /// Adds a relation: `"name"` or `"schema.name"`. An ordinary table is
    /// [`RelationFacts::empty()`].
    pub fn relation(mut self, name: &str, facts: RelationFacts) -> Self {
        self.0.inner.add_relation(name, facts);
        self
    }

    /// Adds the columns of a table: `"schema.name"`, or `"name"` for one in
    /// `public`. See [`column`].
    pub fn columns(mut self, name: &str, columns: impl IntoIterator<Item = Column>) -> Self {
        self.0.inner.add_columns(name, columns.into_iter().collect());
        self
    }

    /// With `true`, names that are not in the table are `Unknown` (the proxy
    /// has not looked yet) rather than `Missing`.
    pub fn unknown_by_default(mut self, yes: bool) -> Self {
        self.0.inner.set_unknown_by_default(yes);
        self
    }

    /// Who the session is for.
    pub fn session(self, database: &str, user: &str, application_name: &str) -> Self {
        self.set_session(database, user, application_name);
        self
    }
}

/// During the test.
impl FakeHost {
    /// From now on, the session is this one's.
    pub fn set_session(&self, database: &str, user: &str, application_name: &str) {
        self.0.inner.set_session([database, user, application_name].map(str::to_owned));
    }

    /// From now on, this is the statement to be routed.
    pub fn set_statement(&self, verdict: &Verdict) {
        self.0.inner.set_statement(verdict);
    }

    /// The transaction is over: what was remembered is gone.
    pub fn end_transaction(&self) {
        self.0.inner.forget();
    }

    /// It is now this moment, in microseconds since 1970.
    pub fn set_now(&self, micros: u64) {
        self.0.inner.set_now(micros);
    }

    /// So many milliseconds pass, for the clock and for what is stored.
    pub fn pass(&self, millis: u64) {
        self.0.inner.pass(millis);
    }
}

/// After the test.
impl FakeHost {
    /// What the plugin logged, in order.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.0.inner.logs()
    }

    /// The sum of what the plugin counted under this name.
    pub fn counted(&self, name: &str) -> u64 {
        self.0.inner.counted(name)
    }

    /// What the plugin set this gauge to last.
    pub fn gauged(&self, name: &str) -> Option<f64> {
        self.0.inner.gauged(name)
    }

    /// All counters and gauges.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        self.0.inner.metrics()
    }

    /// How often a fact of this name was asked for.
    pub fn asked(&self, name: &str) -> u32 {
        self.0.inner.asked(name)
    }

    /// The methods of [`Host`] that were called, and how often. In WebAssembly
    /// each is a call out of the plugin.
    pub fn calls(&self) -> BTreeMap<&'static str, u32> {
        self.0.inner.calls()
    }
}

/// A column of this type, without a default.
pub fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        default_value: None,
        volatility: Volatility::Immutable,
        identity: Identity::No,
        generated: false,
    }
}

/// The same with a default.
pub fn column_with(name: &str, type_name: &str, default: &str, volatility: Volatility) -> Column {
    Column { default_value: Some(default.to_owned()), volatility, ..column(name, type_name) }
}

/// A primary that accepts connections, of weight 1.
pub fn primary(id: u32) -> Node {
    Node { id, role: NodeRole::Primary, ..Node::default() }
}

/// A standby that accepts connections and is not behind, of weight 1.
pub fn standby(id: u32) -> Node {
    Node { id, role: NodeRole::Standby, ..Node::default() }
}

#[cfg(test)]
mod tests;
