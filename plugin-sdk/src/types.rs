//! Short ways to make the contract's types.

use crate::{
    Admission, Changes, Decision, Depends, Edit, Effects, Evaluation, Kind, Newcomer, Node, NodeRole,
    Observation, Opinion, Plan, Refusal, Servers, SessionInfo, SessionPlan, SessionState, Transaction, Value,
    Verdict,
};

/// Making a verdict.
impl Verdict {
    /// About no names, and for this text alone.
    pub fn new(kind: Kind, servers: Servers, effects: Effects, reason: impl Into<String>) -> Self {
        Verdict {
            depends: Depends::Text,
            kind,
            servers,
            effects,
            name: None,
            reads: Vec::new(),
            writes: Vec::new(),
            functions: Vec::new(),
            tags: Vec::new(),
            reason: reason.into(),
        }
    }

    /// The answer when in doubt: it may write, so the primary, and nothing is
    /// concluded for other texts.
    pub fn conservative(reason: impl Into<String>) -> Self {
        Self::new(Kind::Unknown, Servers::Primary, Effects::WRITES, reason)
    }

    /// A read that any server can answer.
    pub fn read(reason: impl Into<String>) -> Self {
        Self::new(Kind::Select, Servers::Any, Effects::empty(), reason)
    }

    /// A write, for the primary.
    pub fn write(reason: impl Into<String>) -> Self {
        Self::new(Kind::Dml, Servers::Primary, Effects::WRITES, reason)
    }

    /// For which texts it holds.
    pub fn depending_on(self, depends: Depends) -> Self {
        Verdict { depends, ..self }
    }

    /// With these relations read.
    pub fn reading<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.reads.extend(names.into_iter().map(Into::into));
        self
    }

    /// With these relations written.
    pub fn writing<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.writes.extend(names.into_iter().map(Into::into));
        self
    }

    /// With these functions called.
    pub fn calling<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.functions.extend(names.into_iter().map(Into::into));
        self
    }

    /// With these words for the balancers and observers behind.
    pub fn tagged<N: Into<String>>(mut self, tags: impl IntoIterator<Item = N>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }
}

impl Opinion {
    /// Nothing to say about this text: the next classifier is asked. Another
    /// text comes to this plugin again; if it looked at neither literals nor
    /// comments then say `Opinion::Pass(Depends::Shape)`, which spares that.
    pub fn pass() -> Self {
        Opinion::Pass(Depends::Text)
    }
}

impl From<Verdict> for Opinion {
    fn from(verdict: Verdict) -> Self {
        Opinion::Answer(verdict)
    }
}

impl Plan {
    /// As it is. Another text comes to this plugin again; if it looked at
    /// neither literals nor comments then say `Plan::Keep(Depends::Shape)`,
    /// which spares that.
    pub fn keep() -> Self {
        Plan::Keep(Depends::Text)
    }
}

impl From<Refusal> for Plan {
    fn from(refusal: Refusal) -> Self {
        Plan::Reject(refusal)
    }
}

impl Edit {
    /// Puts `text` in the place of the bytes `range`. An empty range inserts.
    pub fn replace(range: std::ops::Range<usize>, text: impl Into<String>) -> Self {
        // A message of PostgreSQL has at most 1 GiB, so positions fit.
        Edit { start: range.start as u32, end: range.end as u32, value: Value::Literal(text.into()) }
    }

    /// Puts the value of an expression in the place of the bytes `range`, which
    /// the primary evaluates before each execution. See [`Evaluation`].
    pub fn evaluate(range: std::ops::Range<usize>, evaluation: Evaluation) -> Self {
        let value = Value::Evaluated(evaluation);
        Edit { start: range.start as u32, end: range.end as u32, value }
    }

    /// Puts `text` before the byte `at`.
    pub fn insert(at: usize, text: impl Into<String>) -> Self {
        Self::replace(at..at, text)
    }
}

impl Evaluation {
    /// Of the type that the expression has.
    pub fn new(expression: impl Into<String>) -> Self {
        Evaluation { expression: expression.into(), type_name: None, everywhere: false }
    }

    /// The value is of this type.
    pub fn of_type(self, name: impl Into<String>) -> Self {
        Evaluation { type_name: Some(name.into()), ..self }
    }

    /// It changes something: every server that runs the statement evaluates it.
    pub fn everywhere(self) -> Self {
        Evaluation { everywhere: true, ..self }
    }
}

impl Refusal {
    /// An error for the client. The SQLSTATE has five characters of 0-9 and
    /// A-Z; `"42501"` is insufficient privilege, and `"P0001"` is what a
    /// function's RAISE gives.
    pub fn new(sqlstate: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { sqlstate: sqlstate.into(), message: message.into(), hint: None }
    }

