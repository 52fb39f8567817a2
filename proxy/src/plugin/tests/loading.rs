//! What is no plugin is refused, with the file's name and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::cache::CodeCache;
use super::super::ticker::ticks;
use super::*;

fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.wasm");
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn error_for(content: &[u8]) -> String {
    let (_folder, path) = file(content);
    let origin = Origin::File(path.clone());
    let source = PluginSource { origin, ..hostile(Role::Classifier, "{}") };
    let error = host().check(&source).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn not_wasm() {
    let error = error_for(b"#!/bin/sh\n");
    assert!(error.contains("not WebAssembly"), "{error}");
    assert!(error.contains("#!/bin/s"), "{error}");
}

#[test]
fn no_file() {
    let origin = Origin::File("/nonexistent/plugin.wasm".into());
    let source = PluginSource { origin, ..hostile(Role::Classifier, "{}") };
    let error = host().check(&source).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/plugin.wasm"), "{error}");
}

#[test]
fn a_module_that_is_no_plugin() {
    let error = error_for(&wat::parse_str(r#"(module (import "env" "f" (func)))"#).unwrap());
    assert!(error.contains("waypool-plugin-sdk"), "{error}");
}

#[test]
fn a_damaged_component() {
    let error = error_for(b"\0asm\x0d\0\x01\0damaged");
    assert!(error.contains("not a valid WebAssembly component"), "{error}");
}

#[test]
fn a_component_without_the_role() {
    let component = wat::parse_str(r#"(component (instance (export "else:where/api")))"#).unwrap();
    let error = error_for(&component);
    assert!(error.contains("waypool:plugin/classifier@0.1.0"), "{error}");
    assert!(error.contains("else:where/api"), "{error}");
}

#[test]
fn a_component_that_imports_more_than_there_is() {
    let component = wat::parse_str(
        r#"(component
            (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func))))
            (instance (export "waypool:plugin/classifier@0.1.0")))"#,
    );
    let error = error_for(&component.unwrap());
    assert!(error.contains("wasi:clocks/wall-clock"), "{error}");
    assert!(error.contains("plugins may import waypool:plugin/host and nothing else"), "{error}");
}

#[test]
fn a_component_with_other_types() {
    let component = wat::parse_str(r#"(component (instance (export "waypool:plugin/classifier@0.1.0")))"#);
    let error = error_for(&component.unwrap());
    assert!(error.contains("does not fit the contract"), "{error}");
    assert!(error.contains("classify"), "{error}");
}

#[test]
fn roles_are_needed_once_each() {
    let one = PluginHost::new(vec![hostile(Role::Classifier, "{}")], options()).err().unwrap();
    assert!(matches!(one, PluginError::NoPlugin(Role::Balancer)));
    let twice = vec![hostile(Role::Classifier, "{}"), hostile(Role::Classifier, "{}")];
    let twice = PluginHost::new(twice, options()).err().unwrap();
    assert!(matches!(twice, PluginError::TwoPlugins { role: Role::Classifier, .. }));
}

#[test]
fn embedded_plugins_need_no_compiler_unless_they_do_not_fit() {
    let wasm: &'static [u8] = fs::read(built("hostile.wasm")).unwrap().leak();
    let code: &'static [u8] = fs::read(built("hostile.cwasm")).unwrap().leak();
    for precompiled in [code, b"", b"of another machine"] {
        let origin = Origin::Embedded { wasm, precompiled };
        host().check(&PluginSource { origin, ..hostile(Role::Classifier, "{}") }).unwrap();
    }
}

#[test]
fn compiled_code_is_kept_and_damage_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let start = || {
        let options = Options { workers: 1, code_cache: Some(cache.clone()) };
        let mut worker = PluginWorker::new(PluginHost::new(all_hostile("{}"), options).unwrap());
        assert_eq!(reason(&mut worker), "mark 0 call 1");
    };
    let only_file = || {
        let files: Vec<_> = fs::read_dir(&cache).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "one plugin in three roles: {files:?}");
        files[0].clone()
    };
    start();
    let whole = fs::read(only_file()).unwrap();
    start();
    assert_eq!(fs::read(only_file()).unwrap(), whole);

    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(only_file(), damaged).unwrap();
    start();
    assert_eq!(fs::read(only_file()).unwrap(), whole);
}

#[test]
fn a_cache_that_others_can_write_to_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = CodeCache::open(folder.path(), String::new()).err().unwrap();
    assert!(refused.contains("chmod 700"), "{refused}");
    // The plugins work all the same.
    let options = Options { workers: 1, code_cache: Some(folder.path().to_owned()) };
    let mut worker = PluginWorker::new(PluginHost::new(all_hostile("{}"), options).unwrap());
    assert_eq!(reason(&mut worker), "mark 0 call 1");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn deadlines_are_rounded_up_to_ticks() {
    assert_eq!(ticks(Duration::ZERO), 2);
    assert_eq!(ticks(Duration::from_micros(300)), 2);
    assert_eq!(ticks(Duration::from_micros(5_001)), 3);
    assert_eq!(ticks(Duration::from_millis(20)), 5);
}
