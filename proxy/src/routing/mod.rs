//! From a statement's text to the servers that get it.
//!
//! Between sessions, which know no Wasm, and plugins, which know no session:
//! the statement cache, the calls into the plugins, and the last word on
//! whether an answer is safe.
//!
//! - [`Scope`]: what a session's answers depend on besides the text
//! - `ask`: what a text is, and how it is sent: the cache, rewriters, classifiers
//! - `route`: where a statement goes: the balancers
//! - `gate`: who comes in
//! - [`facts`], `catalog`: the catalog, for plugins that ask
//! - [`edit`]: what rewriters make of a text; [`values`]: what is put in when it is sent

mod ask;
pub mod cache;
mod catalog;
pub mod edit;
pub mod facts;
mod gate;
mod route;
mod scope;
#[cfg(test)]
mod tests;
pub mod values;

pub use ask::{CLASSIFY_LIMIT, Classified, FACT_ROUNDS, REPEATED_LIMIT, Sent, classify};
pub use gate::Admitted;
pub use route::{Explained, Route, SessionState, refused, route};
pub use scope::Scope;

use crate::cluster::Cluster;
use crate::plugin::{PluginHost, PluginWorker, Topology};
use cache::Cache;
use facts::Facts;
use scope::Scopes;
use std::rc::Rc;
use std::sync::Arc;

/// A database as one worker knows it.
#[derive(Debug)]
pub struct Database {
    pub name: Arc<str>,
    pub facts: Arc<Facts>,
}

/// One worker's way to its plugins.
pub struct Router {
    cluster: Arc<Cluster>,
    host: Arc<PluginHost>,
    plugins: PluginWorker,
    scopes: Scopes,
    cache: Cache<Rc<Classified>>,
    shape: Vec<u8>,
    random: fastrand::Rng,
    /// What the balancers are told.
    topology: Topology,
}

impl Router {
    pub fn new(cluster: Arc<Cluster>, host: Arc<PluginHost>, cache_bytes: usize) -> Self {
        Router {
            plugins: PluginWorker::new(host.clone()),
            cluster,
            host,
            scopes: Scopes::default(),
            cache: Cache::new(cache_bytes),
            shape: Vec::new(),
            random: fastrand::Rng::new(),
            topology: Topology { epoch: u64::MAX, nodes: Vec::new() },
        }
    }
}
