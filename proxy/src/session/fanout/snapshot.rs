//! `snapshot_isolation`: a transaction's snapshot, taken on all servers while nothing
//! is committed, so that all of them show the same.
//!
//! PostgreSQL takes a REPEATABLE READ transaction's snapshot with its first statement
//! that needs one; so before that comes a statement of ours, on every server.
//! As all servers then agree which rows a transaction sees, they agree as well which of two
//! that change the same row goes on: the first one on the main server.

use super::super::links::LinkError;
use super::super::{End, Session};
use super::exchange::error_of;
use super::plan::{looks_at_nothing, plan};
use crate::config::ClusteringMode;
use crate::fanout::Until;
use crate::plugin::contract::{Effects, Kind, Verdict};
use crate::protocol::backend::TransactionStatus;
use crate::protocol::{PgError, frontend};
use std::time::Duration;

/// Of a commit that is under way: it may wait for a lock.
const PATIENCE: Duration = Duration::from_secs(60);

impl Session {
    pub(super) fn isolates(&self) -> bool {
        self.fans_out() && self.worker.proxy.cluster.mode == ClusteringMode::SnapshotIsolation
    }

    /// Whether a snapshot has to be taken before these run.
    pub(super) fn needs_snapshot<'v>(&self, mut runs: impl Iterator<Item = &'v Verdict>) -> bool {
        let Some(fan) = self.fanout.as_ref().filter(|fan| !fan.snapshot && self.isolates()) else {
            return false;
        };
        if self.has_failed() {
            return false;
        }
        match self.is_idle() && !fan.internal {
            // Each server for itself would have another one than the others.
            true => runs.any(|verdict| plan(verdict, TransactionStatus::Idle, "").internal),
            false => runs.any(takes_snapshot),
        }
    }

    /// Takes the snapshot of the transaction that is open, or of one of ours that
    /// it begins.
    pub(in super::super) async fn take_snapshot(&mut self) -> Result<(), LinkError> {
        let servers = self.connect_members().await?;
        // In a cycle of the extended protocol what stands before it ends.
        self.sync_open().await?;
        let begins = self.is_idle() && !self.fan().internal;
        let Some(_inside) = self.worker.proxy.commit_gate.close(PATIENCE).await else {
            return Err(LinkError::Statement(too_long()));
        };
        let mut bytes = Vec::with_capacity(16);
        frontend::query(&mut bytes, b"SELECT 1");
        let mut answers = self.tell_all(servers, begins, &bytes, Until::Ready);
        self.hear_rows(&mut answers).await?;
        self.note_begun(begins, &answers);
        answers.retain(|(_, hearing)| !hearing.is_lost());
        if answers.is_empty() {
            return Err(LinkError::End(End::Fatal(super::nobody())));
        }
        self.fan().snapshot = true;
        match answers.iter().find_map(|(_, hearing)| error_of(hearing)) {
            Some(error) => Err(self.fails(error).await?),
            None => Ok(()),
        }
    }

    /// The same for a Query, if it needs one.
    pub(in super::super) async fn snapshot_for_query(&mut self, verdict: &Verdict) -> Result<(), LinkError> {
        if !self.isolates() {
            return Ok(());
        }
        let inside = Effects::TRANSACTION_INSIDE | Effects::WRITES;
        if verdict.effects.contains(inside) {
            return Err(LinkError::Statement(several()));
        }
        match self.needs_snapshot(std::iter::once(verdict)) {
            true => Box::pin(self.take_snapshot()).await,
            false => Ok(()),
        }
    }
}

/// In a transaction: what PostgreSQL takes a snapshot for, or may. Locks come first,
/// so that what is seen is from afterwards.
fn takes_snapshot(verdict: &Verdict) -> bool {
    verdict.kind != Kind::Lock && !looks_at_nothing(verdict.kind)
}

fn too_long() -> PgError {
    PgError::error("55P03", format!("a commit took longer than {} s", PATIENCE.as_secs()))
        .with_detail("With snapshot_isolation no snapshot is taken while a transaction is committed.")
        .with_hint("A commit may wait for a lock: SHOW CLIENTS on the admin console shows who waits.")
}

fn several() -> PgError {
    PgError::error("0A000", "several statements in one text cannot begin or end a transaction that writes")
        .with_detail(
            "With snapshot_isolation the servers take the transaction's snapshot between its statements.",
        )
        .with_hint("Send them one by one.")
}
