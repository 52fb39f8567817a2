//! The ways to end a proxy: smart, fast and immediate.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use waypool_tests::raw::{Raw, expect_fatal, sqlstate, wait_running, wait_true};
use waypool_tests::{Builder, Proxy, primary_and_standby, wait_until, waypool, wire};

fn builder() -> Builder {
    Proxy::builder(primary_and_standby())
}

fn stop_command(proxy: &Proxy, options: &[&str]) -> Command {
    let mut command = Command::new(waypool());
    command.arg("stop").args(options).arg("-c").arg(proxy.config_path()).stdout(Stdio::piped());
    command
}

fn stop(proxy: &Proxy, options: &[&str]) -> Output {
    stop_command(proxy, options).output().unwrap()
}

#[test]
fn smart_waits_for_the_clients_and_lets_nobody_in() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    session.run("BEGIN");
    let mut stopping = stop_command(&proxy, &[]).spawn().unwrap();
    wait_until("newcomers are refused", || match Raw::try_login(&proxy, &[]) {
        Ok(session) => {
            session.leave();
            false
        }
        Err(error) => {
            assert_eq!(error.field(b'C').as_deref(), Some("57P03"));
            true
        }
    });
    // Who is there works on, and can cancel what it does.
    session.run("SELECT 1; COMMIT");
    session.send(&wire::query("SELECT pg_sleep(600) /* smart_cancel */"));
    wait_running(primary_and_standby().primary(), "smart_cancel");
    session.cancel(&proxy);
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("57014"));
    assert!(stopping.try_wait().unwrap().is_none(), "waypool stop has not waited");
    assert!(proxy.is_running());
    session.leave();
    assert!(proxy.wait_for_end().success());
    assert!(stopping.wait().unwrap().success());
}

#[test]
fn smart_without_clients_is_over_at_once() {
    let proxy = builder().start();
    Raw::login(&proxy).leave();
    let output = stop(&proxy, &["-m", "smart"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "waypool stopped\n");
    assert!(proxy.wait_for_end().success());
}

#[test]
fn smart_becomes_fast_after_a_timeout_or_a_signal() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    assert!(stop(&proxy, &["--timeout", "1"]).status.success());
    expect_fatal(&mut session.wire, "57P01");
    assert!(proxy.wait_for_end().success());

    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    assert!(stop(&proxy, &["--no-wait"]).status.success());
    proxy.wait_for_log("shutting down");
    assert_eq!(session.value("SELECT 1"), "1");
    proxy.stop();
    expect_fatal(&mut session.wire, "57P01");
}

#[test]
fn fast_ends_sessions_with_a_word() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    session.run("BEGIN");
    assert!(stop(&proxy, &["-m", "fast"]).status.success());
    expect_fatal(&mut session.wire, "57P01");
    assert!(proxy.wait_for_end().success());
}

#[test]
fn immediate_ends_without_a_word() {
    let by_signal = |proxy: &Proxy| proxy.signal(Signal::SIGQUIT);
    let by_command = |proxy: &Proxy| assert!(stop(proxy, &["-m", "immediate"]).status.success());
    for end in [&by_signal as &dyn Fn(&Proxy), &by_command] {
        let proxy = builder().start();
        let socket = proxy.socket_dir().join(format!(".s.PGSQL.{}", proxy.port()));
        let mut session = Raw::login(&proxy);
        let pid = session.backend_pid();
        session.run("BEGIN");
        let began = Instant::now();
        end(&proxy);
        assert!(proxy.wait_for_end().success());
        assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
        assert!(session.wire.until_closed().is_empty());
        assert!(!socket.exists(), "the Unix socket is still there");
        let gone = format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}");
        wait_true(primary_and_standby().primary(), "the server connection is closed", &gone);
    }
}

#[test]
fn an_order_that_makes_no_sense_is_refused() {
    let proxy = builder().start();
    let output = stop_command(&proxy, &["-m", "slow"]).stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("smart") && said.contains("immediate"), "{said}");
    assert!(proxy.is_running());
}
