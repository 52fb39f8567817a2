//! One instance of one plugin, in no chain: what its own tests ask.

use std::sync::Arc;

use wasmtime::Store;

use super::about::About;
use super::contract::{
    Admission, Newcomer, Node, Opinion, Plan, Routing, SessionPlan, SessionState, Statement, Verdict,
};
use super::counters::Counts;
use super::error::{CallError, PluginError};
use super::exports::Exports;
use super::generation::Plugin;
use super::guest::Guest;
use super::host::PluginHost;
use super::instance::Instance;
use super::load::start_error;
use super::source::{PluginSource, Roles};

/// After an error other than [`Fault::Error`](super::Fault::Error) it must not
/// be used again.
pub struct Trial {
    plugin: Arc<Plugin>,
    instance: Instance,
}

impl PluginHost {
    /// Starts an instance with a store and counters of its own. Blocks.
    pub fn trial(&self, source: PluginSource) -> Result<Trial, PluginError> {
        let plugin = Arc::new(self.loader().link(source, Arc::default())?);
        let instance = Instance::start(&plugin).map_err(|error| start_error(&plugin.source, error))?;
        Ok(Trial { plugin, instance })
    }
}

impl Trial {
    pub fn roles(&self) -> Roles {
        self.plugin.roles
    }

    pub fn counts(&self) -> Counts {
        self.plugin.counters.counts()
    }

    pub fn rewrite(&mut self, text: &str, about: &About<'_>) -> Result<Plan, CallError> {
        self.call(about, |exports, store| exports.rewrite(store, text, about.facts_epoch()))
    }

    pub fn classify(&mut self, text: &str, about: &About<'_>) -> Result<Opinion, CallError> {
        self.call(about, |exports, store| exports.classify(store, text, about.facts_epoch()))
    }

    pub fn refine(&mut self, text: &str, verdict: &Verdict, about: &About<'_>) -> Result<Verdict, CallError> {
        self.call(about, |exports, store| exports.refine(store, text, verdict, about.facts_epoch()))
    }

    pub fn topology(&mut self, nodes: &[Node], about: &About<'_>) -> Result<(), CallError> {
        self.call(about, |exports, store| exports.topology(store, nodes))
    }

    pub fn plan_session(&mut self, random: u64, about: &About<'_>) -> Result<Option<SessionPlan>, CallError> {
        self.call(about, |exports, store| exports.plan_session(store, about.session, random))
    }

    pub fn route(
        &mut self,
        statement: Statement,
        state: SessionState,
        about: &About<'_>,
    ) -> Result<Routing, CallError> {
        self.call(about, |exports, store| exports.route(store, statement, state))
    }

    pub fn session_start(&mut self, newcomer: &Newcomer, about: &About<'_>) -> Result<Admission, CallError> {
        self.call(about, |exports, store| exports.session_start(store, newcomer))
    }

    fn call<R>(
        &mut self,
        about: &About<'_>,
        call: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        self.instance.call(about, call)
    }
}
