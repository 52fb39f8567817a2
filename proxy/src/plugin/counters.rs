//! What is counted about a plugin.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use super::error::Fault;
use super::store::Store;

/// A plugin names its counters itself: this many are kept.
const MAX_OWN_COUNTERS: usize = 100;
const MAX_NAME_BYTES: usize = 200;
const MAX_LINES_A_SECOND: u64 = 100;

/// Calls made by one worker thread: its own cache line, so that counting the
/// calls of every statement costs the threads nothing.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct CallCounter(AtomicU64);

impl CallCounter {
    /// Only the thread that owns the counter calls this.
    pub fn add_one(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// Counters of a plugin, and its store: they outlive its generations.
#[derive(Debug, Default)]
pub(super) struct Counters {
    calls: Mutex<Vec<Arc<CallCounter>>>,
    faults: [AtomicU64; 6],
    overruled: AtomicU64,
    own: Mutex<BTreeMap<String, Own>>,
    lines: Lines,
    pub store: Store,
}

/// A counter or gauge of the plugin's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Own {
    Counter(u64),
    Gauge(f64),
}

/// Log lines of a plugin: so many a second are written.
#[derive(Debug, Default)]
struct Lines {
    /// Since the epoch of this process.
    second: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
}

/// Counters at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    pub calls: u64,
    pub traps: u64,
    pub deadlines: u64,
    pub memory: u64,
    pub malformed: u64,
    pub starts: u64,
    /// Errors that it returned.
    pub errors: u64,
    /// Log lines that were too many to be written.
    pub lines_dropped: u64,
    /// Answers that routing did not follow.
    pub overruled: u64,
    /// What the plugin counted itself.
    pub own: BTreeMap<String, Own>,
}

impl Counts {
    /// All failed calls.
    pub fn faults(&self) -> u64 {
        self.traps + self.deadlines + self.memory + self.malformed + self.starts + self.errors
    }
}

impl Counters {
    /// A call counter for one more thread.
    pub fn call_counter(&self) -> Arc<CallCounter> {
        let counter = Arc::new(CallCounter::default());
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(Arc::clone(&counter));
        counter
    }

    pub fn calls(&self) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().map(|counter| counter.0.load(Relaxed)).sum()
    }

    /// Returns how many failures of this kind there have been with this one.
    pub fn add_fault(&self, fault: Fault) -> u64 {
        self.faults[fault as usize].fetch_add(1, Relaxed).saturating_add(1)
    }

    pub fn add_overruled(&self) {
        self.overruled.fetch_add(1, Relaxed);
    }

    /// `count` of the contract.
    pub fn add_own(&self, name: String, delta: u64) {
        self.change_own(name, |own| match own {
            Some(Own::Counter(count)) => Own::Counter(count.saturating_add(delta)),
            _ => Own::Counter(delta),
        });
    }

    /// `gauge` of the contract.
    pub fn set_own(&self, name: String, value: f64) {
        self.change_own(name, |_| Own::Gauge(value));
    }

    fn change_own(&self, name: String, change: impl FnOnce(Option<Own>) -> Own) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.len() >= MAX_OWN_COUNTERS && !own.contains_key(&name) || name.len() > MAX_NAME_BYTES {
            return;
        }
        let changed = change(own.get(&name).copied());
        own.insert(name, changed);
    }

    /// Whether one more log line may be written now.
    pub fn may_log(&self) -> bool {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let lines = &self.lines;
        // Never zero, which is what `second` begins with.
        let second = START.elapsed().as_secs() + 1;
        if lines.second.swap(second, Relaxed) != second {
            lines.written.store(0, Relaxed);
        }
        if lines.written.fetch_add(1, Relaxed) < MAX_LINES_A_SECOND {
            return true;
        }
        lines.dropped.fetch_add(1, Relaxed);
        false
    }

    pub fn counts(&self) -> Counts {
        let fault = |fault: Fault| self.faults[fault as usize].load(Relaxed);
        Counts {
            calls: self.calls(),
            traps: fault(Fault::Trap),
            deadlines: fault(Fault::Deadline),
            memory: fault(Fault::Memory),
            malformed: fault(Fault::Malformed),
            starts: fault(Fault::Start),
            errors: fault(Fault::Error),
            lines_dropped: self.lines.dropped.load(Relaxed),
            overruled: self.overruled.load(Relaxed),
            own: self.own.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
