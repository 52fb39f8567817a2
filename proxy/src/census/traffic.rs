//! The counters of `SHOW STATS`.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted, in the order of PgBouncer's columns. Times are in
/// microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Assignments,
    Xacts,
    Queries,
    Received,
    Sent,
    XactTime,
    QueryTime,
    WaitTime,
    ClientParses,
    ServerParses,
    Binds,
    Logins,
}

pub const COUNTERS: usize = 12;

/// The counters as they stood at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals(pub [u64; COUNTERS]);

/// The counters of one server connection. Who holds the connection writes,
/// anybody reads.
#[derive(Debug, Default)]
pub struct Traffic([AtomicU64; COUNTERS]);

// === impl Traffic ===

impl Traffic {
    /// For the holder of the connection only: no other addition is under way.
    pub fn add(&self, counter: Counter, amount: u64) {
        let cell = &self.0[counter as usize];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub fn totals(&self) -> Totals {
        Totals(array::from_fn(|at| self.0[at].load(Ordering::Relaxed)))
    }
}

// === impl Totals ===

impl Totals {
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    #[must_use]
    pub fn plus(&self, other: &Totals) -> Totals {
        Totals(array::from_fn(|at| self.0[at].wrapping_add(other.0[at])))
    }

    /// The averages of what has come since `before`, as PgBouncer has them:
    /// times for each of what took them, all else for each second.
    #[must_use]
    pub fn averages(&self, before: &Totals, seconds: f64) -> Totals {
        let new = Totals(array::from_fn(|at| self.0[at].saturating_sub(before.0[at])));
        let mut averages = Totals(new.0.map(|count| match seconds > 0.0 {
            true => (count as f64 / seconds) as u64,
            false => 0,
        }));
        for (time, each) in [
            (Counter::XactTime, Counter::Xacts),
            (Counter::QueryTime, Counter::Queries),
            (Counter::WaitTime, Counter::Assignments),
        ] {
            averages.0[time as usize] = new.get(time).checked_div(new.get(each)).unwrap_or(0);
        }
        averages
    }
}
