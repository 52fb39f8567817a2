//! Orders on the admin console: what they do to clients and server connections.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;
use std::thread;

use waypool_sandbox::Mode;
use waypool_tests::console::Console;
use waypool_tests::outage::{breakable, watchful};
use waypool_tests::raw::{Raw, expect_fatal, sqlstate, wait_running};
use waypool_tests::wire;
use waypool_tests::{Builder, Database, Proxy, primary_and_standby, program, run, wait_until};

fn builder() -> Builder {
    Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).top("admin_users = [\"postgres\"]")
}

fn login(proxy: &Proxy, database: &Database) -> Raw {
    Raw::login_with(proxy, &[("database", database.name)])
}

/// Connections of the proxy's to this database, on the primary.
fn connections(database: &Database) -> usize {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", database.name);
    primary_and_standby().primary().psql(&sql).unwrap().parse().unwrap()
}

/// Waits until as many clients of this database wait.
fn wait_waiting(console: &mut Console, database: &str, count: &str) {
    wait_until("clients wait", || {
        let pools = console.show("POOLS");
        pools.find(&[("database", database), ("cl_waiting", count)]).len() == 1
    });
}

fn is_paused(console: &mut Console, database: &str) -> bool {
    let databases = console.show("DATABASES");
    databases.find(&[("name", database), ("backend", "0"), ("paused", "1")]).len() == 1
}

// === PAUSE and RESUME ===

#[test]
fn pause_waits_for_those_who_are_there_and_keeps_newcomers_waiting() {
    let database = Database::create("console_pause", "");
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    login(&proxy, &database).leave();
    let mut holder = login(&proxy, &database);
    let mut other = Console::login(&proxy);
    other.raw.send(&wire::query("PAUSE console_pause"));
    wait_until("it is paused", || is_paused(&mut console, "console_pause"));
    let newcomer = Raw::begin_login(&proxy, &[("database", database.name)]);
    wait_waiting(&mut console, "console_pause", "1");
    assert_eq!(holder.value("SELECT 1"), "1", "who has a connection goes on");
    assert!(!other.has_answer() && !newcomer.has_answer());
    assert_eq!(Raw::login(&proxy).value("SELECT 1"), "1", "another database is not paused");
    assert_eq!(console.refused("PAUSE console_pause").1, "already suspended/paused");
    holder.leave();
    // And now none of the database is open.
    assert_eq!(sqlstate(&other.raw.wire.until_ready()), None);
    wait_until("the server has heard of it", || connections(&database) == 0);
    assert!(!newcomer.has_answer());
    assert_eq!(console.show("SERVERS").find(&[("database", "console_pause")]).len(), 0);
    console.order("RESUME console_pause");
    assert_eq!(newcomer.finish().unwrap().value("SELECT 1"), "1");
    assert_eq!(console.refused("RESUME console_pause").1, "database console_pause is not paused");
}

#[test]
fn pause_of_everything_and_a_cancel_request_takes_it_back() {
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    assert_eq!(console.refused("RESUME").1, "pooler is not paused/suspended");
    let mut holder = Raw::login(&proxy);
    console.raw.send(&wire::query("PAUSE"));
    let mut other = Console::login(&proxy);
    wait_until("it is paused", || {
        other.show("STATE").find(&[("key", "paused"), ("value", "yes")]).len() == 1
    });
    assert_eq!(other.refused("PAUSE template1").1, "already suspended/paused");
    // The order itself may only be about to be waited for.
    wait_until("the order is taken back", || {
        console.raw.cancel(&proxy);
        console.raw.has_answer()
    });
    assert_eq!(sqlstate(&console.raw.wire.until_ready()).as_deref(), Some("57014"));
    assert_eq!(console.show("STATE").one(&[("key", "paused")]).get("value"), "no");
    assert_eq!(Raw::login(&proxy).value("SELECT 1"), "1");
    assert_eq!(holder.value("SELECT 1"), "1");
}

#[test]
fn a_pause_outlives_the_console_that_ordered_it() {
    let database = Database::create("console_vanish", "");
    let proxy = builder().start();
    let _holder = login(&proxy, &database);
    let mut console = Console::login(&proxy);
    let mut other = Console::login(&proxy);
    other.raw.send(&wire::query("PAUSE console_vanish"));
    wait_until("it is paused", || is_paused(&mut console, "console_vanish"));
    other.raw.vanish();
    wait_until("the other is gone", || console.show("CLIENTS").find(&[("database", "waypool")]).len() == 1);
    assert!(is_paused(&mut console, "console_vanish"));
    console.order("RESUME console_vanish");
}

