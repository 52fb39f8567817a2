//! Waiting on conditions, with the patience that a busy machine needs.

use std::fs;
use std::time::Duration;

/// How long a condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `condition` holds; panics with `what` when it does not in time.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    let held = waypool_sandbox::wait_until(PATIENCE, condition);
    assert!(held, "waited {PATIENCE:?} in vain until {what}");
}

/// The memory that a process has in RAM.
pub fn rss_kib(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no VmRSS in {path}: is the process dead?"))
}
