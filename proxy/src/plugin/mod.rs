//! The Wasm host: loads plugins, calls them, contains them, replaces them.
//!
//! It knows nothing of sockets or SQL. Routing asks it through a
//! [`PluginWorker`], which each worker thread owns, and acts on the answers;
//! administration swaps plugins through the [`PluginHost`], which all threads
//! share.
//!
//! ```text
//! PluginHost ── current Generation ──▶ Plugins, in the chains' order: compiled
//!     ▲                                   │                    code, settings
//!     │ reports failures                  ▼
//! PluginWorker (one a thread) ── Instances: memory and state of each plugin
//!                                    ▲
//!                     a session's Chain: which of them it meets
//! ```
//!
//! - [`contract`]: what plugins are asked and answer; `plugin-sdk/wit` in Rust.
//! - `source`: what the configuration says of a plugin.
//! - `load`, `cache`: from a file to compiled code that has been tried out.
//! - `exports`, `instance`, `guest`, `about`: one instance, its calls, what it
//!   may ask.
//! - `generation`, `host`, `shadow`: which plugins are current; swap, rollback,
//!   shadow.
//! - `worker`, `decisions`: the calls that routing makes, and those it need not.
//! - `trial`: one instance alone, for `waypool plugin test`.
//! - `observe`: what observers are told, on a thread of their own.

mod about;
mod cache;
pub mod contract;
mod counters;
mod decisions;
mod error;
mod exports;
mod facts;
mod generation;
mod guest;
mod host;
mod instance;
mod load;
mod observe;
mod recent;
mod shadow;
mod source;
mod store;
mod ticker;
mod trial;
mod worker;

pub use about::{About, Mark, Words};
pub use counters::{Counts, Own};
pub use error::{CallError, Fault, PluginError};
pub use facts::{FactKey, FactRef, FactSource, NoFacts};
pub use generation::{Action, By, Chain, Change, MAX_BALANCERS, PluginInfo, State};
pub use host::{Options, PluginHost};
pub use load::is_granted;
pub use observe::{BATCH, Observed, Observers};
pub use shadow::{Example, ShadowInfo};
pub use source::{Origin, PluginSource, Role, Roles};
pub use trial::Trial;
pub use worker::{Considered, Instances, Memory, PluginWorker, Routed, Topology, Turn};

#[cfg(test)]
mod tests;
