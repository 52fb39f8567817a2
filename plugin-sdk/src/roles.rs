//! The traits that a plugin implements, and the one that the proxy implements
//! for it.

use crate::{
    Decision, Effects, FunctionFact, Kind, Level, Node, Plan, RelationFact, Servers, SessionInfo,
    SessionPlan, Transaction, Verdict,
};

/// How a plugin comes into being.
///
/// The proxy makes one instance for each of its worker threads, and a new one
/// after a trap. Instances share nothing, so a plugin must not count on seeing
/// every statement.
pub trait Plugin: Sized {
    /// The table `[plugins.NAME.config]` of waypool.toml. Without that table it
    /// is decoded from `{}`; put `#[serde(default, deny_unknown_fields)]` on
    /// the type, so that everything is optional and mistyped keys are reported.
    /// A plugin without configuration uses `()`.
    type Config: serde::de::DeserializeOwned + Default;

    /// Makes an instance. The error is shown to the operator and should name
    /// the key at fault and what it may be.
    fn new(config: Self::Config) -> Result<Self, String>;
}

/// What a plugin may ask of the proxy. There is nothing else: no files, no
/// network, no environment, no clock.
pub trait Host {
    /// The most volatile of the functions of this name; without a schema, in
    /// any schema. Names are given as the catalog has them (folded, unquoted).
    ///
    /// [`FunctionFact::Unknown`] means that the proxy has to look first: answer
    /// conservatively, the question is put again once the fact is known.
    fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact;

    /// The most volatile function behind the operators of this name, such as
    /// `<@@>`. See [`Host::function_fact`] for `Unknown`.
    fn operator_fact(&self, name: &str) -> FunctionFact;

    /// What the relations of this name are, taken together. See
    /// [`Host::function_fact`] for names and for `Unknown`.
    fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact;

    /// Writes a line to the proxy's log, under the plugin's name.
    fn log(&self, level: Level, message: &str);

    /// Adds to a counter that appears in the metrics under the plugin's name.
    fn count(&self, name: &str, delta: u64);
}

/// Says what a statement is and where it may run.
pub trait Classifier: Plugin {
    /// `text` is one Query or Parse message.
    ///
    /// Pure: the same text, configuration and facts give the same verdict,
    /// because the proxy keeps it and uses it again (see
    /// [`Depends`](crate::Depends)).
    fn classify(&mut self, text: &str, database: &str, host: &dyn Host) -> Verdict;
}

/// What a balancer is told about a statement: the verdict's part that matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statement {
    pub kind: Kind,
    /// [`Servers::Any`] is the balancer's choice; the others are given.
    pub servers: Servers,
    pub effects: Effects,
}

/// What a balancer is told about the session that sent the statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionState {
    pub transaction: Transaction,
    /// As answered for the last statement; zero when a transaction begins.
    pub transaction_memory: u32,
    /// As answered for the last statement; zero when the session begins.
    pub session_memory: u32,
    /// As [`Balancer::session_start`] answered.
    pub home: u32,
    /// Uniform, and new for each statement.
    pub random: u64,
}

/// What a balancer may ask of the proxy.
pub trait BalancerHost {
    /// The session's database.
    fn database(&self) -> String;

    /// The relations that the statement to be routed reads; outside of
    /// [`Balancer::route`] none. Like the following, a call out of the plugin:
    /// a tenth of a microsecond and more, so ask only when it matters.
    fn reads(&self) -> Vec<String>;

    /// The relations that it writes.
    fn writes(&self) -> Vec<String>;

    /// The functions that it calls.
    fn functions(&self) -> Vec<String>;

    /// Keeps a word with the session, once, until its transaction is over, or
    /// the statement if there is none.
    fn remember(&self, word: &str);

    /// The words kept.
    fn remembered(&self) -> Vec<String>;

    /// A value that all instances of the plugin share.
    fn get(&self, key: &str) -> Option<u64>;

    /// Sets such a value, for so many milliseconds or for ever; `false` if the
    /// store is full.
    fn set(&self, key: &str, value: u64, millis: Option<u64>) -> bool;

    /// Writes a line to the proxy's log, under the plugin's name.
    fn log(&self, level: Level, message: &str);

    /// Adds to a counter that appears in the metrics under the plugin's name.
    fn count(&self, name: &str, delta: u64);
}

/// Chooses among the servers.
pub trait Balancer: Plugin {
    /// The servers as known now. Called before anything else and after each
    /// change of a server's role, usability, weight or delay.
    fn topology(&mut self, nodes: &[Node]);

    /// How a session is treated: above all the server that its reads go to.
    /// `random` is uniform.
    fn session_start(&mut self, session: &SessionInfo, random: u64, host: &dyn BalancerHost) -> SessionPlan;

    /// Where one statement goes. Called for every statement: it has about a
    /// microsecond. Whatever has to be remembered between statements goes into
    /// the memories of the decision, since another instance may be asked next.
    fn route(&mut self, statement: Statement, state: SessionState, host: &dyn BalancerHost) -> Decision;

    /// A statement outside of a transaction, or a transaction, is over for
    /// which a decision asked to be told (`tell_end`). `success`: it has taken
    /// effect.
    fn ended(&mut self, success: bool, host: &dyn BalancerHost) {
        let _ = (success, host);
    }

    /// A few words for people: why the last [`Balancer::route`] decided as it
    /// did.
    fn explain(&self) -> String {
        String::new()
    }
}

/// Changes or refuses statements.
pub trait Rewriter: Plugin {
    /// `text` is one Query or Parse message. Pure, like
    /// [`Classifier::classify`]: the plan is kept with the exact text.
    fn rewrite(&mut self, text: &str, database: &str, host: &dyn Host) -> Plan;
}
