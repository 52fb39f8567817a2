//! Drivers and what stands on them: the same little program run directly and
//! through the proxy prints the same. Reads go to the standby whenever they may.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use waypool_tests::{Proxy, primary_and_standby, program_at, python_at, run};

/// The modes in which all of these programs live.
const POOL_MODES: [&str; 2] = ["session", "transaction"];

/// Runs the program that `command` makes of a port and a folder, in databases of
/// its own.
#[track_caller]
fn compare(name: &str, command: impl Fn(u16, &Path) -> Command) {
    let cluster = primary_and_standby();
    let said = |port: u16, folder: &Path, way: &str| {
        let database = format!("{name}_{way}");
        cluster.primary().psql(&format!("CREATE DATABASE {database}")).unwrap();
        cluster.server(1).wait_replay(cluster.primary()).unwrap();
        let mut command = command(port, folder);
        command.env("WAYPOOL_TEST_DATABASE", &database);
        // The only word that is not the same.
        run(&mut command, "").ok().replace(&database, "DATABASE")
    };
    let folder = tempfile::tempdir().unwrap();
    let direct = said(cluster.primary().port(), folder.path(), "direct");
    assert!(direct.lines().count() > 5, "the program says too little: {direct}");
    for mode in POOL_MODES {
        let proxy =
            Proxy::builder(cluster).weights(&[0.0, 1.0]).top(&format!("pool_mode = {mode:?}")).start();
        let through = said(proxy.port(), proxy.folder(), mode);
        assert_eq!(direct, through, "{name} in pool mode {mode}");
        proxy.stop();
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

#[test]
fn asyncpg() {
    compare("asyncpg", |port, folder| python_at(port, folder, "asyncpg_basics.py"));
}

#[test]
fn sqlalchemy() {
    compare("sqlalchemy", |port, folder| python_at(port, folder, "sqlalchemy_basics.py"));
}

#[test]
fn django() {
    compare("django", |port, folder| python_at(port, folder, "django_basics.py"));
}

#[test]
fn node_postgres() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients/node_modules");
    compare("node", |port, folder| {
        let mut node = program_at(port, folder, Path::new("node"));
        node.env("NODE_PATH", &modules).arg(clients().join("basics.js"));
        node
    });
}

#[test]
fn pgjdbc() {
    compare("pgjdbc", |port, folder| {
        // It compiles the file in memory.
        let mut java = program_at(port, folder, Path::new("sh"));
        java.args(["-c", r#"exec java -cp /usr/share/java/postgresql.jar "$0" "jdbc:postgresql://127.0.0.1:$PGPORT/$WAYPOOL_TEST_DATABASE?user=postgres""#]);
        java.arg(clients().join("Basics.java"));
        java
    });
}

/// In a workspace of its own, which is built here.
#[test]
#[ignore = "builds forty crates: make soak"]
fn soak_sqlx() {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/drivers/sqlx");
    let manifest = clients().join("sqlx/Cargo.toml");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
    assert!(build.status().unwrap().success());
    compare("sqlx", |port, folder| program_at(port, folder, &target.join("debug/waypool-sqlx-client")));
}
