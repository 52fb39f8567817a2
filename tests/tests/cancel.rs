//! Cancel requests reach the query they are meant for, wherever it runs, and
//! nothing else.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::NoTls;
use waypool_tests::raw::{Raw, send_cancel, sqlstate, value, wait_blocked, wait_running};
use waypool_tests::{Database, Proxy, client, primary_and_standby, program, run_async, wait_until, wire};

/// Reads go to the standby.
fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start()
}

/// A lock that statements of other sessions wait for; on the primary.
struct Blocker(Raw);

impl Blocker {
    fn on(proxy: &Proxy, lock: u32) -> Blocker {
        let mut session = Raw::login(proxy);
        session.run(&format!("SELECT pg_advisory_lock({lock})"));
        Blocker(session)
    }

    fn release(mut self) {
        self.0.run("SELECT pg_advisory_unlock_all()");
    }
}

/// Starts a statement that waits for the lock, and waits until it does.
fn block(session: &mut Raw, lock: u32, mark: &str) {
    session.send(&wire::query(&format!("SELECT 'done' /* {mark} */ FROM pg_advisory_xact_lock({lock})")));
    wait_blocked(primary_and_standby().primary(), mark);
}

#[track_caller]
fn expect_cancelled(session: &mut Raw) {
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("57014"));
}

#[track_caller]
fn expect_done(session: &mut Raw) {
    assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("done"));
}

#[test]
fn a_client_is_told_the_process_id_of_its_connection_to_the_primary() {
    let proxy = proxy();
    let (mut one, mut other) = (Raw::login(&proxy), Raw::login(&proxy));
    assert_eq!((one.pid.to_string(), other.pid.to_string()), (one.backend_pid(), other.backend_pid()));
    // By which clients know their own notifications.
    one.run("LISTEN told_pid");
    let heard = |answer: &[wire::Message]| {
        let heard = answer.iter().find(|message| message.tag == b'A')?;
        heard.body.first_chunk().copied().map(u32::from_be_bytes)
    };
    assert_eq!(heard(&one.query("NOTIFY told_pid")), Some(one.pid));
    other.run("NOTIFY told_pid");
    let mut speaker = None;
    wait_until("the other one is heard", || {
        speaker = heard(&one.query("SELECT 1 FROM random()"));
        speaker.is_some()
    });
    assert_eq!(speaker, Some(other.pid));
    // Whoever gets a kept connection is told the same again.
    one.leave();
    let mut told = HashSet::new();
    wait_until("a connection is used again", || {
        let mut next = Raw::login(&proxy);
        assert_eq!(next.pid.to_string(), next.backend_pid());
        let again = !told.insert(next.pid);
        if again {
            let blocker = Blocker::on(&proxy, 190);
            block(&mut next, 190, "cancel_told");
            next.cancel(&proxy);
            expect_cancelled(&mut next);
            blocker.release();
        }
        next.leave();
        again
    });
}

#[test]
fn of_two_clients_that_run_something_only_one_is_cancelled() {
    let proxy = proxy();
    let blocker = Blocker::on(&proxy, 101);
    let (mut one, mut other) = (Raw::login(&proxy), Raw::login(&proxy));
    block(&mut one, 101, "cancel_one");
    block(&mut other, 101, "cancel_other");
    one.cancel(&proxy);
    expect_cancelled(&mut one);
    blocker.release();
    expect_done(&mut other);
    assert_eq!(one.value("SELECT 1"), "1");
}

#[test]
fn a_wrong_key_or_a_wrong_process_cancels_nothing() {
    let proxy = proxy();
    let blocker = Blocker::on(&proxy, 102);
    let mut session = Raw::login(&proxy);
    block(&mut session, 102, "cancel_wrong_key");
    let wrong: Vec<u8> = session.key.iter().map(|byte| !byte).collect();
    send_cancel(&proxy, session.pid, &wrong);
    send_cancel(&proxy, session.pid, &[]);
    send_cancel(&proxy, session.pid, &session.key[..3]);
    send_cancel(&proxy, session.pid, &[&session.key[..], &[0]].concat());
    send_cancel(&proxy, session.pid.wrapping_add(1), &session.key);
    send_cancel(&proxy, 0, &session.key);
    blocker.release();
    expect_done(&mut session);
}

