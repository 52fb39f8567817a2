//! What goes wrong with plugins, and how it is said.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use waypool_plugin_engine::EngineError;

use super::source::{OnError, Role};

/// A plugin cannot be put into use. Whatever was in use stays.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    #[error("plugin \"{name}\": cannot read {}: {error}", path.display())]
    Read { name: String, path: PathBuf, error: std::io::Error },

    #[error("plugin \"{name}\" ({origin}): {error}")]
    Form { name: String, origin: String, error: EngineError },

    #[error(
        "plugin \"{name}\" ({origin}) does not export {interface}, so it cannot be a {role}; \
         it exports: {exports}. Export the role with waypool_plugin_sdk::export!, \
         or give the plugin another role"
    )]
    MissingExport { name: String, origin: String, role: Role, interface: String, exports: String },

    #[error(
        "plugin \"{name}\" ({origin}) does not fit the contract waypool:plugin@{}: {detail}. \
         Rebuild it with the plugin SDK of this Waypool; plugins may import \
         waypool:plugin/host and nothing else",
        super::contract::VERSION
    )]
    Contract { name: String, origin: String, detail: String },

    #[error("plugin \"{name}\" ({origin}) refuses its configuration: {message}")]
    Configuration { name: String, origin: String, message: String },

    #[error("plugin \"{name}\" ({origin}) fails when it is tried out: {error}")]
    Probe { name: String, origin: String, error: CallError },

    #[error("no {0} is configured, and Waypool cannot route without one")]
    NoPlugin(Role),

    #[error("plugins \"{first}\" and \"{second}\" are both {role}s: there is one plugin for each role")]
    TwoPlugins { role: Role, first: String, second: String },

    #[error("there is no earlier {0} to go back to")]
    NothingEarlier(Role),

    #[error("the {0} cannot be removed, since Waypool cannot route without one: swap it instead")]
    Indispensable(Role),

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
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Fault::Trap => "trap",
            Fault::Deadline => "deadline",
            Fault::Memory => "memory",
            Fault::Malformed => "malformed answer",
            Fault::Start => "start",
        })
    }
}

/// A plugin failed to answer. It is contained: the instance is gone, counted
/// and logged, the next call gets a fresh one. `on_error` says what to do with
/// the statement.
#[derive(Clone, Debug)]
pub struct CallError {
    pub plugin: Arc<str>,
    pub role: Role,
    pub fault: Fault,
    /// What happened, for people; with a panic's message, where there is one.
    pub message: String,
    /// Functions of the plugin, innermost first; may be empty.
    pub backtrace: String,
    pub on_error: OnError,
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallError { plugin, role, fault, message, .. } = self;
        write!(formatter, "{role} \"{plugin}\" failed ({fault}): {message}")
    }
}

impl std::error::Error for CallError {}
