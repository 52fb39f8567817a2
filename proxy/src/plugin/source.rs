//! Where a plugin comes from and how it is run: what the configuration says.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What a plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Classifier,
    Balancer,
    Rewriter,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Classifier, Role::Balancer, Role::Rewriter];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// The interface that a plugin of this role exports.
    pub(super) fn interface(self) -> String {
        format!("waypool:plugin/{self}@{}", super::contract::VERSION)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Role::Classifier => "classifier",
            Role::Balancer => "balancer",
            Role::Rewriter => "rewriter",
        })
    }
}

/// What routing does with a statement for which a plugin failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Sends it to the primary, as it is.
    #[default]
    Primary,
    /// Answers with an error.
    Reject,
}

/// Where the plugin's code is.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Inside this program. `precompiled` may be empty or made for another
    /// machine: then `wasm` is compiled.
    Embedded { wasm: &'static [u8], precompiled: &'static [u8] },
    /// A component, or a core module that wit-bindgen made.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Embedded { .. } => formatter.write_str("built in"),
            Origin::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// One entry of `[plugins]`.
#[derive(Clone, Debug)]
pub struct PluginSource {
    pub role: Role,
    /// The entry's name; in log lines, metrics and errors.
    pub name: String,
    pub origin: Origin,
    /// The entry's `config` table as JSON; `{}` without one.
    pub config_json: String,
    /// A call that takes longer is stopped. Rounded up to steps of 5 ms.
    pub deadline: Duration,
    /// In bytes, for each instance. There is one instance a worker thread.
    pub memory_limit: usize,
    pub on_error: OnError,
    /// The plugin may send writes and locks to a standby. Routing heeds it.
    pub allow_writes_on_standby: bool,
}
