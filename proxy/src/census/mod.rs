//! Who is there and what they do: clients, server connections, and what has
//! passed between them. What `SHOW` on the admin database tells comes from here.
//!
//! - [`client`]: an entry for each client, held by its session
//! - [`server`]: an entry for each server connection, held by its place in the pool
//! - [`traffic`]: the counters of `SHOW STATS`
//! - [`meter`]: what a session does to count a statement
//! - [`signal`]: how another thread ends a session
//!
//! Entries are made with a connection and read by whoever asks. While
//! statements run nothing is locked or allocated: whoever holds a connection is
//! the only one who writes to its entry, so that plain loads and stores do.

pub mod client;
pub mod meter;
pub mod server;
pub mod signal;
#[cfg(test)]
mod tests;
pub mod traffic;

pub use client::{Client, Clients, Member};
pub use meter::Meter;
pub use server::{Server, Servers, State};
pub use traffic::{Counter, Totals};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// When the process began to look at the clock, by both of its clocks.
static START: LazyLock<(Instant, SystemTime)> = LazyLock::new(|| (Instant::now(), SystemTime::now()));

/// Clients and server connections share their numbers: `link` names one of
/// either without saying which.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// A moment as microseconds since [`START`], to be kept in an atomic. Never
/// zero, which stands for no moment.
pub fn stamp(at: Instant) -> u64 {
    micros(at.saturating_duration_since(START.0)).max(1)
}

/// The moment of a [`stamp`] on the wall's clock.
pub fn wall_clock(stamp: u64) -> SystemTime {
    START.1 + Duration::from_micros(stamp)
}

/// How long ago a [`stamp`] was; zero for no moment.
pub fn since(stamp: u64) -> Duration {
    match stamp {
        0 => Duration::ZERO,
        stamp => Duration::from_micros(self::stamp(Instant::now()).saturating_sub(stamp)),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// All there is to know of one process.
#[derive(Debug)]
pub struct Census {
    pub clients: Arc<Clients>,
    /// When the last two periods of the averages ended.
    periods: Mutex<[Instant; 2]>,
}

// === impl Census ===

impl Default for Census {
    fn default() -> Self {
        let (start, _) = *START;
        Census { clients: Arc::default(), periods: Mutex::new([start, start]) }
    }
}

impl Census {
    /// A period is over: from now on averages begin with the one before.
    pub fn next_period<'p>(&self, pools: impl Iterator<Item = &'p Servers>) {
        let mut periods = self.periods.lock().unwrap_or_else(PoisonError::into_inner);
        *periods = [periods[1], Instant::now()];
        pools.for_each(Servers::next_period);
    }

    /// How long the averages reach back.
    pub fn averaged(&self) -> Duration {
        self.periods.lock().unwrap_or_else(PoisonError::into_inner)[0].elapsed()
    }
}
