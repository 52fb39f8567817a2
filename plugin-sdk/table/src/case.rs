//! One case of a table.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::value::Datetime;

use crate::facts::Facts;
use crate::subject::{Node, Verdict};
use crate::words::optional;

/// A statement, or a client that comes in, and what is expected. The keys are
/// described at the head of this crate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Case {
    pub statement: Option<String>,
    pub about: Option<String>,

    // === what goes in ===
    pub config: toml::Table,
    pub facts: Facts,
    pub database: Option<String>,
    pub user: Option<String>,
    pub application_name: Option<String>,
    pub address: Option<String>,
    pub tls: bool,
    pub nodes: Option<Vec<Node>>,
    pub behind: Verdict,
    #[serde(deserialize_with = "optional::transaction")]
    pub transaction: Option<String>,
    pub transaction_memory: u32,
    pub session_memory: u32,
    pub home: Option<u32>,
    pub waited_millis: u32,
    pub random: u64,
    pub now: Option<Datetime>,
    pub repeat: Option<u32>,

    // === what has to come out ===
    pub passes: Option<bool>,
    #[serde(deserialize_with = "optional::kind")]
    pub kind: Option<String>,
    #[serde(deserialize_with = "optional::servers")]
    pub servers: Option<String>,
    #[serde(deserialize_with = "optional::depends")]
    pub depends: Option<String>,
    pub name: Option<String>,
    #[serde(deserialize_with = "optional::effects")]
    pub effects: Option<Vec<String>>,
    pub reads: Option<Vec<String>>,
    pub writes: Option<Vec<String>>,
    pub functions: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    pub reason: Option<String>,
    pub rewritten: Option<String>,
    pub refused: Option<String>,
    pub message: Option<String>,
    pub hint: Option<String>,
    pub routed_to: Option<Target>,
    pub planned_home: Option<u32>,
    pub waits: Option<u32>,
    pub watches: Option<bool>,
    pub database_becomes: Option<String>,
    pub user_becomes: Option<String>,
    pub parameters: Option<BTreeMap<String, String>>,
    pub counted: BTreeMap<String, f64>,
    pub fails: Option<String>,
}

impl Case {
    /// What it is called in a report.
    pub fn title(&self) -> String {
        match &self.statement {
            Some(statement) => statement.clone(),
            None => format!("a client that comes in{}", self.who()),
        }
    }

    fn who(&self) -> String {
        let named = [
            (" to ", &self.database),
            (" as ", &self.user),
            (" with ", &self.application_name),
            (" from ", &self.address),
        ];
        let named = named.iter().filter_map(|(how, name)| Some(format!("{how}{}", name.as_ref()?)));
        named.collect()
    }
}

/// Where a balancer sends a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a node's number, \"primary\" or \"all\" was expected")]
pub enum Target {
    Node(u32),
    Word(TargetWord),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetWord {
    /// The primary alone
    Primary,
    /// The primary and the session's home
    All,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Target::Node(id) => write!(f, "{id}"),
            Target::Word(TargetWord::Primary) => f.write_str("primary"),
            Target::Word(TargetWord::All) => f.write_str("all"),
        }
    }
}
