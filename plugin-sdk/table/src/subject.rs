//! What is tested: a plugin, as plain Rust or as WebAssembly. The types are
//! the contract's, with its words as texts.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::facts::Facts;
use crate::words;

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Classifier,
    Rewriter,
    Balancer,
    Gate,
    Observer,
}

/// What stands around the plugin in one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// As JSON
    pub config: String,
    pub database: String,
    pub user: String,
    pub application_name: String,
    pub facts: Facts,
    pub nodes: Vec<Node>,
    /// Microseconds since 1970, if the case says
    pub now: Option<u64>,
}

/// A plugin that can be asked. Errors are the plugin's own.
///
/// Only the functions of its roles are called.
pub trait Subject {
    /// The roles that it has.
    fn roles(&self) -> Vec<Role>;

    /// Makes an instance in the place of the last one, before such a world:
    /// `init`, and `topology` if it is a balancer.
    fn start(&mut self, world: &World) -> Result<(), String>;

    fn rewrite(&mut self, text: &str) -> Result<Plan, String>;
    fn classify(&mut self, text: &str) -> Result<Opinion, String>;
    fn refine(&mut self, text: &str, verdict: &Verdict) -> Result<Verdict, String>;
    /// Answers the session's home, if the plugin plans sessions.
    fn plan_session(&mut self, random: u64) -> Result<Option<u32>, String>;
    fn route(&mut self, question: &Question) -> Result<Routing, String>;
    fn session_start(&mut self, newcomer: &Newcomer) -> Result<Admission, String>;

    /// What the instance has counted, and what it set its gauges to.
    fn counted(&self) -> BTreeMap<String, f64>;
}

/// One server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub id: u32,
    #[serde(deserialize_with = "words::node_role")]
    pub role: String,
    #[serde(default = "yes")]
    pub usable: bool,
    #[serde(default)]
    pub delayed: bool,
    #[serde(default = "one")]
    pub weight: f64,
    #[serde(default)]
    pub lag_bytes: u64,
    #[serde(default)]
    pub lag_micros: u64,
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

impl Node {
    /// One that accepts connections, is not behind, and has weight 1.
    pub fn new(id: u32, role: &str) -> Self {
        let role = role.to_owned();
        Node { id, role, usable: true, delayed: false, weight: 1.0, lag_bytes: 0, lag_micros: 0 }
    }
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verdict {
    #[serde(deserialize_with = "words::depends")]
    pub depends: String,
    #[serde(deserialize_with = "words::kind")]
    pub kind: String,
    #[serde(deserialize_with = "words::servers")]
    pub servers: String,
    #[serde(deserialize_with = "words::effects")]
    pub effects: Vec<String>,
    pub name: Option<String>,
    pub reads: Vec<String>,
    pub writes: Vec<String>,
    pub functions: Vec<String>,
    pub tags: Vec<String>,
    pub reason: String,
}

impl Default for Verdict {
    /// A plain read.
    fn default() -> Self {
        Verdict {
            depends: "shape".to_owned(),
            kind: "select".to_owned(),
            servers: "any".to_owned(),
            effects: Vec::new(),
            name: None,
            reads: Vec::new(),
            writes: Vec::new(),
            functions: Vec::new(),
            tags: Vec::new(),
            reason: "reads".to_owned(),
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "one at a time is made")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// `depends`
    Pass(String),
    Answer(Verdict),
    Refine,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub sqlstate: String,
    pub message: String,
    pub hint: Option<String>,
}

/// The bytes `start..end` are replaced. A moment is put in as
/// `{statement_timestamp}` or `{transaction_timestamp}`, what a server evaluates
/// as `{expression}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub start: u32,
    pub end: u32,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// `depends`
    Keep(String),
    Reject(Refusal),
    Edit(Vec<Edit>),
}

/// What a balancer is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub verdict: Verdict,
    pub transaction: String,
    pub transaction_memory: u32,
    pub session_memory: u32,
    pub home: u32,
    pub waited_millis: u32,
    pub random: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub servers: String,
    pub node: u32,
    pub transaction_memory: u32,
    pub session_memory: u32,
    pub tell_end: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    Pass,
    /// The same, and it is told when the statement is over.
    Watch,
    To(Decision),
    Wait(u32),
    Refuse(Refusal),
}

/// A client that comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newcomer {
    pub database: String,
    pub user: String,
    pub application_name: String,
    pub address: Option<String>,
    pub tls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Pass,
    Change { database: Option<String>, user: Option<String>, parameters: BTreeMap<String, String> },
    Refuse(Refusal),
}
