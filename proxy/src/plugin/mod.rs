//! The Wasm host: loads plugins, calls them, contains them, replaces them.
//!
//! It knows nothing of sessions, sockets or SQL. Routing asks it through a
//! [`PluginWorker`], which each worker thread owns, and acts on the answers;
//! administration swaps plugins through the [`PluginHost`], which all threads
//! share.
//!
//! ```text
//! PluginHost ── current Generation ──▶ one Plugin for each role: compiled code
//!     ▲                                   │                        and settings
//!     │ reports failures                  ▼
//! PluginWorker (one a thread) ─────▶ instances: memory and state of a plugin
//! ```
//!
//! - [`contract`]: what plugins are asked and answer; `plugin-sdk/wit` in Rust.
//! - `load`, `cache`: from a file to compiled code.
//! - `exports`, `instance`, `guest`: one instance, its calls, what it may ask.
//! - `generation`, `host`: which plugins are current; swap and rollback.
//! - `worker`: the calls that routing makes.

mod cache;
pub mod contract;
mod counters;
mod error;
mod exports;
mod facts;
mod generation;
mod guest;
mod host;
mod instance;
mod load;
mod setting;
mod source;
mod store;
mod ticker;
mod worker;

pub use counters::Counts;
pub use error::{CallError, Fault, PluginError};
pub use facts::{FactKey, FactRef, FactSource, NoFacts};
pub use generation::{Change, PluginInfo};
pub use host::{Options, PluginHost};
pub use setting::{Setting, Words};
pub use source::{OnError, Origin, PluginSource, Role};
pub use worker::{Classified, PluginWorker, Rewritten};

#[cfg(test)]
mod tests;
