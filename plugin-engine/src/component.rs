//! From what a guest's compiler makes to a component.

use std::borrow::Cow;

use wit_component::ComponentEncoder;

use crate::EngineError;

/// The two binary forms of WebAssembly; both start with `\0asm`, then comes a
/// version and a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What rustc, clang and zig make.
    CoreModule,
    /// What the proxy runs.
    Component,
}

/// Tells the form by the first eight bytes.
pub fn form_of(wasm: &[u8]) -> Result<Form, EngineError> {
    match wasm {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Form::CoreModule),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(Form::Component),
        _ if wasmtime::Engine::detect_precompiled(wasm).is_some() => Err(EngineError::Precompiled),
        _ if wasm.trim_ascii_start().starts_with(b"(") => Err(EngineError::Text),
        _ => Err(EngineError::NotWasm { start: start_of(wasm) }),
    }
}

fn start_of(bytes: &[u8]) -> String {
    match bytes {
        [] => "nothing (the file is empty)".to_owned(),
        _ => format!("\"{}\"", bytes[..bytes.len().min(8)].escape_ascii()),
    }
}

/// Makes a component of a core module that carries its component type, as
/// wit-bindgen writes it. A component is passed through.
pub fn componentize(wasm: &[u8]) -> Result<Cow<'_, [u8]>, EngineError> {
    if form_of(wasm)? == Form::Component {
        return Ok(Cow::Borrowed(wasm));
    }
    ComponentEncoder::default()
        .validate(true)
        .module(wasm)
        .and_then(|encoder| encoder.encode())
        .map(Cow::Owned)
        .map_err(|error| EngineError::Componentize(format!("{error:#}")))
}
