//! Reading a server's log.

use std::fs;

use super::Server;

/// How much of the log an error quotes.
const TAIL_LINES: usize = 15;

impl Server {
    /// The whole log, all starts of the server included.
    pub fn log_text(&self) -> String {
        self.log_since(0)
    }

    /// Where the log ends now: hand it to [`Server::log_since`] later.
    pub fn log_position(&self) -> u64 {
        fs::metadata(self.log_path()).map_or(0, |meta| meta.len())
    }

    /// What was logged after `position`. A statement is logged before it is
    /// answered, so what a client has seen done is in here.
    pub fn log_since(&self, position: u64) -> String {
        let content = fs::read(self.log_path()).unwrap_or_default();
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        let rest = content.get(start..).unwrap_or_default();
        String::from_utf8_lossy(rest).into_owned()
    }

    /// How many lines of the log contain `text`.
    pub fn log_count(&self, text: &str) -> usize {
        let log = self.log_text();
        log.lines().filter(|line| line.contains(text)).count()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log_text();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}
