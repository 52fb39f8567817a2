//! How reads are divided, as the servers' own logs tell it.
#![allow(clippy::unwrap_used)]

use waypool_tests::{Database, Proxy, primary_and_standby, program, psql, run};

const STATEMENTS: usize = 20_000;

/// Runs 20,000 single SELECTs of pgbench and returns how many each server logged.
fn divide(database: &'static str, weights: [f64; 2]) {
    let proxy = Proxy::builder(primary_and_standby())
        .weights(&weights)
        .plugin("balance", "statement_level_load_balance = true")
        .start();
    let database = Database::create(database, "");
    let mut initialise = program(&proxy, "pgbench");
    // Past the proxy: its own SELECTs do not count.
    initialise.env("PGPORT", database.cluster.primary().port().to_string());
    run(initialise.args(["-i", "-q", "-s", "1", database.name]), "").ok();

    let transactions = (STATEMENTS / 8).to_string();
    let mut bench = program(&proxy, "pgbench");
    bench.args(["-n", "-S", "-M", "prepared", "-c", "8", "-t", &transactions, database.name]);
    run(&mut bench, "").ok();

    let counts = [0, 1].map(|server| database.count(server, "SELECT abalance FROM pgbench_accounts"));
    assert_eq!(counts[0] + counts[1], STATEMENTS);
    let total: f64 = weights.iter().sum();
    for (server, weight) in weights.iter().enumerate() {
        let (wanted, got) = (weight / total, counts[server] as f64 / STATEMENTS as f64);
        // Both servers get at least a quarter: 5 % is more than ten standard deviations.
        assert!((got - wanted).abs() <= 0.05, "server {server}: {got} of the reads instead of {wanted}");
    }
    let told = psql(&proxy, "SHOW pool_nodes");
    let told: Vec<usize> = told.lines().map(|row| row.split('|').nth(8).unwrap().parse().unwrap()).collect();
    assert_eq!(told, [0, 1].map(|server| selects(&database, server)), "select_cnt differs from the logs");
    proxy.stop();
}

/// All reads of pgbench in a server's log: it looks at its tables first.
fn selects(database: &Database, server: usize) -> usize {
    let entries = database.logged(server, "app=pgbench");
    let read = |entry: &&String| entry.to_lowercase().contains(": select ");
    entries.iter().filter(read).count()
}

#[test]
fn equal_weights_divide_reads_equally() {
    divide("weights_equal", [1.0, 1.0]);
}

#[test]
fn a_threefold_weight_gets_three_quarters_of_the_reads() {
    divide("weights_threefold", [1.0, 3.0]);
}

#[test]
fn a_weight_of_zero_gets_no_reads() {
    divide("weights_zero", [1.0, 0.0]);
}

#[test]
fn sessions_keep_their_server_unless_asked_otherwise() {
    let proxy = Proxy::builder(primary_and_standby()).start();
    let mut homes = [0, 0];
    for _ in 0..100 {
        // A fresh session for each; all of its reads go to the same server.
        let ports = psql(&proxy, &"SELECT inet_server_port();\n".repeat(5));
        let ports: Vec<u16> = ports.lines().map(|port| port.parse().unwrap()).collect();
        assert!(ports.iter().all(|port| *port == ports[0]), "one session read on several servers: {ports:?}");
        let home = primary_and_standby().servers().iter().position(|server| server.port() == ports[0]);
        homes[home.unwrap()] += 1;
    }
    // The chance of fewer than 20 of 100 is one in a thousand millions.
    assert!(homes.iter().all(|count| *count >= 20), "sessions are divided badly: {homes:?}");
    proxy.stop();
}

#[test]
fn changed_weights_count_after_a_reload() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).start();
    let primary = primary_and_standby().primary().port().to_string();
    assert_eq!(psql(&proxy, "SELECT inet_server_port()"), primary);
    let said = proxy.reconfigure(|proxy| proxy.weights(&[0.0, 1.0]));
    assert!(said.contains("configuration reloaded"), "{said}");
    let standby = primary_and_standby().server(1).port().to_string();
    assert_eq!(psql(&proxy, "SELECT inet_server_port()"), standby);
    proxy.stop();
}
