//! What was decided about transactions that are prepared on several servers.
//!
//! A transaction is committed as soon as the decision is in the log on disk;
//! what is not there was not decided, and is rolled back (*presumed abort*).
//! So whatever dies at whatever moment, who reads the log knows how every
//! prepared transaction has to end: see [`resolve`](super::resolve).
//!
//! - `record`, `file`: the log. `folder`: whose it is. `writer`: one fsync for many.

mod file;
mod folder;
mod record;
#[cfg(test)]
mod tests;
mod writer;

pub use file::FileError;
pub use writer::DecideError;

use folder::{Folder, Legacy};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use writer::Request;

/// All prepared transactions of Waypool's begin with this.
pub const PREFIX: &str = "waypool_";
const ENDED: &str = "the thread that writes decisions has ended";

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("two_phase_log_directory: {0}")]
    File(#[from] FileError),
    #[error("cannot start the thread that writes decisions: {0}")]
    Thread(#[from] io::Error),
}

/// How a prepared transaction has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Commit,
    Rollback,
    /// Somebody is at it.
    Leave,
}

/// The log, and what is under way.
#[derive(Debug)]
pub struct Decisions {
    folder: Arc<Folder>,
    /// The number of this process.
    start: u64,
    writer: Sender<Request>,
    state: Arc<Shared>,
}

type Shared = Mutex<State>;

#[derive(Debug, Default)]
struct State {
    /// Of the last transaction.
    number: u64,
    in_flight: HashSet<String>,
    /// Whether these are decided, a restart will tell.
    in_doubt: HashSet<String>,
    /// Decided, with the servers on which it is not committed yet.
    decided: HashMap<String, Vec<String>>,
    legacies: Vec<Legacy>,
}

/// A transaction that is about to end; nobody else ends it while this is there,
/// or while its decision is being written.
#[derive(Debug, Clone)]
pub struct Ticket(Arc<InFlight>);

#[derive(Debug)]
struct InFlight {
    gid: String,
    state: Arc<Shared>,
}

impl Decisions {
    /// Reads what dead processes have left, too.
    pub fn open(path: &Path) -> Result<Arc<Self>, OpenError> {
        let folder = Arc::new(Folder::open(path)?);
        let (start, file) = folder.begin()?;
        let writer = writer::start(folder.clone(), start, file)?;
        let decisions = Arc::new(Decisions { folder, start, writer, state: Arc::default() });
        decisions.inherit()?;
        Ok(decisions)
    }

    /// Whose transactions are ours: the beginning of their names.
    pub fn prefix(&self) -> String {
        format!("{PREFIX}{}_", self.folder.instance)
    }

    /// A new transaction, with a name that no other ever has.
    pub fn begin(&self) -> Ticket {
        let mut state = self.state();
        state.number += 1;
        let gid = format!("{}{}_{}", self.prefix(), self.start, state.number);
        state.in_flight.insert(gid.clone());
        Ticket(Arc::new(InFlight { gid, state: self.state.clone() }))
    }

    /// When this returns, the transaction is committed, whatever happens then;
    /// `servers` may have it prepared.
    pub async fn decide_commit(&self, ticket: &Ticket, servers: &[String]) -> Result<(), DecideError> {
        let servers = servers.to_vec();
        let (answer, answered) = oneshot::channel();
        match self.writer.send(Request::Commit { ticket: ticket.clone(), servers, answer }) {
            // It answers before it lets go of anything.
            Ok(()) => answered.await.unwrap_or_else(|_| Err(DecideError::InDoubt(ENDED.into()))),
            Err(_) => Err(DecideError::NotDecided(ENDED.into())),
        }
    }

    /// Notes that a server has committed it. With the last one it is forgotten.
    pub fn committed_on(&self, gid: &str, server: &str) {
        let mut state = self.state();
        let Some(servers) = state.decided.get_mut(gid) else {
            return;
        };
        servers.retain(|other| other != server);
        if !servers.is_empty() {
            return;
        }
        state.decided.remove(gid);
        match self.start_of(gid) {
            Some(start) if start == self.start => {
                let _ = self.writer.send(Request::Done { gid: gid.to_owned() });
            }
            _ => self.forget_legacies(&mut state),
        }
    }

    /// How a transaction that a server has prepared has to end.
    pub fn verdict(&self, gid: &str) -> Verdict {
        let Some(start) = self.start_of(gid) else {
            return Verdict::Leave;
        };
        let state = self.state();
        let ours = start == self.start || state.legacies.iter().any(|legacy| legacy.start == start);
        // The log of a process that lives, or of one whose log is not read yet.
        let busy = state.in_flight.contains(gid) || state.in_doubt.contains(gid);
        let leave = busy || (!ours && self.folder.has(start));
        match state.decided.contains_key(gid) {
            _ if leave => Verdict::Leave,
            true => Verdict::Commit,
            false => Verdict::Rollback,
        }
    }

    /// Decided transactions that this server may not have committed yet, and
    /// nobody is at.
    pub fn pending_on(&self, server: &str) -> Vec<String> {
        let state = self.state();
        let mine = |(gid, servers): &(&String, &Vec<String>)| {
            servers.iter().any(|name| name == server) && !state.in_flight.contains(*gid)
        };
        state.decided.iter().filter(mine).map(|(gid, _)| gid.clone()).collect()
    }

    /// How many are decided and not done.
    pub fn pending(&self) -> usize {
        self.state().decided.len()
    }

    /// Takes over what processes that have died meanwhile have left.
    pub fn inherit(&self) -> Result<(), FileError> {
        let mut mine: Vec<u64> = self.state().legacies.iter().map(|legacy| legacy.start).collect();
        mine.push(self.start);
        let found = self.folder.legacies(&mine)?;
        let mut state = self.state();
        for legacy in found {
            if !legacy.pending.is_empty() {
                let (start, pending) = (legacy.start, legacy.pending.len());
                tracing::warn!(start, pending, "a process has ended between decisions and their commits");
            }
            state.decided.extend(legacy.pending.clone());
            state.legacies.push(legacy);
        }
        self.forget_legacies(&mut state);
        Ok(())
    }

    /// Removes logs of which everything is done.
    fn forget_legacies(&self, state: &mut State) {
        let open: HashSet<u64> = state.decided.keys().filter_map(|gid| self.start_of(gid)).collect();
        let (kept, done): (Vec<_>, Vec<_>) =
            state.legacies.drain(..).partition(|legacy| open.contains(&legacy.start));
        state.legacies = kept;
        done.into_iter().for_each(|legacy| self.folder.remove(legacy));
    }

    /// `None`: it is not ours.
    fn start_of(&self, gid: &str) -> Option<u64> {
        let (start, number) = gid.strip_prefix(&self.prefix())?.split_once('_')?;
        number.parse::<u64>().ok()?;
        start.parse().ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn locked(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ticket {
    /// Letters, digits and `_`: it needs no escaping.
    pub fn gid(&self) -> &str {
        &self.0.gid
    }

    /// What has become of its decision.
    fn note(&self, servers: &[String], written: &Result<(), DecideError>) {
        let mut state = locked(&self.0.state);
        match written {
            Ok(()) => drop(state.decided.insert(self.0.gid.clone(), servers.to_vec())),
            Err(DecideError::InDoubt(_)) => drop(state.in_doubt.insert(self.0.gid.clone())),
            Err(DecideError::NotDecided(_)) => {}
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        locked(&self.state).in_flight.remove(&self.gid);
    }
}
