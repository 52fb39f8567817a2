//! `replication_delay_source_cmd`: a command that says how far behind the
//! standbys are, in place of asking the servers.
//!
//! It gets `host:port` of each backend but the primary, in their order, and
//! prints as many numbers: milliseconds, or -1 for a server that it takes for
//! down. An error is logged and leaves what was known.

use super::Cluster;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// Far more than a number for each server.
const MAX_OUTPUT: u64 = 64 * 1024;
/// Of what it says to standard error, for the log.
const MAX_COMPLAINT: u64 = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelaySource {
    pub command: String,
    pub timeout: Duration,
}

impl DelaySource {
    /// Runs the command and notes what it says. Where there is nobody to be
    /// asked about, it is not run.
    pub(super) async fn run(&self, cluster: &Arc<Cluster>, primary: usize) {
        let standbys: Vec<_> = cluster.backends.iter().filter(|backend| backend.id != primary).collect();
        if standbys.is_empty() {
            return;
        }
        let addresses = standbys.iter().map(|backend| backend.address().to_string());
        let output = match self.output(addresses.collect()).await {
            Ok(output) => output,
            Err(why) => {
                tracing::error!(command = self.command, "replication_delay_source_cmd {why}");
                return;
            }
        };
        let delays = parse(&output);
        if delays.len() != standbys.len() {
            tracing::warn!(
                command = self.command,
                "replication_delay_source_cmd printed {} values, expected {}: one for each standby",
                delays.len(),
                standbys.len()
            );
        }
        for (backend, delay) in standbys.into_iter().zip(delays) {
            match delay {
                Ok(time) => backend.report_delay(Some(time)),
                Err(why) => tracing::warn!(
                    command = self.command,
                    backend = backend.id,
                    "replication_delay_source_cmd: {why}; the delay stays as it was"
                ),
            }
        }
    }

    async fn output(&self, addresses: Vec<String>) -> Result<String, String> {
        let mut child = Command::new("sh")
            .arg("-c")
            // The addresses come behind whatever the command is, each as a word.
            .arg(format!("{} \"$@\"", self.command))
            .arg("sh")
            .args(addresses)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot be started: {error}"))?;
        match tokio::time::timeout(self.timeout, finish(&mut child)).await {
            Ok(output) => output,
            Err(_) => {
                kill_all(&child);
                Err(format!("took longer than replication_delay_source_timeout ({:?})", self.timeout))
            }
        }
    }
}

async fn finish(child: &mut Child) -> Result<String, String> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (output, complaint) = tokio::join!(read(stdout, MAX_OUTPUT), read(stderr, MAX_COMPLAINT));
    let status = child.wait().await.map_err(|error| format!("was lost: {error}"))?;
    match status.success() {
        true => Ok(output),
        false => Err(format!("failed with {status}: {}", complaint.trim())),
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read until an error is all there is.
        let _ = from.take(most).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The shell, and what it has started.
fn kill_all(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may just have ended.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// One value for each word.
pub(super) fn parse(output: &str) -> Vec<Result<Duration, String>> {
    let millis = |word: &str| match word.parse::<f64>() {
        Ok(-1.0) => {
            Err("-1: the server is taken for down there, which is for the health check to say".to_owned())
        }
        Ok(millis) => Duration::try_from_secs_f64(millis / 1000.0)
            .map_err(|_| format!("{word} may be milliseconds, from 0 on, or -1")),
        Err(_) => Err(format!("\"{word}\" may be a number of milliseconds, or -1")),
    };
    output.split_whitespace().map(millis).collect()
}

#[cfg(test)]
mod tests;
