//! The clock that stops calls which take too long.

use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// How finely deadlines are told apart. Each tick wakes a thread, also when
/// there is nothing to do.
const TICK: Duration = Duration::from_millis(5);

/// Ticks that a call of this deadline may live. The first tick may come at
/// once, hence one more.
pub(super) fn ticks(deadline: Duration) -> u64 {
    let whole = deadline.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(whole).unwrap_or(u64::MAX / 2).max(1) + 1
}

/// Moves the engine's epoch on a thread of its own, until the engine is gone. A
/// plain thread, because a busy async runtime may not get to it in time.
pub(super) fn start(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("plugin-ticker".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .map(drop)
}
