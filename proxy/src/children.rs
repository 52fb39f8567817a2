//! `num_init_children`: how many clients are served at the same time. Those
//! who come later wait for one of them to leave, in the order of coming.

use crate::config::{Config, show_duration};
use crate::protocol::PgError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Pgpool-II's child processes; here, places.
#[derive(Debug)]
pub struct Children {
    /// `None`: everybody is served.
    free: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
}

/// One client's place, free again when this is dropped.
pub type Child = Option<OwnedSemaphorePermit>;

struct Waiting<'a>(&'a AtomicUsize);

impl Children {
    pub fn new(num_init_children: Option<usize>) -> Self {
        let free = num_init_children.map(|most| Arc::new(Semaphore::new(most)));
        Children { free, waiting: AtomicUsize::new(0) }
    }

    /// Clients that wait for a place.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A place, now or when there is one.
    pub async fn take(&self, config: &Config) -> Result<Child, PgError> {
        let Some(free) = &self.free else {
            return Ok(None);
        };
        let reserved = config.reserved_connections;
        if reserved > 0 && free.available_permits() <= reserved {
            return Err(crowded(config));
        }
        if let Ok(child) = free.clone().try_acquire_owned() {
            return Ok(Some(child));
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let limit = config.query_wait_timeout.unwrap_or(Duration::MAX);
        match timeout(limit, free.clone().acquire_owned()).await {
            Ok(Ok(child)) => Ok(Some(child)),
            _ => Err(self.in_vain(config, limit)),
        }
    }

    fn in_vain(&self, config: &Config, limit: Duration) -> PgError {
        let children = config.num_init_children.unwrap_or_default();
        PgError::fatal(
            "53300",
            format!(
                "sorry, too many clients already: waited {} for another client to leave (query_wait_timeout)",
                show_duration(limit)
            ),
        )
        .with_detail(format!(
            "{children} clients are served at the same time; {} others wait.",
            // It is still among them itself.
            self.waiting().saturating_sub(1)
        ))
        .with_hint("Raise num_init_children or query_wait_timeout in waypool.toml, or use fewer clients.")
    }
}

/// In Pgpool-II's words.
fn crowded(config: &Config) -> PgError {
    PgError::fatal("53300", "Sorry, too many clients already").with_hint(format!(
        "reserved_connections = {} of num_init_children are left: raise num_init_children in waypool.toml, or use \
         fewer clients.",
        config.reserved_connections
    ))
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
