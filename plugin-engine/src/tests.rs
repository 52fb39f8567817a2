#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn what_is_not_wasm_is_told_apart() {
    let message = |bytes: &[u8]| componentize(bytes).unwrap_err().to_string();
    assert!(message(b"").contains("empty"), "{}", message(b""));
    assert!(message(b"#!/bin/sh\n").contains("#!/bin/s"));
    assert!(message(b"(module)").contains("text"));
    assert!(message(b"\0asm").contains("not WebAssembly"));
}

#[test]
fn forms_are_told_by_the_header() {
    assert_eq!(form_of(b"\0asm\x01\0\0\0").unwrap(), Form::CoreModule);
    assert_eq!(form_of(b"\0asm\x0d\0\x01\0").unwrap(), Form::Component);
}

#[test]
fn a_module_that_imports_what_we_do_not_offer_is_refused() {
    // (module (import "env" "f" (func)))
    let wasm = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0";
    let message = componentize(wasm).unwrap_err().to_string();
    assert!(message.contains("env"), "{message}");
}

#[test]
fn precompiled_code_loads_in_an_engine_of_another_size() {
    // (component)
    let code = precompile(&engine(1).unwrap(), b"\0asm\x0d\0\x01\0").unwrap();
    let other = engine(7).unwrap();
    // SAFETY: `precompile` made it a moment ago.
    let component = unsafe { wasmtime::component::Component::deserialize(&other, &code) };
    assert!(component.is_ok());
    assert!(matches!(componentize(&code), Err(EngineError::Precompiled)));
}

#[test]
fn the_fingerprint_is_the_same_for_each_engine() {
    let one = fingerprint(&engine(1).unwrap());
    assert_eq!(one, fingerprint(&engine(3).unwrap()));
    assert!(one.starts_with(WASMTIME_VERSION));
}

#[test]
fn the_version_is_the_one_that_is_linked() {
    let lock = include_str!("../../Cargo.lock");
    let linked = lock.split("[[package]]").find(|package| package.contains("name = \"wasmtime\"\n")).unwrap();
    assert!(linked.contains(&format!("version = \"{WASMTIME_VERSION}\"")));
}
