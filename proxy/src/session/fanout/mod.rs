//! Native replication: what writes runs on every server, and the client gets one
//! answer, when all of them agree.
//!
//! A Query, or what the extended protocol has up to a Sync or Flush, is a unit.
//! It is sent and answered here, and nothing else of the session goes on
//! meanwhile: [`exchange`] sends it and hears the answers, [`unit`] decides in
//! which order and what becomes of the result, [`values`] evaluates what must be
//! the same for all, [`lock`] and [`level`] keep numbers of sequences equal, [`commit`] ends transactions,
//! [`copying`] passes COPY data on, [`failed`] is what may be said in a failed
//! transaction. [`query`] and [`batch`] are the two protocols.
//!
//! The *main* server is the first that can be used. It goes first, so that rows
//! are locked in the same order by everybody; the others follow, all at once.

mod batch;
mod catalog;
mod commit;
mod copying;
mod exchange;
mod failed;
mod level;
mod lock;
mod pack;
mod plan;
mod query;
mod snapshot;
mod targets;
mod two_phase;
mod unit;
mod values;

pub(super) use plan::first_word;

use super::link::{Link, Servers, bit};
use super::links::LinkError;
use super::{End, Session};
use crate::fanout::only_reads;
use crate::plugin::contract::{Kind, Servers as Wanted, Verdict};
use crate::protocol::PgError;
use crate::protocol::backend::TransactionStatus;
use crate::routing::Scope;
use crate::worker::Worker;
use lock::{Numbered, Serial};
use std::collections::HashMap;
use std::rc::Rc;

/// A session's part in native replication.
#[derive(Default)]
pub struct Fanout {
    /// A transaction of ours is open, around statements of the client's.
    internal: bool,
    /// It was begun for values, or a snapshot, of the statement that comes next.
    fresh: bool,
    /// The transaction has its snapshot, the same on all servers.
    snapshot: bool,
    /// The transaction has written.
    wrote: bool,
    /// It is serializable: which of two succeeds is decided when it commits.
    serializable: bool,
    /// Servers that have got messages of the extended protocol and no Sync yet.
    open: Servers,
    /// Some have committed: these have to, whatever becomes of the client.
    committing: Servers,
    /// The servers of the transaction.
    taking_part: Servers,
    /// The others took too long, and were cancelled.
    deadlock: bool,
    /// Lost while it was needed, and why the session cannot do without it.
    missing: Option<PgError>,
    /// A cycle of the extended protocol goes on.
    in_cycle: bool,
    /// What the transaction is behind what was sent of it.
    ahead: TransactionStatus,
    /// Of what runs now.
    unit_is_extended: bool,
    /// What servers have to prepare before the unit.
    prepare: Vec<(usize, Vec<u8>)>,
    /// The client listens for notifications on the main server.
    listens: bool,
    /// Tables, and their columns with a default from a sequence; as of an epoch of
    /// catalog facts.
    serial: HashMap<String, Rc<[Serial]>>,
    serial_epoch: u64,
    /// Tables to be locked when values for them are evaluated.
    locks: Vec<String>,
    /// What servers are about to number by themselves.
    numbered: Vec<Numbered>,
    /// What perhaps only the main server has numbered.
    uneven: Vec<Numbered>,
    /// That of the session, while it has one of its own: see [`catalog`].
    shared_scope: Option<Rc<Scope>>,
    /// Reused for each unit.
    unit: Vec<u8>,
}

impl Fanout {
    /// For a session of this worker, if it takes part.
    pub fn of(worker: &Worker) -> Option<Box<Self>> {
        let replicates = worker.proxy.cluster.mode.replicates();
        replicates.then(Box::default)
    }

    /// For the next unit, unless it is long.
    fn keep(&mut self, unit: Vec<u8>) {
        const LONGEST: usize = 16 * 1024;
        if unit.capacity() <= LONGEST {
            self.unit = unit;
        }
    }

    fn prepare(&mut self, server: usize, bytes: &[u8]) {
        match self.prepare.iter_mut().find(|(id, _)| *id == server) {
            Some((_, before)) => before.extend_from_slice(bytes),
            None => self.prepare.push((server, bytes.to_vec())),
        }
    }
}

impl Session {
    pub(super) fn fans_out(&self) -> bool {
        self.fanout.is_some()
    }

    /// The state of a session that takes part.
    fn fan(&mut self) -> &mut Fanout {
        self.fanout.get_or_insert_with(Box::default)
    }

    /// Whether a statement runs on every server.
    pub(super) fn goes_everywhere(&self, verdict: &Verdict) -> bool {
        if self.fanout.is_none() {
            return false;
        }
        if verdict.kind == Kind::Listen {
            // Notifications come from the main server alone.
            return false;
        }
        if verdict.kind == Kind::Deallocate && !self.is_prepared_everywhere(verdict) {
            return false;
        }
        if verdict.servers == Wanted::Any || only_reads(verdict) {
            return verdict.kind == Kind::Select && self.worker.proxy.config().replicate_select;
        }
        true
    }

