//! Everything a Waypool plugin needs.
//!
//! # What a plugin is
//!
//! Waypool stands between programs and a group of PostgreSQL servers. One
//! server is the *primary*: it takes writes. The others are *standbys*: they
//! repeat what the primary does, a moment later, and answer reads. A program
//! sees one server and knows nothing of all this; where each of its statements
//! goes is decided on the way, by plugins.
//!
//! A plugin is an ordinary Rust type. It implements [`Plugin`] (how it is made
//! from its configuration) and one or more roles. This is the life of a
//! statement, with the roles in their places:
//!
//! ```text
//! a client comes in ──► Gate           may it come in, and as whom?
//!
//! its statement ──────► Rewriter       is the text sent as it is, edited or refused?
//!                          │
//!                       Classifier     what is it, and which servers may run it?
//!                          │           (text, plan and verdict are kept and used again)
//!                       Balancer       which of those servers gets it now?
//!                          │
//!                       a server
//!                          │
//! the answer ◄─────────────┴─────────► Observer       what has happened?
//! ```
//!
//! In each role the plugins of waypool.toml are asked one after the other, until
//! one decides; Waypool's own stand last. So a plugin has to care for its own
//! rule only, and *passes* wherever it has nothing to say.
//!
//! # A whole plugin
//!
//! Reads of `audit_log` are heavy, and nobody needs them fresh: they may run on
//! any server. Everything else is left to the plugins behind.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use waypool_plugin_sdk::{Classifier, Host, Opinion, Plugin, Result, Verdict, export};
//!
//! struct Heavy {
//!     table: String,
//! }
//!
//! /// The table [plugins.heavy.config] of waypool.toml
//! #[derive(Serialize, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Config {
//!     table: String,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Config { table: "audit_log".to_owned() }
//!     }
//! }
//!
//! impl Plugin for Heavy {
//!     type Config = Config;
//!     const ABOUT: &'static str = "Reads of one table may run on any server";
//!
//!     fn new(config: Config) -> Result<Self> {
//!         if config.table.is_empty() {
//!             return Err("`table` must not be empty: leave it out for audit_log".into());
//!         }
//!         Ok(Heavy { table: config.table })
//!     }
//! }
//!
//! impl Classifier for Heavy {
//!     fn classify(&mut self, text: &str, _host: &Host) -> Result<Opinion> {
//!         if text != format!("SELECT * FROM {}", self.table) {
//!             return Ok(Opinion::pass());
//!         }
//!         Ok(Verdict::read("reads the log").reading([&self.table]).into())
//!     }
//! }
//!
//! export!(Heavy: classifier);
//!
//! # fn main() -> Result<()> {
//! // And in a test:
//! let host = waypool_plugin_sdk::testing::FakeHost::new();
//! let mut plugin = Heavy::new(Config::default())?;
//! let opinion = plugin.classify("SELECT * FROM audit_log", &host)?;
//! assert!(matches!(opinion, Opinion::Answer(_)));
//! # Ok(())
//! # }
//! ```
//!
//! [`export!`] turns the type into a WebAssembly plugin. The crate has
//! `crate-type = ["cdylib", "rlib"]`; `waypool plugin new` makes one, `waypool
//! plugin build` builds it. (To understand SQL better than by comparing texts,
//! there is the crate `waypool-scan`, PostgreSQL's lexer.)
//!
//! # What an answer depends on
//!
//! The proxy does not ask for each execution of a statement. It keeps the
//! answers of classifiers and rewriters and uses them again; a program that
//! sends `SELECT … WHERE id = 7` and then `… WHERE id = 8` is asked about once.
//! That is only right if the plugin would answer the same, so each answer says
//! what it [`Depends`] on:
//!
//! | | the answer holds for | for example |
//! |---|---|---|
//! | [`Depends::Shape`] | all texts that differ in nothing but numbers, strings, white space and comments behind the first word | the plugin looked at the tables and functions that are named |
//! | [`Depends::Text`] | this very text | it looked at a string, a number or a comment |
//! | [`Depends::Moment`] | this execution only | a fact of the catalog is not known yet |
//!
//! *Passing counts too*: a plugin that looks for `/* tenant=acme */` at the end
//! of a text and finds nothing must not say that this holds for the shape, or the
//! next statement of the shape, which has the comment, never reaches it. When in
//! doubt say `Text`, as [`Opinion::pass`], [`Plan::keep`] and [`Verdict::new`] do: it is always
//! right, and costs a call for each new text. A [table of
//! statements](testing::table!) finds answers that claim too much.
//!
//! Besides the text, an answer may depend on the configuration, on what the
//! catalog says, and on who the session is for: the proxy sees what is asked of
//! the [`Host`] and keeps the answers apart. It may depend on nothing else: not on
//! what the plugin saw before, nor on a value in the store. A balancer, which is
//! asked each time, may.
//!
//! # When something goes wrong
//!
//! Errors are returned, with `?` from whatever they come from: see [`Error`]. A
//! panic, an endless loop or too much memory hurts nobody else either: the
//! proxy throws the instance away, makes a new one, and does with the statement
//! what the operator chose by `on_error`: it goes to the primary as it is, or is
//! refused.
//!
//! # Testing
//!
//! Nothing here needs WebAssembly or a server to be tested: a plugin's tests are
//! plain `cargo test`, with [`testing::FakeHost`] standing in for the proxy.
//! [`testing::table!`] makes a test from a table of statements and what is
//! expected of each; the same table is run against the built plugin by `waypool
//! plugin test`.
//!
//! The contract itself is `wit/waypool.wit`; plugins in other languages are
//! written against that file.

#[cfg(any(target_family = "wasm", test))]
mod alloc;
#[doc(hidden)]
pub mod bindings;
mod config;
mod error;
mod export;
mod host;
mod roles;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod types;

pub use bindings::shared::waypool::plugin::host::{
    Column, ColumnsFact, FunctionFact, Identity, Level, RelationFact, RelationFacts, TableColumns, Volatility,
};
pub use bindings::shared::waypool::plugin::types::{
    Admission, Changes, Decision, Depends, Edit, Effects, Evaluation, Kind, Newcomer, Node, NodeRole,
    Observation, Opinion, Plan, ReadAfter, Refusal, Servers, SessionInfo, SessionPlan, Transaction, Value,
    Verdict,
};
pub use error::{Error, Result};
pub use host::Host;
pub use roles::{Balancer, Classifier, Gate, Observer, Plugin, Rewriter, SessionState, Statement};
pub use types::Routing;

/// What the expansion of [`export!`] uses. Not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::bindings::balancer::exports::waypool::plugin::balancer;
    pub use crate::bindings::classifier::exports::waypool::plugin::classifier;
    pub use crate::bindings::gate::exports::waypool::plugin::gate;
    pub use crate::bindings::lifecycle::exports::waypool::plugin::lifecycle;
    pub use crate::bindings::observer::exports::waypool::plugin::observer;
    pub use crate::bindings::rewriter::exports::waypool::plugin::rewriter;
    pub use crate::bindings::shared::waypool::plugin::types::Routing;
    pub use crate::config::describe;
    pub use crate::export::{Instance, routing, why_not};
    pub use crate::host::facts_are_of;
}
