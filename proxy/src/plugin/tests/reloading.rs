//! A new configuration is taken over, as far as it differs.

use super::*;
use std::fs;

/// One, two and Waypool's own.
fn two() -> Vec<PluginSource> {
    before_own([named("one", r#"{"mark":1}"#), named("two", r#"{"mark":2}"#)])
}

fn actions(host: &PluginHost) -> Vec<(Action, String)> {
    host.history().iter().skip(5).map(|change| (change.action, change.plugin.to_string())).collect()
}

#[test]
fn what_has_not_changed_stays() {
    let host = host_of(two());
    let mut asker = Asker::new(&host);
    asker.reason();
    host.reload(two(), &by()).unwrap();
    assert_eq!(host.generation(), 1);
    assert_eq!(asker.reason(), "mark 1 call 2");
    assert_eq!(actions(&host), []);
}

#[test]
fn a_changed_entry_is_swapped_and_can_be_rolled_back() {
    let host = host_of(two());
    let mut asker = Asker::new(&host);
    let mut sources = two();
    sources[0] = named("one", r#"{"mark":7}"#);
    host.reload(sources, &by()).unwrap();
    assert_eq!(asker.reason(), "mark 7 call 1");
    assert_eq!(info(&host, "two").unwrap().state, State::Active(1));
    assert_eq!(actions(&host), [(Action::Swap, "one".to_owned())]);
    host.rollback("one", &by()).unwrap();
    assert_eq!(asker.reason(), "mark 1 call 1");
}

#[test]
fn a_changed_file_is_swapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.wasm");
    let wasm = fs::read(built("hostile.wasm")).unwrap();
    fs::write(&path, &wasm).unwrap();
    let sources = || {
        let one = source(entry("one", "{}"), Origin::File(path.clone()));
        before_own([one])
    };
    let host = host_of(sources());
    let before = info(&host, "one").unwrap().sha256;
    // A custom section of the name "x", with nothing in it.
    fs::write(&path, [&wasm[..], &[0, 2, 1, b'x']].concat()).unwrap();
    host.reload(sources(), &by()).unwrap();
    let after = info(&host, "one").unwrap();
    assert_ne!(after.sha256, before);
    assert_eq!((after.state, after.earlier), (State::Active(2), Some(before)));
}

#[test]
fn entries_come_go_and_change_places() {
    let host = host_of(two());
    let mut asker = Asker::new(&host);
    let three = named("three", r#"{"mark":3}"#);
    host.reload(before_own([three.clone(), named("two", r#"{"mark":2}"#)]), &by()).unwrap();
    assert_eq!(names(&host), ["three", "two", "classify", "balance", "rewrite"]);
    assert_eq!(host.generation(), 2, "one step");
    assert_eq!(asker.reason(), "mark 3 call 1");
    assert_eq!(actions(&host), [(Action::Swap, "three".to_owned()), (Action::Remove, "one".to_owned())]);
    // Only the order changes.
    host.reload(before_own([named("two", r#"{"mark":2}"#), three]), &by()).unwrap();
    assert_eq!(host.generation(), 3);
    assert_eq!(asker.reason(), "mark 2 call 1");
}

#[test]
fn a_pushed_version_stays_until_its_entry_changes() {
    let host = host_of(two());
    let mut asker = Asker::new(&host);
    swap(&host, named("one", r#"{"mark":8}"#));
    swap(&host, named("pushed", r#"{"only":[]}"#));
    host.reload(two(), &by()).unwrap();
    assert_eq!(asker.reason(), "mark 8 call 1");
    assert_eq!(names(&host), ["one", "two", "pushed", "classify", "balance", "rewrite"]);
    // Something else changes: both stay.
    let mut sources = two();
    sources[1] = named("two", r#"{"mark":7}"#);
    host.reload(sources, &by()).unwrap();
    assert_eq!(asker.reason(), "mark 8 call 2");
    assert_eq!(names(&host), ["one", "two", "pushed", "classify", "balance", "rewrite"]);
    // Its own entry changes.
    let mut sources = two();
    sources[0] = named("one", r#"{"mark":9}"#);
    host.reload(sources, &by()).unwrap();
    assert_eq!(asker.reason(), "mark 9 call 1");
}

#[test]
fn a_pushed_name_that_is_configured_later_is_the_configurations() {
    let host = host_of(own().to_vec());
    let mut asker = Asker::new(&host);
    swap(&host, named("new", r#"{"mark":1}"#));
    host.reload(before_own([named("new", r#"{"mark":2}"#)]), &by()).unwrap();
    assert_eq!(asker.reason(), "mark 2 call 1");
    host.reload(own().to_vec(), &by()).unwrap();
    assert_eq!(names(&host), ["classify", "balance", "rewrite"]);
}

#[test]
fn it_is_all_or_nothing() {
    let host = host_of(two());
    let mut asker = Asker::new(&host);
    let changed = named("one", r#"{"mark":7}"#);
    let broken = named("two", r#"{"refuse":"no"}"#);
    let refused = host.reload(before_own([changed.clone(), broken]), &by()).unwrap_err();
    assert!(matches!(refused, PluginError::Configuration { .. }), "{refused}");
    let blind = host.reload(vec![changed.clone(), own()[2].clone()], &by());
    // The hostile plugin has all roles.
    blind.unwrap();
    assert_eq!(names(&host), ["one", "rewrite"]);
    let missing = host.reload(vec![own()[2].clone()], &by()).unwrap_err();
    assert!(matches!(missing, PluginError::Missing(_)), "{missing}");
    assert_eq!(host.generation(), 2);
    assert_eq!(asker.reason(), "mark 7 call 1");
    // And what was refused is tried again the next time.
    host.reload(before_own([changed]), &by()).unwrap();
    assert_eq!(names(&host), ["one", "classify", "balance", "rewrite"]);
}

#[test]
fn what_is_disabled_stays_so_until_its_entry_changes() {
    let host = host_of(two());
    let mut asker = Asker::new(&host);
    host.disable("one", &by()).unwrap();
    host.reload(two(), &by()).unwrap();
    assert_eq!(asker.reason(), "mark 2 call 1");
    let mut sources = two();
    sources[0] = named("one", r#"{"mark":9}"#);
    host.reload(sources, &by()).unwrap();
    assert_eq!(asker.reason(), "mark 9 call 1");
    assert_eq!(names(&host), ["one", "two", "classify", "balance", "rewrite"]);
    // An entry that goes while it is disabled is gone.
    host.disable("one", &by()).unwrap();
    host.reload(before_own([named("two", r#"{"mark":2}"#)]), &by()).unwrap();
    assert_eq!(names(&host), ["two", "classify", "balance", "rewrite"]);
    assert!(matches!(host.enable("one", &by()), Err(PluginError::NotDisabled(_))));
}

#[test]
fn a_shadow_stays_with_its_plugin() {
    let host = host_of(two());
    host.candidate(named("one", r#"{"mark":5}"#)).unwrap();
    host.shadow("one", 0.5, &by()).unwrap();
    host.reload(two(), &by()).unwrap();
    assert!(info(&host, "one").unwrap().shadow.is_some());
    let mut sources = two();
    sources[0] = named("one", r#"{"mark":9}"#);
    host.reload(sources, &by()).unwrap();
    assert!(info(&host, "one").unwrap().shadow.is_none(), "it was compared with another version");
}
