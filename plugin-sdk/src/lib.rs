//! Everything a Waypool plugin needs.
//!
//! A plugin is an ordinary Rust type. It implements [`Plugin`] (how it is made
//! from its configuration) and one or more roles:
//!
//! - [`Classifier`]: what is this statement, and which servers may run it?
//! - [`Rewriter`]: is the text sent as it is, edited or refused?
//! - [`Balancer`]: which of those servers gets it?
//! - [`Gate`]: who may come in, and as whom?
//! - [`Observer`]: what has happened?
//!
//! [`export!`] turns the type into a WebAssembly plugin:
//!
//! ```
//! use waypool_plugin_sdk::{Classifier, Host, Opinion, Plugin, Result, Verdict, export};
//!
//! /// Sends everything to the primary.
//! struct Careful;
//!
//! impl Plugin for Careful {
//!     type Config = ();
//!     fn new(_: ()) -> Result<Self> {
//!         Ok(Careful)
//!     }
//! }
//!
//! impl Classifier for Careful {
//!     fn classify(&mut self, _text: &str, _host: &Host) -> Result<Opinion> {
//!         Ok(Verdict::conservative("this plugin is careful").into())
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
    FunctionFact, Level, RelationFact, RelationFacts, Volatility,
};
pub use bindings::shared::waypool::plugin::types::{
    Admission, Changes, Decision, Depends, Edit, Effects, Kind, Newcomer, Node, NodeRole, Observation,
    Opinion, Plan, ReadAfter, Refusal, Servers, SessionInfo, SessionPlan, Transaction, Value, Verdict,
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
