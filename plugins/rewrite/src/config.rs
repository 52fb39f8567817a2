//! The plugin's configuration.

use serde::{Deserialize, Serialize};

/// `[plugins.rewrite.config]` of waypool.toml
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// What becomes of values that each server would make up for itself.
    pub on_nondeterministic: OnNondeterministic,
    /// That of waypool.toml, which the proxy puts in.
    pub backend_clustering_mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNondeterministic {
    /// Evaluated on the main server where once is enough; elsewhere the statement
    /// is refused.
    #[default]
    Rewrite,
    /// The statement is refused, unless it is about the time or a sequence.
    Reject,
    /// Evaluated where once is enough; elsewhere the servers may differ.
    Allow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    StreamingReplication,
    LogicalReplication,
    Raw,
    NativeReplication,
    SnapshotIsolation,
}

impl Mode {
    /// Whether every server runs every write by itself.
    pub fn repeats_writes(self) -> bool {
        matches!(self, Mode::NativeReplication | Mode::SnapshotIsolation)
    }
}