/// Clients that connect anew for each transaction: a pause finds a moment in
/// which no connection is in use, and nobody notices but by waiting.
#[test]
fn pgbench_loses_nothing_by_a_pause() {
    let database = Database::create("console_bench", "CREATE TABLE t (n int)");
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let script = proxy.folder().join("script.sql");
    fs::write(&script, "INSERT INTO t VALUES (1);\n").unwrap();
    let mut pgbench: Command = program(&proxy, "pgbench");
    // A thread for each: while one waits to be let in, the others go on.
    pgbench.args(["-n", "-C", "-c", "4", "-j", "4", "-t", "150", "-f"]).arg(&script).arg(database.name);
    let bench = thread::spawn(move || run(&mut pgbench, ""));
    let written = || database.ask(0, "SELECT count(*) FROM t").parse::<u64>().unwrap();
    for round in 1..=3 {
        wait_until("it goes on", || written() >= round * 50);
        console.order("PAUSE console_bench");
        wait_waiting(&mut console, "console_bench", "4");
        let paused = written();
        wait_until("the server has heard of it", || connections(&database) == 0);
        assert_eq!(written(), paused);
        console.order("RESUME console_bench");
    }
    let done = bench.join().unwrap();
    let report = done.to_string();
    done.ok();
    assert!(report.contains("number of failed transactions: 0"), "{report}");
    assert_eq!(written(), 600);
}

// === RECONNECT and WAIT_CLOSE ===

#[test]
fn reconnect_closes_what_is_idle_now_and_what_is_used_later() {
    let database = Database::create("console_reconnect", "");
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let mut held = login(&proxy, &database);
    let mut kept = login(&proxy, &database);
    let (held_pid, kept_pid) = (held.backend_pid(), kept.backend_pid());
    kept.leave();
    wait_until("it is kept", || {
        console.show("SERVERS").find(&[("remote_pid", &kept_pid), ("state", "idle")]).len() == 1
    });
    console.order("RECONNECT console_reconnect");
    let servers = console.show("SERVERS");
    assert_eq!(servers.find(&[("remote_pid", &kept_pid)]).len(), 0);
    assert_eq!(servers.one(&[("remote_pid", &held_pid)]).get("close_needed"), "1");
    let fresh = login(&proxy, &database).backend_pid();
    assert!(fresh != kept_pid && fresh != held_pid);
    let mut other = Console::login(&proxy);
    other.raw.send(&wire::query("WAIT_CLOSE console_reconnect"));
    assert_eq!(held.backend_pid(), held_pid);
    assert!(!other.has_answer());
    held.leave();
    assert_eq!(sqlstate(&other.raw.wire.until_ready()), None);
    assert_ne!(login(&proxy, &database).backend_pid(), held_pid);
    console.order("RECONNECT");
    console.order("WAIT_CLOSE");
}

// === DISABLE and ENABLE ===

#[test]
fn a_disabled_database_lets_nobody_new_in() {
    let database = Database::create("console_disable", "");
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let mut inside = login(&proxy, &database);
    console.order("DISABLE console_disable");
    let error = Raw::try_login(&proxy, &[("database", database.name)]).unwrap_err();
    assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
    assert_eq!(error.field(b'C').as_deref(), Some("08004"));
    assert_eq!(error.field(b'M').as_deref(), Some("database \"console_disable\" is disabled"));
    assert_eq!(inside.value("SELECT 1"), "1");
    let databases = console.show("DATABASES");
    assert_eq!(databases.one(&[("name", "console_disable"), ("backend", "0")]).get("disabled"), "1");
    console.order("ENABLE console_disable");
    assert_eq!(login(&proxy, &database).value("SELECT 1"), "1");
    assert_eq!(console.refused("DISABLE waypool").1, "cannot disable admin db: waypool");
    assert_eq!(console.refused("DISABLE").1, "a database is required");
}

// === KILL and KILL_CLIENT ===

#[test]
fn kill_ends_clients_and_connections_and_pauses() {
    let database = Database::create("console_kill", "");
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let mut idle = login(&proxy, &database);
    let mut in_transaction = login(&proxy, &database);
    in_transaction.run("BEGIN");
    let mut running = login(&proxy, &database);
    running.send(&wire::query("SELECT pg_sleep(600) /* console_killed */"));
    wait_running(primary_and_standby().primary(), "console_killed");
    let mut bystander = Raw::login(&proxy);
    console.order("KILL console_kill");
    for session in [&mut idle, &mut in_transaction, &mut running] {
        let error = expect_fatal(&mut session.wire, "57P01");
        assert_eq!(error.field(b'M').as_deref(), Some("admin forced disconnect"));
    }
    let servers = console.show("SERVERS");
    assert_eq!(servers.find(&[("database", "console_kill")]).len(), 0, "{servers:?}");
    assert_eq!(bystander.value("SELECT 1"), "1");
    assert!(is_paused(&mut console, "console_kill"));
    let newcomer = Raw::begin_login(&proxy, &[("database", database.name)]);
    wait_waiting(&mut console, "console_kill", "1");
    console.order("RESUME console_kill");
    assert_eq!(newcomer.finish().unwrap().value("SELECT 1"), "1");
}

#[test]
fn kill_of_everything_leaves_the_console() {
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let mut client = Raw::login(&proxy);
    console.order("KILL");
    expect_fatal(&mut client.wire, "57P01");
    let mut waiting = Raw::begin_login(&proxy, &[]);
    wait_waiting(&mut console, "postgres", "1");
    // One that waits is killed as well.
    assert_eq!(console.refused("KILL").1, "already suspended/paused");
    let id = console.show("CLIENTS").one(&[("state", "waiting")]).get("id").to_owned();
    console.order(&format!("KILL_CLIENT {id}"));
    expect_fatal(&mut waiting.wire, "57P01");
    console.order("RESUME");
    assert_eq!(Raw::login(&proxy).value("SELECT 1"), "1");
}

