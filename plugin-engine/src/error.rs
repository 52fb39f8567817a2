//! What can go wrong between a file of bytes and a compiled plugin.

/// The messages leave out which file it was: the caller knows and says so.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "not WebAssembly: it starts with {start}, a module or component starts with \"\\0asm\". \
         Give the .wasm file that the plugin's build made"
    )]
    NotWasm { start: String },

    #[error("WebAssembly text: compile it to a binary first (`wasm-tools parse FILE -o FILE.wasm`)")]
    Text,

    #[error(
        "machine code that was compiled ahead of time: give the .wasm file it was made from, \
         Waypool compiles that itself"
    )]
    Precompiled,

    #[error(
        "cannot make a component of this WebAssembly module: {0}. \
         A plugin is built with waypool-plugin-sdk (or another generator of WIT bindings) for \
         wasm32-unknown-unknown; modules for WASI import what Waypool does not offer"
    )]
    Componentize(String),

    #[error("not a valid WebAssembly component: {0:#}. Rebuild the plugin")]
    Compile(wasmtime::Error),

    #[error("wasmtime refuses this machine or its settings: {0:#}")]
    Settings(wasmtime::Error),
}