    /// The statement that a DEALLOCATE names, as far as it is known.
    fn is_prepared_everywhere(&self, verdict: &Verdict) -> bool {
        let Some(name) = verdict.name.as_deref() else {
            return true;
        };
        let linked = self.links.which(|_| true);
        let on = self.prepared.sql.get(name).map(|statement| statement.on);
        let on = on.or_else(|| Some(self.prepared.get(name.as_bytes())?.on.get()));
        on.is_none_or(|on| on == linked)
    }

    /// The servers that a unit runs on, connected and with nothing owed: those of
    /// the transaction, or all that are in use.
    async fn connect_members(&mut self) -> Result<Servers, LinkError> {
        self.leave_detached().await;
        if self.transaction.status == TransactionStatus::Idle && !self.is_internal() {
            self.wait_resumed().await?;
            for id in 0..self.links.len() {
                self.connect_member(id).await?;
            }
        }
        let all = self.links.which(|_| true);
        self.drain(all).await?;
        let members = match self.transaction.status {
            TransactionStatus::Idle if !self.is_internal() => self.links.which(|_| true),
            _ => self.links.which(Link::in_transaction),
        };
        if self.transaction.status == TransactionStatus::Idle && !self.is_internal() {
            self.fan().taking_part = members;
        }
        // Committed without it, the servers would differ.
        let attached = |id: &usize| !self.worker.proxy.cluster.backends[*id].is_detached();
        let missing = self.fanout.as_ref().map_or(0, |fan| fan.taking_part) & !members;
        if let Some(id) = (0..self.links.len()).filter(|id| missing & bit(*id) != 0).find(attached) {
            let gone = format!("the transaction's connection to backend {id} is gone");
            return Err(LinkError::End(End::Fatal(PgError::fatal("08006", gone))));
        }
        match members {
            0 => Err(LinkError::Statement(nobody())),
            members => Ok(members),
        }
    }

    async fn connect_member(&mut self, id: usize) -> Result<(), LinkError> {
        let backend = self.worker.proxy.cluster.backends[id].clone();
        if backend.is_detached() || self.links.get(id).is_some() {
            return Ok(());
        }
        // What cannot be rebuilt was lost with its connection.
        let had_state = self.sticky && self.fan().taking_part & bit(id) != 0;
        let error = match self.link(id).await {
            Ok(()) if had_state => {
                let gone = format!("the connection to backend {id} ({}) was lost", backend.address());
                let error = PgError::fatal("08006", gone)
                    .with_detail("The session had state on that server which cannot be rebuilt.");
                return Err(LinkError::End(End::Fatal(error)));
            }
            Ok(()) => return Ok(()),
            Err(LinkError::Statement(error)) => error,
            Err(end) => return Err(end),
        };
        // It will miss what is written now. That nothing is free in its pool is
        // no reason to do without it.
        if !backend.is_usable() && self.worker.proxy.cluster.detach(id, &error.message) {
            return Ok(());
        }
        Err(LinkError::Statement(error))
    }

    /// Gives connections up to servers that other sessions have detached.
    async fn leave_detached(&mut self) {
        let detached = self.links.which(|link| link.backend.is_detached());
        for id in (0..self.links.len()).filter(|id| detached & bit(*id) != 0) {
            self.give_up(id).await;
            self.follow_main(id);
        }
    }

    /// The open transaction goes on without this server.
    fn follow_main(&mut self, id: usize) {
        if self.transaction.primary == Some(id) {
            let left = self.links.which(Link::in_transaction);
            self.transaction.primary = (left != 0).then(|| main_of(left));
        }
        self.fan().open &= !bit(id);
    }

    fn is_internal(&self) -> bool {
        self.fanout.as_ref().is_some_and(|fan| fan.internal)
    }

    /// Nobody else has its notifications.
    pub(super) fn note_listening(&mut self, kind: Kind) {
        if let Some(fan) = self.fanout.as_mut().filter(|_| kind == Kind::Listen) {
            fan.listens = true;
        }
    }

    /// A server connection is gone that nobody waits for: whether the session
    /// can go on without it. Outside of a transaction it is seen when something is
    /// written next whether the server is gone as well.
    pub(super) fn survives_loss(&mut self, id: usize, why: &str) -> bool {
        let Some(fan) = &self.fanout else {
            return false;
        };
        if fan.listens && self.primary() == Some(id) {
            return false;
        }
        if self.transaction.status == TransactionStatus::Idle && !fan.internal {
            return true;
        }
        let detached = self.worker.proxy.cluster.detach(id, why);
        if detached {
            self.follow_main(id);
        }
        detached
    }
}

/// The main server of these.
fn main_of(servers: Servers) -> usize {
    servers.trailing_zeros() as usize
}

fn nobody() -> PgError {
    PgError::error("57P03", "no server can be used at the moment")
        .with_hint("SHOW pool_nodes tells what Waypool knows of the servers.")
}
