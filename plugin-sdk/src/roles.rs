//! The traits that a plugin implements.

use crate::{
    Admission, Effects, Error, Host, Kind, Newcomer, Node, Observation, Opinion, Plan, Routing, Servers,
    SessionInfo, SessionPlan, Transaction, Verdict,
};

/// How a plugin comes into being.
///
/// The proxy makes one instance for each of its worker threads, and a new one
/// after a failure. Instances share nothing but the store (see [`Host::get`]),
/// so a plugin must not count on seeing every statement.
pub trait Plugin: Sized {
    /// The table `[plugins.NAME.config]` of waypool.toml. Without that table it
    /// is the default; put `#[serde(default, deny_unknown_fields)]` on the
    /// type, so that everything is optional and mistyped keys are reported. A
    /// plugin without configuration uses `()`.
    type Config: serde::Serialize + serde::de::DeserializeOwned + Default;

    /// One line for `waypool plugin inspect`.
    const ABOUT: &'static str = "";

    /// Makes an instance. The error is shown to the operator and should name
    /// the key at fault and what it may be.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Asked once before the plugin is put into use: does it work? An error
    /// keeps the old version in use, and is shown to the operator.
    fn self_test(&mut self, host: &Host) -> Result<(), Error> {
        let _ = host;
        Ok(())
    }
}

/// Says what a statement is, and which servers may run it.
pub trait Classifier: Plugin {
    /// `text` is one message of a client: a statement, or several with
    /// semicolons between them. Rewriters have been at it before.
    ///
    /// Pure: the same text, configuration, session and facts give the same
    /// answer, because the proxy keeps it and uses it again. For which texts
    /// it does so, says [`Depends`](crate::Depends).
    fn classify(&mut self, text: &str, host: &Host) -> Result<Opinion, Error>;

    /// After [`Opinion::Refine`]: the verdict of the classifiers behind, to be
    /// changed. What it answers holds no longer than the verdict it was given.
    fn refine(&mut self, text: &str, verdict: Verdict, host: &Host) -> Result<Verdict, Error> {
        let _ = (text, host);
        Ok(verdict)
    }
}

/// Changes or refuses statements.
pub trait Rewriter: Plugin {
    /// `text` is one message of a client, or what the rewriters before made of
    /// it. Pure, as [`Classifier::classify`] is.
    fn rewrite(&mut self, text: &str, host: &Host) -> Result<Plan, Error>;
}

/// What a balancer is told about a statement: the verdict's part that matters
/// most. The rest is to be had from the [`Host`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statement {
    pub kind: Kind,
    /// [`Servers::Any`] is the balancer's choice; the others are given.
    pub servers: Servers,
    pub effects: Effects,
}

impl From<&Verdict> for Statement {
    fn from(verdict: &Verdict) -> Self {
        Statement { kind: verdict.kind, servers: verdict.servers, effects: verdict.effects }
    }
}

/// What a balancer is told about the session that sent the statement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SessionState {
    pub transaction: Transaction,
    /// As this balancer decided for the last statement; zero when a transaction
    /// begins.
    pub transaction_memory: u32,
    /// As this balancer decided for the last statement, or planned the session.
    pub session_memory: u32,
    /// The server that the session's plan says its reads go to.
    pub home: u32,
    /// How long this statement has been told to wait: see [`Routing::Wait`].
    pub waited_millis: u32,
    /// Uniform, and new for each statement.
    pub random: u64,
}

/// Chooses among the servers.
pub trait Balancer: Plugin {
    /// The servers as known now. Called before anything else and after each
    /// change of a server's role, usability, weight or delay.
    fn topology(&mut self, nodes: &[Node], host: &Host);

    /// A session begins: how is it treated? `random` is uniform. `None`: the
    /// next balancer says.
    fn plan_session(&mut self, session: &SessionInfo, random: u64, host: &Host) -> Option<SessionPlan> {
        let _ = (session, random, host);
        None
    }

    /// Where one statement goes. Called for every statement: it has about a
    /// microsecond. Whatever has to be remembered between statements goes into
    /// the memories of the decision or the store, since another instance may be
    /// asked next.
    fn route(&mut self, statement: Statement, state: SessionState, host: &Host) -> Result<Routing, Error>;

    /// A statement outside of a transaction, or a transaction, is over for
    /// which a decision asked to be told (`tell_end`). `success`: it has taken
    /// effect.
    fn ended(&mut self, success: bool, host: &Host) {
        let _ = (success, host);
    }

    /// A few words for people: why the last [`Balancer::route`] decided as it
    /// did.
    fn explain(&self, host: &Host) -> String {
        let _ = host;
        String::new()
    }
}

/// Decides who comes in, and as whom.
pub trait Gate: Plugin {
    /// A client has proved who it is; no server connection has been made yet.
    fn session_start(&mut self, newcomer: &Newcomer, host: &Host) -> Result<Admission, Error>;
}

/// Is told what has happened.
pub trait Observer: Plugin {
    /// Called twice a second or with 1,000 statements, whichever is first, off
    /// the way of the statements. If the plugin is too slow then observations
    /// are dropped and counted.
    fn observe(&mut self, statements: &[Observation], host: &Host);
}
