//! A sandbox's own tests, on real servers.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use waypool_sandbox::{Auth, Cluster, Mode, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// Whether any process still works in `folder` or below.
fn inhabited(folder: &Path) -> bool {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok())
        .any(|cwd| cwd.starts_with(folder))
}

#[test]
fn standbys_follow_and_survive_a_kill() {
    let cluster = Cluster::builder().standbys(2).setting("log_statement", "all").start().unwrap();
    let primary = cluster.primary();
    primary.psql("create table t (n int); insert into t values (1)").unwrap();

    let victim = cluster.server(1);
    victim.kill9().unwrap();
    assert!(!victim.is_running() && !victim.is_accepting());
    assert!(!inhabited(&victim.data_dir()));
    primary.psql("insert into t values (2)").unwrap();
    victim.start().unwrap();

    for standby in &cluster.servers()[1..] {
        assert!(standby.is_in_recovery().unwrap());
        standby.wait_replay(primary).unwrap();
        assert_eq!(standby.psql("select count(*) from t").unwrap(), "2");
        assert_eq!(standby.log_count("statement: select count(*) from t"), 1);
    }
    let refused = cluster.server(2).psql("insert into t values (3)").unwrap_err();
    assert!(refused.to_string().contains("read-only transaction"), "{refused}");

    let folder = cluster.folder().to_path_buf();
    drop(cluster);
    assert!(!folder.exists() && !inhabited(&folder));
}

#[test]
fn failover_and_the_old_primary_comes_back() {
    let cluster = Cluster::builder().standbys(1).auth(Auth::ScramSha256).start().unwrap();
    let (old, new) = (cluster.primary(), cluster.server(1));
    old.stop(Mode::Fast).unwrap();
    new.promote().unwrap();
    new.psql("create table after_failover ()").unwrap();
    cluster.rebuild_as_standby(0, 1).unwrap();
    old.wait_replay(new).unwrap();
    assert!(old.is_in_recovery().unwrap());
    old.psql("select from after_failover").unwrap();
}

#[test]
fn a_paused_server_hangs_until_resumed() {
    let cluster = Cluster::builder().start().unwrap();
    let server = cluster.primary();
    server.pause();
    assert!(server.is_running() && !server.is_accepting());
    server.resume();
    server.wait_ready(SOON).unwrap();
    server.pause();
    let folder = cluster.folder().to_path_buf();
    drop(cluster);
    assert!(!folder.exists() && !inhabited(&folder));
}

#[test]
fn independent_servers_have_their_own_data() {
    let cluster = Cluster::builder()
        .independent(2)
        .auth(Auth::Md5)
        .hba("host all stranger all reject")
        .start()
        .unwrap();
    cluster.server(0).psql("create table only_here ()").unwrap();
    cluster.server(1).psql("select from only_here").unwrap_err();
    cluster.server(1).set("work_mem", "7MB").unwrap();
    assert_eq!(cluster.server(1).psql("show work_mem").unwrap(), "7MB");
    cluster.server(0).stop(Mode::Smart).unwrap();
    cluster.server(0).start().unwrap();
    cluster.server(0).psql("select from only_here").unwrap();
}

#[test]
fn a_server_that_cannot_start_tells_why_and_leaves_nothing() {
    let error = Cluster::builder().setting("shared_buffers", "nonsense").start().unwrap_err().to_string();
    assert!(error.contains("invalid value for parameter"), "{error}");
}

#[test]
fn a_port_that_was_asked_for_is_used_or_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = Cluster::builder().first_port(port).start().unwrap_err().to_string();
    assert!(refused.contains(&format!("somebody listens on port {port}")), "{refused}");
    drop(listener);
    let cluster = Cluster::builder().first_port(port).start().unwrap();
    assert_eq!(cluster.server(0).port(), port);
}

/// SIGKILL gives the owner no chance to clean up: its guardian does it.
#[test]
fn a_killed_owner_leaves_nothing() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_waypool-sandbox"))
        .args(["--standbys", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = owner.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let about: serde_json::Value = serde_json::from_str(&line).unwrap();
    let folder = PathBuf::from(about["folder"].as_str().unwrap());
    assert!(inhabited(&folder));
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(wait_until(SOON, || !folder.exists() && !inhabited(&folder)));
}
