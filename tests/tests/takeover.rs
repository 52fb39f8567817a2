//! A restart without a refused connection: `waypool run --takeover`.
#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;

use waypool_tests::raw::{Raw, expect_fatal, sqlstate, wait_running};
use waypool_tests::{
    Builder, Database, Finished, Proxy, primary_and_standby, program, psql, run, wait_until, waypool, wire,
};

fn builder() -> Builder {
    Proxy::builder(primary_and_standby())
}

fn socket(proxy: &Proxy) -> std::path::PathBuf {
    proxy.socket_dir().join(format!(".s.PGSQL.{}", proxy.port()))
}

fn pgbench(proxy: &Proxy, options: &str) -> Finished {
    run(program(proxy, "pgbench").args(options.split_whitespace()), "")
}

/// Transactions made; none failed, and every client could connect.
#[track_caller]
fn done(finished: Finished) -> usize {
    let said = finished.to_string();
    let out = finished.ok();
    assert!(out.contains("number of failed transactions: 0 "), "{said}");
    let processed = out.split_once("number of transactions actually processed: ").unwrap().1;
    processed.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_rolling_restart_fails_no_transaction_and_refuses_no_connection() {
    let proxy = builder().start();
    let database = Database::create("takeover_load", "");
    pgbench(&proxy, "-i -q -s 1 takeover_load").ok();
    let (newcomers, residents) = thread::scope(|scope| {
        let newcomers = scope.spawn(|| pgbench(&proxy, "-n -C -c 4 -T 20 takeover_load"));
        let residents = scope.spawn(|| pgbench(&proxy, "-n -c 8 -T 20 takeover_load"));
        wait_until("both kinds of clients are at work", || {
            let working = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'takeover_load'";
            database.ask(0, working).parse::<usize>().unwrap() >= 9
        });
        let first = proxy.take_over(&[]);
        assert!(first.is_running(), "the old process has left its clients alone");
        let second = proxy.take_over(&[]);
        assert!(!newcomers.is_finished() && !residents.is_finished(), "they came too late to tell anything");
        let finished = (newcomers.join().unwrap(), residents.join().unwrap());
        first.wait_for_end();
        second.wait_for_end();
        finished
    });
    let transactions = done(newcomers) + done(residents);
    assert_eq!(database.ask(0, "SELECT count(*) FROM pgbench_history"), transactions.to_string());
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
    proxy.stop();
    assert!(!socket(&proxy).exists(), "the last one has left its socket behind");
}

#[test]
fn a_session_stays_where_it_is_until_its_client_leaves() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    session.run("BEGIN; CREATE TEMP TABLE here AS SELECT 7 AS seven");
    let first = proxy.take_over(&[]);
    // Nobody stays with this one: it ends at once.
    proxy.take_over(&[]).wait_for_end();
    assert!(first.is_running());
    session.run("COMMIT");
    assert_eq!(session.value("SELECT seven FROM here"), "7");
    // Through the Unix socket as through TCP.
    let folder = proxy.socket_dir().display().to_string();
    let select = ["-h", &folder, "-p", &proxy.port().to_string(), "-Atc", "SELECT 1"];
    assert_eq!(run(program(&proxy, "psql").args(select), "").ok().trim(), "1");
    session.leave();
    first.wait_for_end();
    assert!(socket(&proxy).exists());
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
}

#[test]
fn a_cancel_request_finds_its_session_across_two_restarts() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let _first = proxy.take_over(&[]);
    proxy.take_over(&[]).wait_for_end();
    for mark in ["takeover_cancel_1", "takeover_cancel_2"] {
        session.send(&wire::query(&format!("SELECT pg_sleep(600) /* {mark} */")));
        wait_running(primary_and_standby().primary(), mark);
        session.cancel(&proxy);
        assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("57014"));
    }
    // One with a wrong key does nothing, there too.
    session.send(&wire::query("SELECT 'still here' FROM pg_sleep(1)"));
    waypool_tests::raw::send_cancel(&proxy, session.pid, &[0; 4]);
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
}

#[test]
fn clients_stay_no_longer_than_takeover_timeout() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let former = proxy.take_over(&["--takeover-timeout", "1s"]);
    expect_fatal(&mut session.wire, "57P01");
    former.wait_for_end();
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
    assert!(socket(&proxy).exists());
}

#[test]
fn the_end_of_the_new_process_is_that_of_the_old_one() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let former = proxy.take_over(&[]);
    proxy.stop();
    expect_fatal(&mut session.wire, "57P01");
    former.wait_for_end();
}

#[test]
fn one_that_cannot_start_changes_nothing() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let good = std::fs::read_to_string(proxy.config_path()).unwrap();
    // Before it asks for the sockets, and after it has them.
    std::fs::write(proxy.config_path(), format!("prot = 1\n{good}")).unwrap();
    let said = proxy.take_over_in_vain();
    assert!(said.contains("prot"), "{said}");
    // An address for documentation, which no machine has.
    let elsewhere = "listen_addresses = [\"127.0.0.1\", \"192.0.2.1\"]";
    let lines = good.lines().filter(|line| !line.starts_with("listen_addresses"));
    let lines: Vec<&str> = std::iter::once(elsewhere).chain(lines).collect();
    std::fs::write(proxy.config_path(), lines.join("\n")).unwrap();
    let said = proxy.take_over_in_vain();
    assert!(said.contains("cannot listen on 192.0.2.1"), "{said}");
    assert_eq!(session.value("SELECT 1"), "1");
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
    std::fs::write(proxy.config_path(), good).unwrap();
    let former = proxy.take_over(&[]);
    session.leave();
    former.wait_for_end();
}

#[test]
fn nobody_to_take_over_from_is_a_start_like_any_other() {
    let proxy = builder().start();
    proxy.stop();
    let _ended = proxy.take_over(&[]);
    proxy.wait_for_log("nobody to take over from");
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
}

/// Not left behind by a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As systemd does: opens the socket, and names it in the environment.
const ACTIVATE: &str = "
import os, socket, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn systemd_opens_the_socket_and_is_told_how_things_stand() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let notify = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&notify).unwrap();
    systemd.set_read_timeout(Some(waypool_tests::PATIENCE)).unwrap();
    let server = primary_and_standby().primary().port();
    let config = folder.path().join("waypool.toml");
    std::fs::write(
        &config,
        format!(
            "port = 1\nunix_socket_directories = []\nsr_check_user = \"postgres\"\n\
             hba = [\"host all all all trust\"]\n[[backend]]\nhostname = \"127.0.0.1\"\nport = {server}\n"
        ),
    )
    .unwrap();
    let mut child = Killed(
        Command::new("python3")
            .args(["-c", ACTIVATE])
            .arg(waypool())
            .args(["run", "-c"])
            .arg(&config)
            .env("NOTIFY_SOCKET", &notify)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();
    let told = || {
        let mut buffer = [0; 1000];
        let count = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let ready = told();
    assert!(ready.contains("READY=1") && ready.contains(&format!("MAINPID={}", child.0.id())), "{ready}");
    let mut session = wire::Wire::connect_to(port);
    session.send(&wire::startup((3, 0), &[("user", "postgres"), ("database", "postgres")]));
    assert_eq!(sqlstate(&session.until_ready()), None);
    let pid = nix::unistd::Pid::from_raw(child.0.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    assert!(told().contains("RELOADING=1"));
    assert!(told().contains("READY=1"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(told().contains("STOPPING=1"));
    assert!(child.0.wait().unwrap().success());
}
