//! `psql` through Waypool: what people can do themselves.

use super::stage::Stage;
use anyhow::{Context, bail};
use std::env;
use std::process::Command;

/// Stands between the answers of two statements.
const NEXT: &str = "-- next --";

/// Runs statements in one session, one by one, and returns each one's answer
/// as psql prints it.
pub fn psql(stage: &Stage, statements: &[&str]) -> anyhow::Result<Vec<String>> {
    let program = stage.installation().program("psql");
    let mut command = Command::new(&program);
    // The user's own settings would make it another tour.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").args(["-X", "-P", "pager=off", "-P", "footer=off", "-v", "ON_ERROR_STOP=1"]);
    command.args(["-d", &stage.conninfo()]);
    for statement in statements {
        command.args(["-c", statement, "-c", &format!("\\echo '{NEXT}'")]);
    }
    let output = command.output().with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!("psql failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let answers = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(split(&answers))
}

pub(super) fn split(output: &str) -> Vec<String> {
    let mut answers: Vec<_> =
        output.split(&format!("{NEXT}\n")).map(|answer| answer.trim_end().to_owned()).collect();
    // After the last mark there is nothing.
    answers.pop();
    answers
}

/// How to call psql: by name if the shell finds it.
pub fn psql_program(stage: &Stage) -> String {
    let path = env::var_os("PATH").unwrap_or_default();
    match env::split_paths(&path).any(|folder| folder.join("psql").is_file()) {
        true => "psql".to_owned(),
        false => stage.installation().program("psql").display().to_string(),
    }
}
