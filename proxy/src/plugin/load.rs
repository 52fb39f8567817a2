//! From a plugin's source to compiled code.

use std::borrow::Cow;
use std::fs;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use waypool_plugin_engine::{EngineError, componentize, precompile};

use super::about::{About, Words};
use super::cache::LazyCache;
use super::contract::{Description, SessionInfo, VERSION};
use super::counters::Counters;
use super::error::PluginError;
use super::facts::NoFacts;
use super::generation::{Plugin, Record};
use super::guest::Guest;
use super::instance::{Instance, StartError};
use super::recent::Recent;
use super::source::{Origin, PluginSource, Role, Roles};
use super::ticker;

/// Compiled code, and which file it was made from.
struct Loaded {
    component: Component,
    sha256: String,
}

/// From a source to a plugin that has been tried out.
pub(super) struct Loader<'h> {
    pub engine: &'h Engine,
    pub linker: &'h Linker<Guest>,
    pub cache: &'h LazyCache,
    pub recent: &'h Recent,
}

impl Loader<'_> {
    pub fn plugin(&self, source: PluginSource, counters: Arc<Counters>) -> Result<Arc<Plugin>, PluginError> {
        // What it counts and keeps while it is tried out is nobody's.
        let plugin = Arc::new(self.link(source, Arc::default())?);
        self.try_out(&plugin)?;
        Ok(Arc::new(plugin.with_counters(counters)))
    }

    /// What it says of itself, with its roles and its digest.
    pub fn describe(&self, source: &PluginSource) -> Result<(Roles, String, Description), PluginError> {
        let plugin = Arc::new(self.link(source.clone(), Arc::default())?);
        let description = Instance::description(&plugin).map_err(|error| start_error(source, error))?;
        Ok((plugin.roles, plugin.sha256.clone(), description))
    }

    pub fn link(&self, source: PluginSource, counters: Arc<Counters>) -> Result<Plugin, PluginError> {
        let Loaded { component, sha256 } = load(self.engine, self.cache, &source)?;
        let roles = roles(self.engine, &component, &source)?;
        let imports = imports(self.engine, &component);
        if let Some(import) = imports.iter().find(|import| !is_granted(import)) {
            return Err(PluginError::NotGranted {
                name: source.name().to_owned(),
                origin: source.origin.to_string(),
                import: import.clone(),
            });
        }
        let code = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| contract(&source, format!("{error:#}")))?;
        Ok(Plugin {
            name: Arc::from(source.name()),
            roles,
            asks_session: imports.iter().any(|import| import.starts_with("waypool:plugin/session@")),
            sha256,
            code,
            config_json: source.entry.config.to_string(),
            deadline_ticks: ticker::ticks(source.entry.deadline),
            counters,
            record: Record::default(),
            source,
        })
    }

    /// One instance, one call of each export, its self-test, and what clients
    /// sent a moment ago: a plugin that fails here never reaches a client.
    fn try_out(&self, plugin: &Arc<Plugin>) -> Result<(), PluginError> {
        let source = &plugin.source;
        let (name, origin) = (|| source.name().to_owned(), || source.origin.to_string());
        let mut instance = Instance::start(plugin).map_err(|error| start_error(source, error))?;
        let tested = instance.probe().map_err(|error| start_error(source, StartError::Failed(error)))?;
        tested.map_err(|message| PluginError::SelfTest { name: name(), origin: origin(), message })?;
        let (nobody, words) = (SessionInfo::default(), Words::default());
        for text in self.recent.texts() {
            let about = About { words: Some(&words), ..About::text(&nobody, &NoFacts) };
            let tried = instance.call(&about, |exports, store| {
                if plugin.roles.contains(Role::Classifier) {
                    exports.classify(&mut *store, &text, 0)?;
                }
                if plugin.roles.contains(Role::Rewriter) {
                    exports.rewrite(store, &text, 0)?;
                }
                Ok(())
            });
            tried.map_err(|error| PluginError::Recent {
                name: name(),
                origin: origin(),
                statement: text.to_string(),
                error: Box::new(error),
            })?;
        }
        Ok(())
    }
}

/// Whether a plugin may import this.
pub fn is_granted(import: &str) -> bool {
    let Some(rest) = import.strip_prefix("waypool:plugin/") else {
        return false;
    };
    rest.strip_suffix(&format!("@{VERSION}"))
        .is_some_and(|name| ["types", "host", "session", "statement", "store", "clock"].contains(&name))
}

