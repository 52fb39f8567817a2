//! psycopg 3 through the proxy: the programs in `tests/clients`, where reads go
//! to the standby whenever they may.

use waypool_tests::{Database, Proxy, primary_and_standby, python, run};

fn succeeds(script: &str, database: &'static str) {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let database = Database::create(database, "");
    let mut command = python(&proxy, script);
    command.env("WAYPOOL_TEST_DATABASE", database.name);
    run(&mut command, "").ok();
    proxy.stop();
}

#[test]
fn server_side_cursors() {
    succeeds("cursors.py", "python_cursors");
}

#[test]
fn prepared_statements() {
    succeeds("prepared.py", "python_prepared");
}

#[test]
fn pipeline_mode() {
    succeeds("pipeline.py", "python_pipeline");
}

#[test]
fn copy_in_both_directions() {
    succeeds("copying.py", "python_copying");
}

#[test]
fn transactions_and_savepoints() {
    succeeds("transactions.py", "python_transactions");
}

#[test]
fn notices_and_notifications() {
    succeeds("notices.py", "python_notices");
}

#[test]
fn errors_keep_their_sqlstate() {
    succeeds("errors.py", "python_errors");
}

#[test]
fn many_sessions_at_once() {
    succeeds("asynchronous.py", "python_asynchronous");
}
