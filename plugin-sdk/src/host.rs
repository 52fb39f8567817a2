//! What a plugin may ask of the proxy.

#[cfg(any(target_family = "wasm", test))]
mod memo;
#[cfg(target_family = "wasm")]
mod proxy;

/// Facts that were found under this number are kept until another one comes.
#[doc(hidden)]
pub fn facts_are_of(epoch: u64) {
    #[cfg(target_family = "wasm")]
    proxy::facts_are_of(epoch);
    // Natively, the fake has the facts at hand.
    #[cfg(not(target_family = "wasm"))]
    let _ = epoch;
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::Fake as Inner;
#[cfg(target_family = "wasm")]
pub(crate) use proxy::Proxy as Inner;

use crate::{ColumnsFact, FunctionFact, Level, RelationFact};

/// The proxy, as a plugin sees it. There is nothing else: no files, no
/// network, no environment.
///
/// In WebAssembly each method is one call out of the plugin, which takes a
/// tenth of a microsecond and more. Natively it stands before a
/// [`FakeHost`](crate::testing::FakeHost).
///
/// This is one concrete type and no trait, for a reason: a plugin imports only
/// what it really calls, and the proxy reads the imports to know how long it
/// may keep the plugin's answers. One that calls [`user`](Host::user), say, is
/// asked for each user anew.
#[derive(Debug)]
pub struct Host {
    pub(crate) inner: Inner,
}

/// Facts of the catalog, for classifiers and rewriters. In other calls all
/// facts are unknown.
impl Host {
    /// How volatile the most volatile of the functions of this name is;
    /// without a schema, in any schema. Names are given as the catalog has
    /// them: in lower case unless they were quoted, and without quotes.
    ///
    /// [`FunctionFact::Unknown`] means that the proxy has to look first: answer
    /// conservatively (the primary); the question is put again once the fact is
    /// known.
    #[inline]
    pub fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        self.inner.function_fact(schema, name)
    }

    /// The most volatile function behind the operators of this name, such as
    /// `<@@>`. See [`Host::function_fact`] for `Unknown`.
    #[inline]
    pub fn operator_fact(&self, name: &str) -> FunctionFact {
        self.inner.operator_fact(name)
    }

    /// What the tables and views of this name are, taken together. See
    /// [`Host::function_fact`] for names and for `Unknown`.
    #[inline]
    pub fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        self.inner.relation_fact(schema, name)
    }

    /// The columns, with their defaults, of each table and view of this name.
    /// See [`Host::function_fact`] for names and for `Unknown`.
    #[inline]
    pub fn columns_fact(&self, schema: Option<&str>, name: &str) -> ColumnsFact {
        self.inner.columns_fact(schema, name)
    }
}

/// What people see.
impl Host {
    /// Writes a line to the proxy's log, under the plugin's name. It is cut
    /// after 8 KiB; of more than 100 lines a second the rest are only counted.
    #[inline]
    pub fn log(&self, level: Level, message: &str) {
        self.inner.log(level, message);
    }

    /// Adds to a counter that appears in the metrics under the plugin's name.
    /// A plugin has 100 counters and gauges; the names beyond are ignored.
    #[inline]
    pub fn count(&self, name: &str, delta: u64) {
        self.inner.count(name, delta);
    }

    /// Sets a gauge that appears in the metrics under the plugin's name.
    #[inline]
    pub fn gauge(&self, name: &str, value: f64) {
        self.inner.gauge(name, value);
    }
}

/// Who the session at hand is for. Empty where there is none: in
/// [`topology`](crate::Balancer::topology),
/// [`observe`](crate::Observer::observe) and
/// [`self_test`](crate::Plugin::self_test).
///
/// A classifier or rewriter which uses any of these is asked for each
/// database, user and application name anew; one which uses none is asked once
/// for each database.
impl Host {
    /// The session's database.
    #[inline]
    pub fn database(&self) -> String {
        self.inner.database()
    }

    /// The session's user.
    #[inline]
    pub fn user(&self) -> String {
        self.inner.user()
    }

    /// As given when the session began; later SETs do not change it.
    #[inline]
    pub fn application_name(&self) -> String {
        self.inner.application_name()
    }
}

/// The statement to be routed: what its verdict says. Empty outside of
/// [`route`](crate::Balancer::route) and [`explain`](crate::Balancer::explain).
impl Host {
    /// The relations that the statement reads.
    #[inline]
    pub fn reads(&self) -> Vec<String> {
        self.inner.reads()
    }

    /// The relations that it writes.
    #[inline]
    pub fn writes(&self) -> Vec<String> {
        self.inner.writes()
    }

    /// The functions that it calls.
    #[inline]
    pub fn functions(&self) -> Vec<String> {
        self.inner.functions()
    }

    /// What the classifiers say of it besides: "tenant=acme".
    #[inline]
    pub fn tags(&self) -> Vec<String> {
        self.inner.tags()
    }

    /// The value of the first tag `key=value`.
    pub fn tag(&self, key: &str) -> Option<String> {
        let value = |tag: &String| Some(tag.strip_prefix(key)?.strip_prefix('=')?.to_owned());
        self.tags().iter().find_map(value)
    }

    /// Keeps a word with the session, once, until its transaction is over, or
    /// the statement if there is none. For balancers: what does not fit into
    /// the memories of a decision, and for [`ended`](crate::Balancer::ended).
    #[inline]
    pub fn remember(&self, word: &str) {
        self.inner.remember(word);
    }

    /// The words kept.
    #[inline]
    pub fn remembered(&self) -> Vec<String> {
        self.inner.remembered()
    }
}

/// Values that all instances of the plugin share: between threads and
/// sessions, and from one version of the plugin to the next. They are gone when
/// the proxy ends. Keys have up to 1,024 bytes; there is room for 100,000.
impl Host {
    /// A value, if it is there.
    #[inline]
    pub fn get(&self, key: &str) -> Option<u64> {
        self.inner.get(key)
    }

    /// Sets a value, for so many milliseconds or for ever; `false` if there is
    /// no room.
    #[inline]
    pub fn set(&self, key: &str, value: u64, millis: Option<u64>) -> bool {
        self.inner.set(key, value, millis)
    }

    /// Adds to a value, and answers what it comes to; it does not fall below
    /// zero. No other instance comes in between. A value that is not there
    /// counts as zero, and is then kept as [`Host::set`] would. `None` if there
    /// is no room.
    #[inline]
    pub fn add(&self, key: &str, delta: i64, millis: Option<u64>) -> Option<u64> {
        self.inner.add(key, delta, millis)
    }
}

/// The time.
impl Host {
    /// Microseconds since 1970-01-01 00:00 UTC.
    ///
    /// A verdict or a plan that asked for it is not kept: the plugin is asked
    /// again for each execution.
    #[inline]
    pub fn now(&self) -> u64 {
        self.inner.now()
    }
}

impl Host {
    /// The proxy around the plugin; natively, one that knows nothing.
    #[doc(hidden)]
    pub fn around() -> Host {
        Host { inner: Inner::default() }
    }
}
