//! How a proxy ends: who may still come, who is waited for, and how long.

use crate::children::Child;
use crate::proxy::Proxy;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// From coming up to going down; what is later includes what is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Newcomers are refused, but heard out: they may want to cancel a query.
    Smart,
    /// Another process accepts on the same sockets; this one has left them.
    HandedOver,
    /// Sessions are ended, with a word to the client.
    Fast,
    /// Nobody is waited for.
    Immediate,
}

/// As `pgpool stop` and `pg_ctl stop` have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Wait until the clients have left; let no new ones in
    Smart,
    /// End all sessions; their transactions are rolled back
    Fast,
    /// End at once, without a word to anybody
    Immediate,
}

#[derive(Debug)]
pub struct Life {
    phase: watch::Sender<Phase>,
    /// When those who are waited for are so no longer.
    deadline: Mutex<Option<Instant>>,
    /// Loops that accept clients.
    acceptors: AtomicUsize,
    /// The last client, or acceptor, has gone.
    left: Notify,
    giving: AtomicBool,
}

/// A client's place among all: counted as long as this lives.
pub struct Seat {
    proxy: Arc<Proxy>,
    /// How many clients there were when it came, with it.
    pub number: usize,
    /// Its place among those who are served.
    pub child: Child,
}

/// A loop that accepts clients.
pub struct Acceptor(Arc<Proxy>);

/// The sockets are being handed over: to one at a time.
pub struct Giving(Arc<Proxy>);

// === impl Life ===

impl Default for Life {
    fn default() -> Self {
        Life {
            phase: watch::Sender::new(Phase::Serving),
            deadline: Mutex::default(),
            acceptors: AtomicUsize::new(0),
            left: Notify::new(),
            giving: AtomicBool::new(false),
        }
    }
}

impl Life {
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// There is no way back. `limit`: clients are waited for no longer than this.
    pub fn enter(&self, phase: Phase, limit: Option<Duration>) {
        if let Some(limit) = limit {
            let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
            *deadline = Instant::now().checked_add(limit);
        }
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
        // A deadline may have come into being.
        self.left.notify_one();
    }

    /// Returns when the proxy is to be stopped: it was asked to, and nobody is
    /// waited for any more.
    pub async fn over(&self, clients: &AtomicUsize) {
        let mut phase = self.phase.subscribe();
        loop {
            let left = self.left.notified();
            let acceptors = match *phase.borrow_and_update() {
                Phase::Fast | Phase::Immediate => return,
                Phase::Serving => usize::MAX,
                Phase::Smart => 0,
                Phase::HandedOver => self.acceptors.load(Ordering::Acquire),
            };
            if acceptors == 0 && clients.load(Ordering::Acquire) == 0 {
                return;
            }
            let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
            let limit = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = left => {}
                _ = phase.changed() => {}
                () = tokio::time::sleep(limit) => {
                    tracing::info!("the clients have had their time: ending their sessions");
                    self.enter(Phase::Fast, None);
                }
            }
        }
    }
}

// === impl Seat ===

impl Seat {
    pub fn take(proxy: &Arc<Proxy>) -> Self {
        let number = proxy.clients.fetch_add(1, Ordering::AcqRel) + 1;
        Seat { proxy: proxy.clone(), number, child: None }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.proxy.clients.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.proxy.life.left.notify_one();
        }
    }
}

// === impl Acceptor ===

impl Acceptor {
    pub fn new(proxy: &Arc<Proxy>) -> Self {
        proxy.life.acceptors.fetch_add(1, Ordering::AcqRel);
        Acceptor(proxy.clone())
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        if self.0.life.acceptors.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.life.left.notify_one();
        }
    }
}

// === impl Giving ===

impl Giving {
    /// `None`: somebody else is about to get the sockets, or has them, or there
    /// are soon none.
    pub fn begin(proxy: &Arc<Proxy>) -> Option<Self> {
        let free = proxy.life.phase() == Phase::Serving && !proxy.life.giving.swap(true, Ordering::AcqRel);
        free.then(|| Giving(proxy.clone()))
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        self.0.life.giving.store(false, Ordering::Release);
    }
}

// === impl Mode ===

impl From<Mode> for Phase {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Smart => Phase::Smart,
            Mode::Fast => Phase::Fast,
            Mode::Immediate => Phase::Immediate,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Smart => "smart",
            Mode::Fast => "fast",
            Mode::Immediate => "immediate",
        })
    }
}

#[cfg(test)]
mod tests;
