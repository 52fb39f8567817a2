//! Everything a Waypool plugin needs.
//!
//! A plugin is an ordinary Rust type. It implements [`Plugin`] (how it is made
//! from its configuration) and one or more roles:
//!
//! - [`Classifier`]: what is this statement, and which servers may run it?
//! - [`Balancer`]: which of those servers gets it?
//! - [`Rewriter`]: is the text sent as it is, edited or refused?
//!
//! [`export!`] turns the type into a WebAssembly plugin:
//!
//! ```
//! use waypool_plugin_sdk::{Classifier, Host, Plugin, Verdict, export};
//!
//! /// Sends everything to the primary.
//! struct Careful;
//!
//! impl Plugin for Careful {
//!     type Config = ();
//!     fn new(_: ()) -> Result<Self, String> {
//!         Ok(Careful)
//!     }
//! }
//!
//! impl Classifier for Careful {
//!     fn classify(&mut self, _text: &str, _database: &str, _host: &dyn Host) -> Verdict {
//!         Verdict::conservative("this plugin is careful")
//!     }
//! }
//!
//! export!(Careful: classifier);
//! # fn main() {}
//! ```
//!
//! Nothing here needs WebAssembly to be tested: a plugin's tests are plain
//! `cargo test`, with [`testing::FakeHost`] standing in for the proxy.
//!
//! The crate of a plugin has `crate-type = ["cdylib", "rlib"]` and is built for
//! `wasm32-unknown-unknown`. The contract itself is `wit/waypool.wit`; plugins
//! in other languages are written against that file.

#[doc(hidden)]
pub mod bindings;
mod config;
mod export;
mod roles;
pub mod testing;
mod types;

pub use bindings::shared::waypool::plugin::host::{
    FunctionFact, Level, RelationFact, RelationFacts, Volatility,
};
pub use bindings::shared::waypool::plugin::types::{
    Decision, Depends, Edit, Effects, Kind, Node, NodeRole, Plan, ReadAfter, Refusal, Servers, SessionInfo,
    SessionPlan, Transaction, Value, Verdict,
};
pub use roles::{Balancer, BalancerHost, Classifier, Host, Plugin, Rewriter, SessionState, Statement};

/// What the expansion of [`export!`] uses. Not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::export::{Instance, ProxyHost};
}