#[test]
fn kill_client_ends_one_with_its_connections() {
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let mut victim = Raw::login_with(&proxy, &[("application_name", "victim")]);
    let pid = victim.backend_pid();
    let mut bystander = Raw::login(&proxy);
    let id = console.show("CLIENTS").one(&[("application_name", "victim")]).get("id").to_owned();
    console.order(&format!("KILL_CLIENT {id}"));
    expect_fatal(&mut victim.wire, "57P01");
    assert_eq!(console.show("SERVERS").find(&[("remote_pid", &pid)]).len(), 0);
    assert_eq!(bystander.value("SELECT 1"), "1");
    assert_eq!(console.refused(&format!("KILL_CLIENT {id}")).1, "client not found");
    // Itself, too.
    let own = console.show("CLIENTS").one(&[("database", "waypool")]).get("id").to_owned();
    console.raw.send(&wire::query(&format!("KILL_CLIENT {own}")));
    expect_fatal(&mut console.raw.wire, "57P01");
}

// === RELOAD and SHUTDOWN ===

#[test]
fn reload_takes_the_file_over_or_tells_its_mistakes() {
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let good = fs::read_to_string(proxy.config_path()).unwrap();
    fs::write(proxy.config_path(), format!("max_client_conn = 5\n{good}")).unwrap();
    console.order("RELOAD");
    assert_eq!(console.show("CONFIG").one(&[("key", "max_client_conn")]).get("value"), "5");
    fs::write(proxy.config_path(), format!("max_client_conn = 0\n{good}")).unwrap();
    let answer = console.raw.query("RELOAD");
    let error = answer.iter().find(|message| message.tag == b'E').unwrap();
    assert!(error.field(b'M').unwrap().starts_with("RELOAD failed"));
    assert!(error.field(b'D').unwrap().contains("max_client_conn"));
    assert_eq!(console.show("CONFIG").one(&[("key", "max_client_conn")]).get("value"), "5");
}

#[test]
fn shutdown_ends_the_process() {
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let mut client = Raw::login(&proxy);
    console.raw.send(&wire::query("SHUTDOWN"));
    assert!(proxy.wait_for_end().success());
    expect_fatal(&mut client.wire, "57P01");
}

#[test]
fn shutdown_may_wait_for_servers_or_clients() {
    for how in ["WAIT_FOR_SERVERS", "WAIT_FOR_CLIENTS"] {
        let proxy = builder().start();
        let mut console = Console::login(&proxy);
        let mut other = Console::login(&proxy);
        let mut client = Raw::login(&proxy);
        console.raw.send(&wire::query(&format!("SHUTDOWN {how}")));
        wait_until("it was heard", || proxy.log().contains("issued on the admin console"));
        assert_eq!(client.value("SELECT 1"), "1");
        assert_eq!(other.show("CLIENTS").find(&[("database", "postgres")]).len(), 1);
        client.leave();
        assert!(proxy.wait_for_end().success());
    }
}

// === a restart under PAUSE ===

#[test]
fn a_server_can_be_restarted_under_a_pause() {
    let cluster = breakable();
    let proxy = watchful(&cluster).top("admin_users = [\"postgres\"]").start();
    let mut console = Console::login(&proxy);
    Raw::login(&proxy).leave();
    console.order("PAUSE");
    cluster.primary().stop(Mode::Fast).unwrap();
    wait_until("waypool has noticed", || {
        console.show("POOL_NODES").one(&[("node_id", "0")]).get("status") == "down"
    });
    // Without a primary it would be refused, if it were not told to wait.
    let newcomer = Raw::begin_login(&proxy, &[]);
    wait_waiting(&mut console, "postgres", "1");
    cluster.primary().start().unwrap();
    wait_until("the primary is back", || {
        let nodes = console.show("POOL_NODES");
        let node = nodes.one(&[("node_id", "0")]);
        (node.get("status"), node.get("role")) == ("up", "primary")
    });
    assert!(!newcomer.has_answer());
    console.order("RESUME");
    let mut session = newcomer.finish().unwrap();
    session.run("CREATE TABLE written_after_the_pause (n int)");
    Raw::login(&proxy).run("DROP TABLE written_after_the_pause");
}

#[test]
fn nobody_waits_for_resume_for_longer_than_he_may() {
    let proxy = builder().top("query_wait_timeout = \"500ms\"").start();
    let mut console = Console::login(&proxy);
    console.order("PAUSE");
    let error = Raw::try_login(&proxy, &[]).unwrap_err();
    assert_eq!(error.field(b'C').as_deref(), Some("57P03"));
    assert!(error.field(b'M').unwrap().contains("is paused: waited 500ms"));
    assert_eq!(console.show("CLIENTS").find(&[("database", "postgres")]).len(), 0);
}
