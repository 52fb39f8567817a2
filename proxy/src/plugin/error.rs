//! What goes wrong with plugins, and how it is said.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use waypool_plugin_engine::EngineError;

use super::source::Role;
use crate::config::{OnError, Untrusted};

/// A plugin cannot be put into use. Whatever was in use stays.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    #[error("plugin \"{name}\": cannot read {}: {error}", path.display())]
    Read { name: String, path: PathBuf, error: std::io::Error },

    #[error("plugin \"{name}\" ({origin}): {error}")]
    Form { name: String, origin: String, error: EngineError },

    #[error("plugin \"{name}\": {} is not loaded: {error}", path.display())]
    Untrusted { name: String, path: PathBuf, error: Untrusted },

    #[error(
        "plugin \"{name}\" ({origin}) has no role: it exports {exports}, and none of the interfaces \
         classifier, rewriter, balancer, gate and observer of waypool:plugin@{}. Name its roles in \
         waypool_plugin_sdk::export!",
        super::contract::VERSION
    )]
    NoRole { name: String, origin: String, exports: String },

    #[error(
        "plugin \"{name}\" ({origin}) was built for waypool:plugin@{found}, and this Waypool speaks \
         {}: rebuild it with the plugin SDK of this Waypool",
        super::contract::VERSION
    )]
    Version { name: String, origin: String, found: String },

    #[error(
        "plugin \"{name}\" ({origin}) imports {import}, which Waypool does not offer: plugins have no \
         files, no network, no environment. Build it for wasm32-unknown-unknown, without WASI"
    )]
    NotGranted { name: String, origin: String, import: String },

    #[error(
        "plugin \"{name}\" ({origin}) does not fit the contract waypool:plugin@{}: {detail}. \
         Rebuild it with the plugin SDK of this Waypool",
        super::contract::VERSION
    )]
    Contract { name: String, origin: String, detail: String },

    #[error("plugin \"{name}\" ({origin}) refuses its configuration: {message}")]
    Configuration { name: String, origin: String, message: String },

    #[error("plugin \"{name}\" ({origin}) fails when it is tried out: {error}")]
    Probe { name: String, origin: String, error: Box<CallError> },

    #[error("plugin \"{name}\" ({origin}) fails its self-test: {message}")]
    SelfTest { name: String, origin: String, message: String },

    #[error(
        "plugin \"{name}\" ({origin}) fails on a statement that clients sent a moment ago: {error}. \
         The statement: {statement}"
    )]
    Recent { name: String, origin: String, statement: String, error: Box<CallError> },

    #[error("there is no {0} among the plugins, and Waypool cannot route without one")]
    Missing(Role),

    #[error("there is no plugin \"{0}\": waypool plugin list shows the names")]
    NoSuchPlugin(String),

    #[error("two plugins are called \"{0}\"")]
    TwoOfAName(String),

    #[error("no version of \"{0}\" is waiting to be put into use: waypool plugin push FILE brings one")]
    NoCandidate(String),

    #[error(
        "\"{0}\" is new: there is nothing in use to compare its answers with. \
         waypool plugin test says what it answers, waypool plugin swap {0} puts it into use, and rollback \
         takes it out again"
    )]
    NothingToCompare(String),

    #[error("there is no earlier version of \"{0}\" to go back to")]
    NothingEarlier(String),

    #[error("\"{0}\" is not disabled")]
    NotDisabled(String),

    #[error(
        "\"{name}\" cannot be disabled, because no other plugin would be left that is a {role}: \
         swap it instead"
    )]
    Indispensable { name: String, role: Role },

    #[error("more than {max} plugins are {role}s: put some of them together")]
    TooMany { role: Role, max: usize },

    #[error("the share of statements that a shadow is asked about is between 0 and 1, not {0}")]
    Share(f64),

    #[error("cannot start the thread that stops plugins which take too long: {0}")]
    Ticker(std::io::Error),

    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The plugin's code gave up: a panic, a division by zero, its stack.
    Trap,
    /// It took longer than its deadline.
    Deadline,
    /// It asked for more memory than its limit.
    Memory,
    /// It answered with something that the contract does not allow.
    Malformed,
    /// No instance could be made to ask.
    Start,
    /// It returned an error.
    Error,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Fault::Trap => "trap",
            Fault::Deadline => "deadline",
            Fault::Memory => "memory",
            Fault::Malformed => "malformed answer",
            Fault::Start => "start",
            Fault::Error => "error",
        })
    }
}

/// A plugin failed to answer. It is contained: the instance is gone, counted
/// and logged, the next call gets a fresh one. `on_error` says what to do with
/// the statement.
#[derive(Clone, Debug)]
pub struct CallError {
    pub plugin: Arc<str>,
    pub fault: Fault,
    /// What happened, for people; with a panic's message, where there is one.
    pub message: String,
    /// Functions of the plugin, innermost first; may be empty.
    pub backtrace: String,
    pub on_error: OnError,
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallError { plugin, fault, message, .. } = self;
        write!(formatter, "plugin \"{plugin}\" failed ({fault}): {message}")
    }
}

impl std::error::Error for CallError {}
