//! What observers are told, on a thread of their own: however slow they are,
//! no statement waits for them.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use super::contract::{Kind, Observation, SessionInfo};
use super::host::PluginHost;
use super::worker::PluginWorker;

/// A worker hands over this many at once, or what it has twice a second.
pub const BATCH: usize = 1_000;
/// Batches that may wait; what comes then is dropped.
const QUEUE: usize = 64;

/// One statement that is over.
#[derive(Debug)]
pub struct Observed {
    pub who: Arc<SessionInfo>,
    /// The process id that the client was told.
    pub session: u32,
    pub kind: Kind,
    pub node: Option<usize>,
    pub micros: u64,
    pub rows: u64,
    pub sqlstate: Option<[u8; 5]>,
    pub tags: Vec<String>,
}

/// Hands what workers saw to the observers.
#[derive(Debug, Default)]
pub struct Observers {
    thread: Mutex<Option<SyncSender<Vec<Observed>>>>,
    dropped: AtomicU64,
}

impl Observers {
    /// Starts the thread with the first batch. Never waits.
    pub fn tell(&self, host: &Arc<PluginHost>, batch: &mut Vec<Observed>) {
        let batch = mem::take(batch);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            match start(Arc::clone(host)) {
                Ok(sender) => *thread = Some(sender),
                Err(error) => tracing::error!("no thread for the observers: {error}"),
            }
        }
        let count = batch.len() as u64;
        match thread.as_ref().map(|sender| sender.try_send(batch)) {
            Some(Ok(())) => return,
            // It has panicked; the next batch starts another one.
            Some(Err(TrySendError::Disconnected(_))) => *thread = None,
            Some(Err(TrySendError::Full(_))) | None => {}
        }
        let before = self.dropped.fetch_add(count, Relaxed);
        if before == 0 {
            tracing::warn!("the observers are too slow: what they miss is counted as dropped");
        }
    }

    /// Statements that no observer was told of, because they were too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

fn start(host: Arc<PluginHost>) -> io::Result<SyncSender<Vec<Observed>>> {
    let (sender, batches) = sync_channel(QUEUE);
    thread::Builder::new().name("waypool-observe".to_owned()).spawn(move || run(host, &batches))?;
    Ok(sender)
}

fn run(host: Arc<PluginHost>, batches: &Receiver<Vec<Observed>>) {
    let mut worker = PluginWorker::new(host);
    while let Ok(batch) = batches.recv() {
        let instances = worker.current().clone();
        instances.observe(|entry| {
            let applies = |seen: &&Observed| {
                entry.applies_to(&seen.who.database, &seen.who.user, &seen.who.application_name)
            };
            batch.iter().filter(applies).map(observation).collect()
        });
    }
}

fn observation(seen: &Observed) -> Observation {
    Observation {
        session: seen.session,
        database: seen.who.database.clone(),
        user: seen.who.user.clone(),
        application_name: seen.who.application_name.clone(),
        kind: seen.kind,
        node: seen.node.and_then(|node| u32::try_from(node).ok()),
        duration_micros: seen.micros,
        rows: seen.rows,
        sqlstate: seen.sqlstate.map(|state| String::from_utf8_lossy(&state).into_owned()),
        tags: seen.tags.clone(),
    }
}
