//! Waiting on conditions instead of sleeping for luck.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Short enough not to slow a test, long enough not to burn the processor.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `condition` again and again; `false` when it did not hold within `timeout`.
pub fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(PAUSE);
    }
}
