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

fn from(path: PathBuf) -> PluginSource {
    source(entry("other", "{}"), Origin::File(path))
}

fn error_for(content: &[u8]) -> String {
    let (_folder, path) = file(content);
    let error = host().check(&from(path.clone())).unwrap_err().to_string();
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
    let error = host().check(&from("/nonexistent/plugin.wasm".into())).unwrap_err().to_string();
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
fn a_component_without_a_role() {
    let component = wat::parse_str(r#"(component (instance (export "else:where/api")))"#).unwrap();
    let error = error_for(&component);
    assert!(error.contains("has no role: it exports else:where/api"), "{error}");
    assert!(error.contains("waypool:plugin@0.1.0"), "{error}");
}

#[test]
fn a_component_from_the_future() {
    let component = wat::parse_str(
        r#"(component
            (import "waypool:plugin/host@2.7.0" (instance (export "feel" (func))))
            (instance (export "waypool:plugin/lifecycle@2.7.0"))
            (instance (export "waypool:plugin/classifier@2.7.0")))"#,
    );
    let error = error_for(&component.unwrap());
    assert!(error.contains("was built for waypool:plugin@2.7.0, and this Waypool speaks 0.1.0"), "{error}");
    assert!(error.contains("rebuild it with the plugin SDK"), "{error}");
}

#[test]
fn a_component_that_imports_more_than_there_is() {
    for import in
        ["wasi:clocks/wall-clock@0.2.0", "waypool:plugin/network@0.1.0", "waypool:plugin/host@0.2.0"]
    {
        let component = wat::parse_str(format!(
            r#"(component
                (import "{import}" (instance (export "now" (func))))
                (instance (export "waypool:plugin/classifier@0.1.0")))"#
        ));
        let error = error_for(&component.unwrap());
        assert!(error.contains(&format!("imports {import}, which Waypool does not offer")), "{error}");
        assert!(error.contains("no files, no network, no environment"), "{error}");
    }
}

#[test]
fn a_component_that_imports_what_there_is_with_other_types() {
    let component = wat::parse_str(
        r#"(component
            (import "waypool:plugin/clock@0.1.0" (instance (export "now" (func (result string)))))
            (instance (export "waypool:plugin/classifier@0.1.0")))"#,
    );
    let error = error_for(&component.unwrap());
    assert!(error.contains("does not fit the contract"), "{error}");
}