    /// What the user could do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Refusal { hint: Some(hint.into()), ..self }
    }
}

impl Decision {
    /// `servers` and `node` as given, with the memories as they were.
    pub fn keeping(state: SessionState, servers: Servers, node: u32) -> Self {
        Decision {
            servers,
            node,
            transaction_memory: state.transaction_memory,
            session_memory: state.session_memory,
            tell_end: false,
            steady: false,
        }
    }

    /// The same question has the same answer until
    /// [`topology`](crate::Balancer::topology) is called: it depends on
    /// [`Statement`] and [`SessionState`] alone, not on its `random` and not on
    /// what the plugin has counted. The proxy then keeps the answer, and asks
    /// about few statements only.
    ///
    /// Of no effect if the call asked the [`Host`](crate::Host) for anything.
    pub fn steady(self) -> Self {
        Decision { steady: true, ..self }
    }
}

/// What a balancer says of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Routing {
    /// The next balancer is asked. The last one of the chain has to decide.
    Pass,
    /// The same; and [`ended`](crate::Balancer::ended) is called when the
    /// statement, or its transaction, is over: for those who count or limit
    /// statements and leave the choice of the server to others.
    Watch,
    To(Decision),
    /// Ask again in so many milliseconds; the client waits meanwhile.
    Wait(u32),
    /// Answer with an error; the statement reaches no server.
    Refuse(Refusal),
}

impl Routing {
    /// To this server alone, with the memories as they were. For statements
    /// that any server can run.
    pub fn to(node: u32, state: SessionState) -> Self {
        Routing::To(Decision::keeping(state, Servers::Any, node))
    }

    /// To the primary alone, with the memories as they were.
    pub fn primary(state: SessionState) -> Self {
        // The proxy knows the primary: no number is needed.
        Routing::To(Decision::keeping(state, Servers::Primary, state.home))
    }

    /// The same decision, and [`ended`](crate::Balancer::ended) is called when
    /// the statement or its transaction is over.
    pub fn tell_end(self) -> Self {
        match self {
            Routing::To(decision) => Routing::To(Decision { tell_end: true, ..decision }),
            other => other,
        }
    }
}

impl From<Decision> for Routing {
    fn from(decision: Decision) -> Self {
        Routing::To(decision)
    }
}

impl From<Refusal> for Routing {
    fn from(refusal: Refusal) -> Self {
        Routing::Refuse(refusal)
    }
}

impl SessionPlan {
    /// Reads go to this server; whose commits they must have seen, the
    /// balancers behind say.
    pub fn home(home: u32) -> Self {
        SessionPlan { home, memory: 0, read_after: None, wait_millis: 0 }
    }
}

impl From<Changes> for Admission {
    fn from(changes: Changes) -> Self {
        Admission::Change(changes)
    }
}

impl From<Refusal> for Admission {
    fn from(refusal: Refusal) -> Self {
        Admission::Refuse(refusal)
    }
}

impl Changes {
    /// Connect the client to this database instead.
    pub fn database(self, name: impl Into<String>) -> Self {
        Changes { database: Some(name.into()), ..self }
    }

    /// Connect to the servers as this user instead.
    pub fn user(self, name: impl Into<String>) -> Self {
        Changes { user: Some(name.into()), ..self }
    }

    /// Set this parameter on its server connections, as if the client had
    /// asked for it.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }
}

// The generated types leave these out.

impl Default for Effects {
    fn default() -> Self {
        Effects::empty()
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Transaction {
    fn default() -> Self {
        Transaction::Idle
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Changes {
    fn default() -> Self {
        Changes { database: None, user: None, parameters: Vec::new() }
    }
}

// The following make tests short: only what matters has to be written down.

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for SessionInfo {
    fn default() -> Self {
        SessionInfo { database: String::new(), user: String::new(), application_name: String::new() }
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Newcomer {
    fn default() -> Self {
        Newcomer {
            database: String::new(),
            user: String::new(),
            application_name: String::new(),
            address: None,
            tls: false,
        }
    }
}

/// A statement of nobody that no server was asked for.
impl Default for Observation {
    fn default() -> Self {
        Observation {
            session: 0,
            database: String::new(),
            user: String::new(),
            application_name: String::new(),
            kind: Kind::Unknown,
            node: None,
            duration_micros: 0,
            rows: 0,
            sqlstate: None,
            tags: Vec::new(),
        }
    }
}

/// One that accepts connections, is not behind, and has weight 1.
impl Default for Node {
    fn default() -> Self {
        Node {
            id: 0,
            role: NodeRole::Unknown,
            usable: true,
            delayed: false,
            weight: 1.0,
            lag_bytes: 0,
            lag_micros: 0,
        }
    }
}