#[test]
fn the_key_of_a_client_that_is_gone_cancels_nothing() {
    let proxy = proxy();
    let blocker = Blocker::on(&proxy, 103);
    let mut before = Raw::login(&proxy);
    let (pid, key, backend) = (before.pid, before.key.clone(), before.backend_pid());
    before.leave();
    // The next session gets the server connection that the first one had.
    let mut sessions = Vec::new();
    waypool_tests::wait_until("the connection is lent again", || {
        // Those before it keep theirs, so that each gets another one.
        let mut next = Raw::login(&proxy);
        let same = next.backend_pid() == backend;
        sessions.push(next);
        same
    });
    let mut session = sessions.pop().unwrap();
    block(&mut session, 103, "cancel_gone");
    send_cancel(&proxy, pid, &key);
    blocker.release();
    expect_done(&mut session);
}

#[test]
fn no_two_clients_have_the_same_key() {
    let proxy = proxy();
    let sessions: Vec<Raw> = (0..30).map(|_| Raw::login(&proxy)).collect();
    let pids: HashSet<u32> = sessions.iter().map(|session| session.pid).collect();
    let keys: HashSet<&[u8]> = sessions.iter().map(|session| &session.key[..]).collect();
    assert_eq!((pids.len(), keys.len()), (30, 30));
    assert!(sessions.iter().all(|session| session.pid != 0 && session.key.len() == 4));
}

#[test]
fn a_read_on_the_standby_is_cancelled_there() {
    let proxy = proxy();
    let database = Database::create(
        "cancel_standby",
        "CREATE FUNCTION wait_for(lock bigint) RETURNS text STABLE LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_advisory_lock(lock); RETURN ''done''; END'",
    );
    let login = || Raw::login_with(&proxy, &[("database", database.name)]);
    let (mut holder, mut waiting, mut other) = (login(), login(), login());
    assert_eq!(holder.value("SELECT wait_for(104)"), "done");
    for (session, mark) in [(&mut waiting, "cancel_read"), (&mut other, "go_on_reading")] {
        session.send(&wire::query(&format!("SELECT wait_for(104) /* {mark} */")));
        wait_blocked(database.cluster.server(1), mark);
    }
    waiting.cancel(&proxy);
    expect_cancelled(&mut waiting);
    holder.leave();
    expect_done(&mut other);
    // The session goes on, on both servers.
    assert_eq!(waiting.value("SELECT 1"), "1");
    waiting.run("CREATE TABLE t (n int)");
    assert_eq!(database.seen_by("cancel_read"), "1");
}

#[test]
fn a_cancel_request_for_a_client_that_runs_nothing_does_nothing() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    for n in 0..20 {
        session.cancel(&proxy);
        assert_eq!(session.value(&format!("SELECT {n}")), n.to_string());
        session.cancel(&proxy);
        session.run("SELECT pg_advisory_xact_lock(105)");
    }
    session.run("BEGIN");
    session.cancel(&proxy);
    session.run("SELECT txid_current()");
    session.cancel(&proxy);
    session.run("COMMIT");
}

#[test]
fn a_cancelled_statement_fails_its_transaction() {
    let proxy = proxy();
    let database = Database::create("cancel_transaction", "CREATE TABLE t (n int)");
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (1)");
    // Each database has locks of its own.
    let mut blocker = Raw::login_with(&proxy, &[("database", database.name)]);
    blocker.run("SELECT pg_advisory_lock(106)");
    block(&mut session, 106, "cancel_in_transaction");
    session.cancel(&proxy);
    expect_cancelled(&mut session);
    assert_eq!(session.error("SELECT 1"), "25P02");
    session.run("COMMIT");
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn cancel_works_for_drivers_that_speak_the_extended_protocol() {
    let proxy = proxy();
    run_async(async {
        let client = client(&proxy).await;
        let token = client.cancel_token();
        let query = client.query_one("SELECT pg_sleep($1)::text /* cancel_extended */", &[&600.0]);
        let cancel = async {
            let runs = || wait_running(primary_and_standby().primary(), "cancel_extended");
            tokio::task::spawn_blocking(runs).await.unwrap();
            token.cancel_query(NoTls).await.unwrap();
        };
        let (result, ()) = tokio::join!(query, cancel);
        assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
        let one: i32 = client.query_one("SELECT 1", &[]).await.unwrap().get(0);
        assert_eq!(one, 1);
    });
}

#[test]
fn control_c_in_psql_cancels_the_query() {
    let proxy = proxy();
    let mut psql = program(&proxy, "psql");
    psql.args(["-X", "-c", "SELECT pg_sleep(600) /* control_c */"]);
    let child = psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_running(primary_and_standby().primary(), "control_c");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("canceling statement due to user request"), "{said}");
}