#[test]
fn a_component_with_other_types() {
    let component = wat::parse_str(r#"(component (instance (export "waypool:plugin/classifier@0.1.0")))"#);
    let error = error_for(&component.unwrap());
    assert!(error.contains("does not fit the contract"), "{error}");
    assert!(error.contains("lifecycle"), "{error}");
}

#[test]
fn names_differ_and_statements_find_an_answer() {
    let refused = |sources| PluginHost::new(sources, options()).err().unwrap();
    let twice = refused(vec![hostile("{}"), hostile("{}")]);
    assert!(matches!(twice, PluginError::TwoOfAName(_)), "{twice}");
    let [classify, balance, rewrite] = own();
    let deaf = refused(vec![classify, rewrite.clone()]);
    assert!(matches!(deaf, PluginError::Missing(Role::Balancer)), "{deaf}");
    let blind = refused(vec![balance, rewrite]);
    assert!(matches!(blind, PluginError::Missing(Role::Classifier)), "{blind}");
}

#[test]
fn what_fails_when_it_is_tried_out_is_refused() {
    let host = host();
    let attempt = |config: &str| host.check(&hostile(config)).unwrap_err();

    let refused = attempt(r#"{"refuse":"key `x` has to be positive"}"#);
    assert!(matches!(refused, PluginError::Configuration { .. }));
    assert!(refused.to_string().contains("key `x`"), "{refused}");

    let unknown = attempt(r#"{"makr":2}"#);
    assert!(unknown.to_string().contains("makr"), "{unknown}");

    let trapped = attempt(r#"{"trap_in_init":true}"#);
    assert!(trapped.to_string().contains("init was told to trap"), "{trapped}");

    let probed = attempt(r#"{"always_trap":true}"#);
    assert!(matches!(probed, PluginError::Probe { .. }), "{probed}");
}

#[test]
fn a_self_test_that_fails_is_a_refusal() {
    let host = host();
    let attempt = |deed: &str| {
        let config = format!(r#"{{"misbehave":{{"self_test":"{deed}"}}}}"#);
        host.check(&hostile(&config)).err()
    };
    let error = attempt("error").unwrap();
    assert!(matches!(error, PluginError::SelfTest { .. }), "{error}");
    assert!(error.to_string().contains("fails its self-test: was told to fail"), "{error}");
    for (deed, told) in [
        ("trap", "was told to trap"),
        ("loop", "deadline"),
        ("hog", "memory"),
        ("recurse", "stack"),
        ("invalid_utf8", "utf-8"),
    ] {
        let error = attempt(deed).unwrap();
        assert!(matches!(error, PluginError::Probe { .. }), "{deed}: {error}");
        assert!(error.to_string().contains(told), "{deed}: {error}");
    }
    assert!(attempt("flood").is_none());
}

#[test]
fn misbehaving_from_the_first_call_on_is_found_out() {
    for hook in [
        "init",
        "classify",
        "refine",
        "rewrite",
        "topology",
        "plan_session",
        "route",
        "session_start",
        "observe",
    ] {
        for deed in ["trap", "loop", "hog", "recurse"] {
            let config = format!(r#"{{"misbehave":{{"{hook}":"{deed}"}}}}"#);
            let error = host().check(&hostile(&config)).unwrap_err();
            assert!(matches!(error, PluginError::Probe { .. }), "{deed} in {hook}: {error}");
        }
    }
}

#[test]
fn what_never_ends_at_the_start_is_stopped_too() {
    for hook in ["init", "self_test", "classify"] {
        let endless = hostile(&format!(r#"{{"misbehave":{{"{hook}":"loop"}}}}"#));
        let error = PluginHost::new(vec![endless], options()).err().unwrap();
        assert!(error.to_string().contains("deadline"), "{error}");
    }
}

#[test]
fn a_candidate_has_to_cope_with_what_clients_sent() {
    let host = host();
    host.note_text("harmless");
    host.note_text("trap");
    let error = host.candidate(marked(2)).unwrap_err();
    let PluginError::Recent { statement, error, .. } = &error else { panic!("{error}") };
    assert_eq!((&**statement, error.fault), ("trap", Fault::Trap));
    assert!(info(&host, "hostile").unwrap().candidate.is_none());
    // Another one does not know the word.
    host.candidate(hostile(r#"{"only":["balancer"]}"#)).unwrap();
    // An error that it returns counts as well.
    let other = super::host();
    other.note_text("error");
    let error = other.candidate(marked(2)).unwrap_err();
    assert!(error.to_string().contains("The statement: error"), "{error}");
}

#[test]
fn a_pinned_file_has_to_be_that_file() {
    let digest = info(&host(), "hostile").unwrap().sha256;
    let pinned = |sha256: &str| {
        let mut source = hostile("{}");
        source.entry.sha256 = Some(sha256.to_owned());
        source.rules = Arc::new(Plugins { entries: vec![source.entry.clone()], ..(*source.rules).clone() });
        source
    };
    host().check(&pinned(&digest)).unwrap();
    let error = host().check(&pinned(&"0".repeat(64))).unwrap_err();
    assert!(matches!(error, PluginError::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains(&digest), "{error}");
}

#[test]
fn embedded_plugins_need_no_compiler_unless_they_do_not_fit() {
    let wasm: &'static [u8] = fs::read(built("hostile.wasm")).unwrap().leak();
    let code: &'static [u8] = fs::read(built("hostile.cwasm")).unwrap().leak();
    for precompiled in [code, b"", b"of another machine"] {
        let origin = Origin::Embedded { wasm, precompiled };
        host().check(&source(entry("other", "{}"), origin)).unwrap();
    }
}

#[test]
fn compiled_code_is_kept_and_damage_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let start = || {
        let options = Options { workers: 1, code_cache: Some(cache.clone()) };
        // Twice the same file
        let two = vec![named("one", "{}"), named("two", "{}")];
        assert_eq!(Asker::new(&PluginHost::new(two, options).unwrap()).reason(), "mark 0 call 1");
    };
    let only_file = || {
        let files: Vec<_> = fs::read_dir(&cache).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
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
    let host = PluginHost::new(vec![hostile("{}")], options).unwrap();
    assert_eq!(Asker::new(&host).reason(), "mark 0 call 1");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn deadlines_are_rounded_up_to_ticks() {
    assert_eq!(ticks(Duration::ZERO), 2);
    assert_eq!(ticks(Duration::from_micros(300)), 2);
    assert_eq!(ticks(Duration::from_micros(5_001)), 3);
    assert_eq!(ticks(Duration::from_millis(20)), 5);
}
