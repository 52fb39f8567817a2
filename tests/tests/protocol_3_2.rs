//! libpq of PostgreSQL 18 speaks protocol 3.2, if asked to.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use waypool_tests::raw::wait_running;
use waypool_tests::{Proxy, primary_and_standby, program, run};

/// psql, whatever its version, with that libpq, which accepts no older protocol.
fn psql(proxy: &Proxy) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pg18/lib");
    assert!(folder.join("libpq.so.5").exists(), "{} has no libpq: tools/setup.sh test", folder.display());
    let mut psql = program(proxy, "psql");
    psql.env("LD_LIBRARY_PATH", folder)
        .env("PGMINPROTOCOLVERSION", "3.2")
        .env("PGMAXPROTOCOLVERSION", "latest");
    psql.arg("-X");
    psql
}

#[test]
fn libpq_asks_for_it_and_gets_it() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let answer = run(psql(&proxy).args(["-Atc", "SELECT 6 * 7"]), "").ok();
    assert_eq!(answer, "42\n");
    proxy.stop();
}

#[test]
fn libpq_cancels_with_its_long_key() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let mut psql = psql(&proxy);
    psql.args(["-c", "SELECT pg_sleep(600) /* long_key */"]);
    let child = psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_running(primary_and_standby().primary(), "long_key");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("canceling statement due to user request"), "{said}");
    proxy.stop();
}
