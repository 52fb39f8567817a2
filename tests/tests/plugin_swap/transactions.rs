//! A swap in the middle of a transaction, or of a cycle of messages: the version
//! that began it decides it to its end.

use waypool_tests::load::quiet_servers;
use waypool_tests::plugins::{Stats, WITNESS, Witness, order};
use waypool_tests::raw::{Raw, extended, sqlstate, tags, value};
use waypool_tests::wire::{bind, execute, flush, parse, sync};
use waypool_tests::{Proxy, wait_until};

use crate::{UNDEFINED, WHICH, proxy};

#[test]
fn a_transaction_keeps_its_version_in_both_protocols() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut simple = Raw::login(&proxy);
    let mut prepared = Raw::login(&proxy);
    let which = |session: &mut Raw| {
        session.send(&extended(WHICH));
        value(&session.wire.until_ready()).unwrap()
    };
    simple.run("BEGIN");
    prepared.run("BEGIN");
    witness.swap(&proxy, 2, "sound");
    assert_eq!((simple.value(WHICH), which(&mut prepared)), ("v001".into(), "v001".into()));
    assert_eq!(Raw::login(&proxy).value(WHICH), "v002");
    witness.swap(&proxy, 3, "sound");
    // Another text too, which is in no cache.
    let other = format!("{WHICH} || '!'");
    assert_eq!((simple.value(&other), which(&mut prepared)), ("v001!".into(), "v001".into()));
    simple.run("COMMIT");
    prepared.run("ROLLBACK");
    assert_eq!((simple.value(WHICH), which(&mut prepared)), ("v003".into(), "v003".into()));
    nothing_was_mixed(&proxy);
}

#[test]
fn a_failed_transaction_keeps_its_version_too() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    session.run("BEGIN");
    session.run("SAVEPOINT before");
    assert_eq!(session.error("SELECT 1 / 0"), "22012");
    witness.swap(&proxy, 2, "sound");
    assert_eq!(session.error(WHICH), "25P02");
    session.run("ROLLBACK TO before");
    assert_eq!(session.value(WHICH), "v001");
    session.run("COMMIT");
    assert_eq!(session.value(WHICH), "v002");
    nothing_was_mixed(&proxy);
}

#[test]
fn a_plugin_that_is_disabled_decides_the_transactions_that_it_began() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    session.run("BEGIN");
    assert_eq!(session.value(WHICH), "v001");
    order(&proxy, &["disable", WITNESS]).ok();
    assert_eq!(session.value(&format!("{WHICH} || '!'")), "v001!");
    session.run("COMMIT");
    assert_eq!(session.error(WHICH), UNDEFINED);
    nothing_was_mixed(&proxy);
}

#[test]
fn a_cycle_that_is_not_at_its_sync_yet_keeps_its_version() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    session.send(&[parse("", WHICH), bind("", "", &[]), execute("", 0), flush()].concat());
    let first: Vec<_> = session.wire.by_ref().take(4).collect();
    assert_eq!((tags(&first), value(&first)), ("12DC".into(), Some("v001".into())));
    witness.swap(&proxy, 2, "sound");
    session.send(&[parse("", WHICH), bind("", "", &[]), execute("", 0), sync()].concat());
    assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("v001"));
    session.send(&extended(WHICH));
    assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("v002"));
    nothing_was_mixed(&proxy);
}

#[test]
fn an_idle_session_that_has_slept_through_all_swaps_gets_the_last_version() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    for version in 2..=6 {
        witness.swap(&proxy, version, "sound");
    }
    order(&proxy, &["rollback", WITNESS]).ok();
    assert_eq!(session.value(WHICH), "v005");
    nothing_was_mixed(&proxy);
}

/// The rewriters have a prepared statement's text once more after a swap: what
/// the new version wants holds for it.
#[test]
fn a_statement_prepared_before_a_swap_is_decided_by_the_new_version() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    let run = [bind("", "which", &[]), execute("", 0), sync()].concat();
    session.send(&[parse("which", WHICH), run.clone()].concat());
    assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("v001"));
    witness.swap(&proxy, 2, "sound");
    session.send(&run);
    let answer = session.wire.until_ready();
    assert_eq!((sqlstate(&answer), value(&answer)), (None, Some("v002".into())));
    nothing_was_mixed(&proxy);
}

#[test]
fn a_statement_prepared_by_sql_is_classified_by_the_version_in_use() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    session.run("PREPARE by_sql AS SELECT 1");
    witness.swap(&proxy, 2, "sound");
    assert_eq!(session.value("EXECUTE by_sql"), "1");
    nothing_was_mixed(&proxy);
}

#[test]
fn a_rewriter_that_comes_into_use_refuses_statements_prepared_before() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    session.run("CREATE TABLE IF NOT EXISTS precious (n int)");
    session.run("TRUNCATE precious");
    session.run("INSERT INTO precious VALUES (1)");
    session.send(&[parse("delete", "DELETE FROM precious"), sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
    let said = proxy.reconfigure(|builder| builder.plugin(WITNESS, "refuse = \"DELETE\""));
    assert!(said.contains("configuration reloaded"), "{said}");
    assert_eq!(session.error("DELETE FROM precious"), "42501");
    session.send(&[bind("", "delete", &[]), execute("", 0), sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("42501"));
    assert_eq!(session.value("SELECT count(*) FROM precious"), "1");
}

#[test]
fn a_statement_that_runs_during_a_swap_is_not_disturbed() {
    let witness = Witness::default();
    let proxy = proxy(&witness);
    let mut session = Raw::login(&proxy);
    session.send(&waypool_tests::wire::query(&format!("{WHICH}, pg_sleep(2)")));
    wait_until("the statement runs", || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(2)' AND state = 'active'";
        quiet_servers().servers().iter().any(|server| server.psql(sql).unwrap() == "1")
    });
    witness.swap(&proxy, 2, "sound");
    let new = Raw::login(&proxy).value(WHICH);
    assert!(!session.has_answer(), "the swap came too late");
    assert_eq!((value(&session.wire.until_ready()), new), (Some("v001".into()), "v002".into()));
    assert_eq!(session.value(WHICH), "v002");
    nothing_was_mixed(&proxy);
}

/// No version has found anything that another one left.
#[track_caller]
fn nothing_was_mixed(proxy: &Proxy) {
    let stats = Stats::of(proxy, WITNESS);
    assert_eq!((stats.sum("torn "), stats.sum("mixed "), stats.failures()), (0, 0, 0), "{}", stats.0);
}
