//! What the admin endpoint and the command line say to each other, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::life::Mode;

/// Answer of `GET /v1/plugins`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// The number of the generation in use.
    pub generation: u64,
    /// Those in use first, in the order in which they are asked.
    pub plugins: Vec<Plugin>,
}

/// Answer of `GET /v1/plugins/NAME/stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    pub name: String,
    pub roles: Vec<String>,
    pub state: State,
    /// The generation that brought it, if it is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    pub sha256: String,
    /// "built in", or its file.
    pub origin: String,
    /// Its file in the configuration, which a restart brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<String>,
    pub limits: Limits,
    /// A version that was pushed and waits for a swap: its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// The version that a rollback would bring: its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<String>,
    pub counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Active,
    Disabled,
    /// It has been pushed and never been in use.
    New,
}

/// What the configuration says of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub deadline: String,
    pub memory_limit: String,
    pub on_error: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub application_names: Vec<String>,
}

/// Since the proxy was started, all versions of the plugin together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub calls: u64,
    /// Calls that failed, by what happened.
    pub failures: BTreeMap<String, u64>,
    /// Answers that the proxy did not follow.
    pub overruled: u64,
    /// Log lines that were too many.
    pub lines_dropped: u64,
    /// What the plugin counts itself.
    pub counters: BTreeMap<String, u64>,
    pub gauges: BTreeMap<String, f64>,
}

/// A candidate that is asked as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    pub sha256: String,
    /// Between 0 and 1.
    pub share: f64,
    pub asked: u64,
    pub differed: u64,
    pub failed: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// A call that the two versions answered differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    pub call: String,
    pub statement: String,
    pub live: String,
    pub shadow: String,
}

/// One line of `GET /v1/history`, which has the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub generation: u64,
    pub plugin: String,
    pub action: String,
    pub sha256: String,
    /// RFC 3339, in UTC.
    pub when: String,
    pub who: String,
    pub why: String,
}

/// Answer of `POST /v1/plugins/NAME`, whose body is the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pushed {
    pub name: String,
    pub sha256: String,
    pub roles: Vec<String>,
    /// Where the proxy keeps the file.
    pub file: String,
}

/// The signature of a pushed file, in base64.
pub const SIGNATURE_HEADER: &str = "waypool-signature";

/// Body of `POST /v1/plugins/NAME/…`; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// For the history.
    pub why: String,
    /// `swap`: only if this is the version that would come into use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// `shadow`: of the calls, between 0 and 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// Answer to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The number of the generation that it made.
    pub generation: u64,
}

/// Body of `POST /v1/shutdown`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    pub mode: Mode,
    /// `smart`: clients are waited for no longer than so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// The process that ends.
    pub pid: u32,
}

/// Order of `POST /v1/commits/hold`: no commit passes for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    pub milliseconds: u64,
}

/// Answer to it, and order of `POST /v1/commits/release`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    pub lease: u64,
}

/// Answer to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Commits were kept back until now.
    pub in_time: bool,
}

/// Every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub error: String,
    /// What to do next, where `error` does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
