//! Plugins that are swapped, rolled back, disabled and shadowed while clients
//! are at work: nothing fails, and one version decides all of a transaction.
//!
//! The plugin is examples/witness: each of its versions marks what it decides.
#![allow(clippy::unwrap_used)]

mod cache;
mod load;
mod soak;
mod transactions;

use waypool_tests::Proxy;
use waypool_tests::load::quiet_servers;
use waypool_tests::plugins::{Stats, WITNESS, Witness, history, order};
use waypool_tests::raw::Raw;

/// Which version rewrites this session's statements.
const WHICH: &str = "SELECT witness_version()";
/// undefined_function: nobody has rewritten it.
const UNDEFINED: &str = "42883";

/// A proxy with version 1 of the witness.
fn proxy(witness: &Witness) -> Proxy {
    witness.in_use(Proxy::builder(quiet_servers())).start()
}

#[test]
fn what_is_pushed_is_not_in_use_before_the_swap() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    witness.push(&proxy, 2, "sound");
    assert_eq!(session.value(WHICH), "v001");
    order(&proxy, &["swap", WITNESS]).ok();
    assert_eq!(session.value(WHICH), "v002");
    assert_eq!(Raw::login(&proxy).value(WHICH), "v002");
}

#[test]
fn a_swap_that_expects_another_version_changes_nothing() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let second = witness.push(&proxy, 2, "sound");
    let third = witness.push(&proxy, 3, "sound");
    let said = order(&proxy, &["swap", WITNESS, "--sha256", &second]).error();
    assert!(said.contains(&third) && said.contains("somebody else may have pushed"), "{said}");
    assert_eq!(Raw::login(&proxy).value(WHICH), "v001");
    order(&proxy, &["swap", WITNESS, "--sha256", &third]).ok();
    assert_eq!(Raw::login(&proxy).value(WHICH), "v003");
}

#[test]
fn a_rollback_brings_the_version_before_and_then_the_newer_one() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    let said = order(&proxy, &["rollback", WITNESS]).error();
    assert!(said.contains(WITNESS), "{said}");
    witness.swap(&proxy, 2, "sound");
    for version in ["v001", "v002", "v001"] {
        order(&proxy, &["rollback", WITNESS]).ok();
        assert_eq!(session.value(WHICH), version);
    }
}

#[test]
fn a_file_that_changes_is_swapped_by_a_reload() {
    let witness = Witness::default();
    let file = witness.file("in-use", &std::fs::read(witness.sound(1)).unwrap());
    let entry = format!("path = {file:?}");
    let proxy = Proxy::builder(quiet_servers()).plugin_entry(WITNESS, &entry).start();
    let mut session = Raw::login(&proxy);
    let generations = || history(&proxy, WITNESS).len();
    for (version, mood, generation) in [(2, "sound", 2), (3, "sick", 2), (4, "sound", 3), (4, "sound", 3)] {
        witness.file("in-use", &std::fs::read(witness.version(version, mood)).unwrap());
        let said = proxy.reload();
        assert_eq!(said.contains("this version is sick"), mood == "sick", "{said}");
        assert_eq!(generations(), generation, "version {version}");
    }
    assert_eq!(session.value(WHICH), "v004");
}

#[test]
fn a_disabled_plugin_is_not_asked_until_it_is_enabled() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    order(&proxy, &["disable", WITNESS, "--why", "a rest"]).ok();
    let routed = || Stats::of(&proxy, WITNESS).sum("routed ");
    let before = routed();
    assert_eq!(session.error(WHICH), UNDEFINED);
    assert_eq!(Raw::login(&proxy).error(WHICH), UNDEFINED);
    assert_eq!(session.value("SELECT 42"), "42");
    assert_eq!(routed(), before);
    order(&proxy, &["enable", WITNESS, "--why", "it has rested"]).ok();
    assert_eq!(session.value(WHICH), "v001");
    let actions: Vec<_> = history(&proxy, WITNESS).into_iter().map(|change| change.action).collect();
    assert_eq!(actions, ["start", "disable", "enable"]);
}

#[test]
fn a_version_that_fails_after_the_swap_is_taken_back_by_itself() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    session.run("CREATE TABLE IF NOT EXISTS survivors (n int)");
    session.run("TRUNCATE survivors");
    witness.swap(&proxy, 2, "traitor");
    let mut asked = 0;
    while history(&proxy, WITNESS).len() < 3 {
        asked += 1;
        assert!(asked <= 20, "the failing version is still in use");
        session.run(&format!("INSERT INTO survivors VALUES ({asked})"));
    }
    assert_eq!(session.value(WHICH), "v001");
    assert_eq!(session.value("SELECT count(*) FROM survivors"), asked.to_string());
    let history = history(&proxy, WITNESS);
    assert_eq!((&*history[2].action, &history[2].sha256), ("automatic rollback", &history[0].sha256));
    assert!(history[2].why.starts_with("it fails"), "{}", history[2].why);
    assert!(Stats::of(&proxy, WITNESS).failures() >= 5);
}
