//! Read your writes: a session, a user or a token sees what was committed, on
//! standbys whose replay is paused.
#![allow(clippy::unwrap_used)]

mod scopes;
mod soak;
mod tokens;
mod waiting;
mod writes;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use waypool_sandbox::{Cluster, Server};
use waypool_tests::raw::{Raw, sqlstate, wait_true};
use waypool_tests::wire::Message;
use waypool_tests::{Builder, Proxy};

/// What every test finds. `put` and its like write; `put_hidden` looks as if it
/// only read.
const SETUP: &str = "
    CREATE ROLE anna LOGIN; CREATE ROLE bert LOGIN;
    CREATE TABLE t (n int UNIQUE);
    CREATE FUNCTION put(n int) RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (n)';
    CREATE FUNCTION put_hidden(n int) RETURNS text STABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM put(n); RETURN ''done''; END';
    CREATE PROCEDURE put_twice(n int) LANGUAGE plpgsql AS
        'BEGIN INSERT INTO t VALUES (n); COMMIT; INSERT INTO t VALUES (n + 1); END';
    CREATE PROCEDURE put_and_fail(n int) LANGUAGE plpgsql AS
        'BEGIN INSERT INTO t VALUES (n); COMMIT; RAISE ''on purpose''; END';
    GRANT ALL ON t TO PUBLIC;";

/// The port of the server that answers, and the largest number that it shows.
const SEEN: &str = "SELECT concat_ws(' ', inet_server_port(), (SELECT max(n) FROM t))";

/// Longer than a test waits for any answer: who waits so long has failed.
const FOR_EVER: u32 = 600_000;

/// A primary and two standbys; one test at a time may pause replay.
fn servers() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let cluster = Cluster::builder().standbys(2).setting("autovacuum", "off").start();
        let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
        cluster.primary().psql(SETUP).unwrap_or_else(|error| panic!("{error}"));
        Mutex::new(cluster)
    });
    let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    cluster.primary().psql("TRUNCATE t; INSERT INTO t VALUES (0); DROP TABLE IF EXISTS made").unwrap();
    for standby in &cluster.servers()[1..] {
        resume(&cluster, standby);
    }
    cluster
}

fn pause(standby: &Server) {
    standby.psql("SELECT pg_wal_replay_pause()").unwrap();
    wait_true(standby, "replay is paused", "SELECT pg_get_wal_replay_pause_state() = 'paused'");
}

fn resume(cluster: &Cluster, standby: &Server) {
    standby.psql("SELECT pg_wal_replay_resume()").unwrap();
    standby.wait_replay(cluster.primary()).unwrap();
}

/// Reads from standby 1, where a read waits for so many milliseconds.
fn proxy(cluster: &Cluster, scope: &str, timeout: u32) -> Builder {
    Proxy::builder(cluster)
        .weights(&[0.0, 1.0, 0.0])
        .plugin("balance", &format!("read_your_writes = {scope:?}\nread_your_writes_timeout = {timeout}"))
}

fn login(proxy: &Proxy, user: &str) -> Raw {
    Raw::login_with(proxy, &[("user", user)])
}

/// Who answers, and the largest number that this session sees.
#[track_caller]
fn seen(session: &mut Raw) -> (u16, i32) {
    parse(&session.value(SEEN))
}

#[track_caller]
fn parse(answer: &str) -> (u16, i32) {
    let (port, n) = answer.split_once(' ').unwrap_or_else(|| panic!("{answer}"));
    (port.parse().unwrap(), n.parse().unwrap())
}

/// Sends these messages and expects no error in the answers, one for each Sync
/// or Query; the last of them.
#[track_caller]
fn send(session: &mut Raw, bytes: &[u8], answers: usize) -> Vec<Message> {
    session.send(bytes);
    let mut last = Vec::new();
    for _ in 0..answers {
        last = session.wire.until_ready();
        assert_eq!(sqlstate(&last), None);
    }
    last
}

/// Runs statements with this number for `$n`.
#[track_caller]
fn run_all(session: &mut Raw, statements: &[&str], n: i32) {
    for statement in statements {
        session.run(&statement.replace("$n", &n.to_string()));
    }
}
