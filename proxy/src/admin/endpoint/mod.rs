//! Orders about plugins, and about the end of the proxy: HTTP and JSON, on a Unix socket and, if the
//! configuration says so, over TLS.
//!
//! All of it runs on a thread of its own, and what takes long (compiling a
//! plugin) on further ones with a lower priority: no session waits for it.
//!
//! - `sockets`: opened, accepted from, TLS.
//! - `caller`: who asks, and whether they may.
//! - `routes`: the addresses and what is done there.
//! - `commits`: kept back for a moment; `leases`: for whom.
//! - `lifetime`: the end, and a successor.
//! - `push`: files that are sent here.
//! - `describe`: what the host knows, as JSON.
//! - `refusal`: errors as answers.

mod caller;
mod commits;
mod describe;
mod leases;
mod lifetime;
mod push;
mod refusal;
mod routes;
mod sockets;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::Builder;
use tokio::sync::watch;

use self::sockets::Sockets;
use crate::handover::Inherited;
use crate::proxy::Proxy;

pub use self::sockets::{OpenError, check};

/// What sessions do is more urgent.
const NICE: i32 = 10;

/// The thread that takes orders; it ends when this is dropped.
pub struct Endpoint {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Why orders cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot start the admin thread: {0}")]
    Thread(#[from] io::Error),
}

impl Endpoint {
    /// `None`: the configuration wants none.
    pub fn start(proxy: &Arc<Proxy>, inherited: &mut Inherited) -> Result<Option<Self>, StartError> {
        let Some(sockets) = Sockets::open(&proxy.config(), inherited)? else {
            return Ok(None);
        };
        sockets.offer(&proxy.listeners)?;
        let runtime = Builder::new_current_thread().enable_all().on_thread_start(be_nice).build()?;
        let (stop, stopped) = watch::channel(false);
        let proxy = Arc::clone(proxy);
        let thread = thread::Builder::new().name("waypool-admin".to_owned()).spawn(move || {
            be_nice();
            runtime.block_on(sockets.serve(proxy, stopped));
            // A plugin that is being compiled is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Some(Endpoint { stop, thread: Some(thread) }))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the admin thread panicked");
        }
    }
}

/// Lets sessions go first. On Linux this counts for the calling thread alone,
/// and for those that it starts.
pub fn be_nice() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!("a thread keeps its priority: {error}");
    }
}
