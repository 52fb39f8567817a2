//! pgbench through the proxy, in all its protocols: nothing fails, nothing is
//! lost, and the standby is spared what it cannot do.
#![allow(clippy::unwrap_used)]

use waypool_tests::{Database, Proxy, primary_and_standby, program, run};

/// Runs pgbench in the database and returns how many transactions it made, none
/// of which failed.
fn pgbench(proxy: &Proxy, database: &Database, options: &str) -> usize {
    let mut command = program(proxy, "pgbench");
    command.args(options.split_whitespace()).arg(database.name);
    let finished = run(&mut command, "");
    assert!(finished.success(), "{finished}");
    assert!(finished.stdout.contains("number of failed transactions: 0 "), "{finished}");
    let line = "number of transactions actually processed: ";
    let processed = finished.stdout.split_once(line).unwrap().1;
    let (done, rest) = processed.split_once('/').unwrap();
    assert_eq!(done, rest.split_whitespace().next().unwrap(), "{finished}");
    done.parse().unwrap()
}

fn initialised(proxy: &Proxy, name: &'static str) -> Database {
    let database = Database::create(name, "");
    let mut command = program(proxy, "pgbench");
    run(command.args(["-i", "-q", "-s", "1", name]), "").ok();
    database
}

/// What a hot standby takes, and the proxy sends there.
const HARMLESS: [&str; 9] =
    ["select", "begin", "end", "commit", "rollback", "abort", "set", "discard", "show"];

fn assert_standby_was_spared(database: &Database) {
    for entry in database.logged(1, "") {
        let (_, statement) = entry.split_once(" LOG:  ").unwrap().1.split_once(": ").unwrap();
        let word = statement.split(|c: char| !c.is_alphabetic()).next().unwrap();
        assert!(HARMLESS.contains(&word.to_lowercase().as_str()), "on the standby: {entry}");
    }
}

/// Every transaction of TPC-B has left its traces, all of them consistent.
fn assert_nothing_was_lost(database: &Database, transactions: usize) {
    let history = database.ask(0, "SELECT count(*) FROM pgbench_history");
    assert_eq!(history, transactions.to_string());
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history),
                       (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history),
                       (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)";
    assert_eq!(database.ask(0, sums), "t|t|t");
}

#[test]
fn tpc_b_loses_nothing_in_any_protocol() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[1.0, 9.0]).start();
    let database = initialised(&proxy, "pgbench_tpcb");
    let mut done = 0;
    for protocol in ["simple", "extended", "prepared"] {
        done += pgbench(&proxy, &database, &format!("-n -M {protocol} -c 8 -j 2 -t 100"));
    }
    assert_nothing_was_lost(&database, done);
    assert_standby_was_spared(&database);
    proxy.stop();
}

#[test]
fn reads_are_answered_in_any_protocol() {
    let proxy = Proxy::builder(primary_and_standby())
        .plugin("balance", "statement_level_load_balance = true")
        .start();
    let database = initialised(&proxy, "pgbench_reads");
    let mut done = 0;
    for protocol in ["simple", "extended", "prepared"] {
        done += pgbench(&proxy, &database, &format!("-n -S -M {protocol} -c 8 -j 2 -t 250"));
    }
    assert_standby_was_spared(&database);
    let query = "SELECT abalance FROM pgbench_accounts";
    let (primary, standby) = (database.count(0, query), database.count(1, query));
    assert_eq!(primary + standby, done);
    assert!(primary > 0 && standby > 0, "{primary} on the primary, {standby} on the standby");
    proxy.stop();
}

#[test]
fn a_connection_for_each_transaction_does_no_harm() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let database = initialised(&proxy, "pgbench_connect");
    let mut done = 0;
    for protocol in ["simple", "extended", "prepared"] {
        done += pgbench(&proxy, &database, &format!("-n -C -M {protocol} -c 4 -j 2 -t 25"));
        pgbench(&proxy, &database, &format!("-n -C -S -M {protocol} -c 4 -j 2 -t 25"));
    }
    assert_nothing_was_lost(&database, done);
    assert_standby_was_spared(&database);
    proxy.stop();
}

#[test]
fn pipelines_of_pgbench_work() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let database = initialised(&proxy, "pgbench_pipeline");
    let script = "
        \\set aid random(1, 100000)
        \\startpipeline
        BEGIN;
        SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
        UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
        SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
        COMMIT;
        SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
        SELECT count(*) FROM pgbench_branches;
        \\endpipeline
    ";
    std::fs::write(proxy.folder().join("pipeline.sql"), script).unwrap();
    let mut done = 0;
    for protocol in ["extended", "prepared"] {
        let options = format!("-n -f pipeline.sql -M {protocol} -c 4 -j 2 -t 50");
        done += pgbench(&proxy, &database, &options);
    }
    let sum = database.ask(0, "SELECT sum(abalance) FROM pgbench_accounts");
    assert_eq!(sum, done.to_string());
    assert_standby_was_spared(&database);
    proxy.stop();
}
