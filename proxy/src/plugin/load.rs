//! From a plugin's source to compiled code.

use std::borrow::Cow;
use std::fs;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use waypool_plugin_engine::{EngineError, componentize, precompile};

use super::cache::LazyCache;
use super::error::PluginError;
use super::source::{Origin, PluginSource};

/// Compiled code, and which file it was made from.
pub(super) struct Loaded {
    pub component: Component,
    pub sha256: String,
}

/// Reads and compiles. May take seconds.
pub(super) fn load(engine: &Engine, cache: &LazyCache, source: &PluginSource) -> Result<Loaded, PluginError> {
    let in_form =
        |error| PluginError::Form { name: source.name.clone(), origin: source.origin.to_string(), error };
    match &source.origin {
        Origin::Embedded { wasm, precompiled } => {
            let component = embedded(engine, wasm, precompiled).map_err(in_form)?;
            Ok(Loaded { component, sha256: sha256(wasm) })
        }
        Origin::File(path) => {
            let wasm = fs::read(path).map_err(|error| PluginError::Read {
                name: source.name.clone(),
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

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