fn imports(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// By what it exports. A plugin for another version of the contract is the
/// commonest mistake, and gets a message of its own.
fn roles(engine: &Engine, component: &Component, source: &PluginSource) -> Result<Roles, PluginError> {
    let exports = |role: &Role| component.get_export_index(None, role.interface().as_str()).is_some();
    let roles: Roles = Role::ALL.into_iter().filter(exports).collect();
    if !roles.is_empty() {
        return Ok(roles);
    }
    let component_type = component.component_type();
    let names: Vec<&str> = component_type.exports(engine).map(|(name, _)| name).collect();
    let (name, origin) = (source.name().to_owned(), source.origin.to_string());
    let foreign = names.iter().find_map(|name| name.strip_prefix("waypool:plugin/")?.split_once('@'));
    if let Some((_, found)) = foreign.filter(|(_, found)| *found != VERSION) {
        return Err(PluginError::Version { name, origin, found: found.to_owned() });
    }
    let exports = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    Err(PluginError::NoRole { name, origin, exports })
}

fn contract(source: &PluginSource, detail: String) -> PluginError {
    PluginError::Contract { name: source.name().to_owned(), origin: source.origin.to_string(), detail }
}

pub(super) fn start_error(source: &PluginSource, error: StartError) -> PluginError {
    let (name, origin) = (source.name().to_owned(), source.origin.to_string());
    match error {
        StartError::Contract(detail) => PluginError::Contract { name, origin, detail },
        StartError::Refused(message) => PluginError::Configuration { name, origin, message },
        StartError::Failed(error) => PluginError::Probe { name, origin, error: Box::new(error) },
    }
}

/// Reads and compiles. May take seconds.
fn load(engine: &Engine, cache: &LazyCache, source: &PluginSource) -> Result<Loaded, PluginError> {
    let in_form = |error| PluginError::Form {
        name: source.name().to_owned(),
        origin: source.origin.to_string(),
        error,
    };
    match &source.origin {
        Origin::Embedded { wasm, precompiled } => {
            let component = embedded(engine, wasm, precompiled).map_err(in_form)?;
            Ok(Loaded { component, sha256: sha256(wasm) })
        }
        Origin::File(path) => {
            let wasm = fs::read(path).map_err(|error| PluginError::Read {
                name: source.name().to_owned(),
                path: path.clone(),
                error,
            })?;
            source.rules.vet_file(source.name(), path, &wasm).map_err(|error| PluginError::Untrusted {
                name: source.name().to_owned(),
                path: path.clone(),
                error,
            })?;
            let sha256 = sha256(&wasm);
            let component = from_file(engine, cache, &wasm, &sha256).map_err(in_form)?;
            Ok(Loaded { component, sha256 })
        }
    }
}

fn embedded(engine: &Engine, wasm: &[u8], precompiled: &[u8]) -> Result<Component, EngineError> {
    if !precompiled.is_empty() {
        // SAFETY: it is part of this program, made by `build-plugins` from a
        // component. wasmtime checks that it was made by this version with
        // these settings.
        match unsafe { Component::deserialize(engine, precompiled) } {
            Ok(component) => return Ok(component),
            Err(error) => tracing::warn!(
                "the built-in plugins are not compiled for this machine and are now: {error:#}"
            ),
        }
    }
    compile(engine, &componentize(wasm)?)
}

fn compile(engine: &Engine, component: &[u8]) -> Result<Component, EngineError> {
    Component::from_binary(engine, component).map_err(EngineError::Compile)
}

fn from_file(
    engine: &Engine,
    cache: &LazyCache,
    wasm: &[u8],
    sha256: &str,
) -> Result<Component, EngineError> {
    let Some(cache) = cache.open(engine) else {
        return compile(engine, &componentize(wasm)?);
    };
    // The form is told first: the cache must not make a wrong file look right.
    let component: Cow<'_, [u8]> = componentize(wasm)?;
    if let Some(code) = cache.get(sha256) {
        // SAFETY: the cache has only what `put` below wrote, in a folder that
        // is ours alone, and has checked that it is whole. wasmtime checks
        // that it was made by this version with these settings.
        match unsafe { Component::deserialize(engine, &code) } {
            Ok(component) => return Ok(component),
            Err(error) => tracing::warn!("cached code is compiled anew: {error:#}"),
        }
    }
    let code = precompile(engine, &component)?;
    if let Err(error) = cache.put(sha256, &code) {
        tracing::warn!("cannot keep compiled code, the next start has to compile again: {error}");
    }
    // SAFETY: `precompile` made it for this engine a moment ago.
    unsafe { Component::deserialize(engine, &code) }.map_err(EngineError::Compile)
}

/// The digest of the plugin's file now, without loading it.
pub(super) fn digest(source: &PluginSource) -> Option<String> {
    match &source.origin {
        Origin::Embedded { wasm, .. } => Some(sha256(wasm)),
        Origin::File(path) => fs::read(path).ok().map(|wasm| sha256(&wasm)),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
