//! Statements that nobody would write: sqlsmith's, the same ones every time.

use std::process::{Command, Stdio};

use waypool_sandbox::Server;

use crate::program::run;

/// Where there is a lot to choose from: each kind of relation, type and function,
/// and functions that lie. Only these make a `mood`, so they are in use.
pub const SCHEMA: &str = include_str!("smith.sql");

/// Whether sqlsmith picks system catalogs too.
#[derive(Debug, Clone, Copy)]
pub enum Catalogs {
    With,
    Without,
}

/// The first `count` statements that a seed gives for this database.
#[track_caller]
pub fn statements(
    server: &Server,
    database: &str,
    catalogs: Catalogs,
    seed: u32,
    count: usize,
) -> Vec<String> {
    let target = format!("host=127.0.0.1 port={} user=postgres dbname={database}", server.port());
    let mut command = Command::new("sqlsmith");
    command.arg("--dry-run").arg(format!("--target={target}"));
    command.arg(format!("--seed={seed}")).arg(format!("--max-queries={count}"));
    if let Catalogs::Without = catalogs {
        command.arg("--exclude-catalog");
    }
    let mut installed = Command::new("sqlsmith");
    let installed = installed.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(installed.is_ok(), "sqlsmith is missing: tools/setup.sh test installs it");
    let printed = run(&mut command, "").ok();
    let statements: Vec<String> = printed.split(";\n").map(runnable).filter(|one| !one.is_empty()).collect();
    assert_eq!(statements.len(), count, "sqlsmith prints one statement after another");
    statements
}

/// A sample is another one each time unless it is told its seed. And sqlsmith
/// takes some newer pseudo-types for types, which would fail before anything runs.
fn runnable(statement: &str) -> String {
    let mut parts = statement.trim().split("tablesample ");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sample, rest) = part.split_once(')').unwrap_or((part, ""));
        whole.push_str(&format!("tablesample {sample}) repeatable (1){rest}"));
    }
    whole
        .replace(" as anymultirange)", " as int4multirange)")
        .replace(" as anyrange)", " as int4range)")
        .replace(" as anyenum)", " as mood)")
}
