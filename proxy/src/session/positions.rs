//! Read your writes: how far a standby must have replayed before this session
//! reads from it.
//!
//! After a write has been committed the primary is asked where its WAL is, by
//! a query behind the client's back: the client has its answer already. Before
//! a read, the standby is asked how far it is, unless that is known to be far
//! enough; if it is not, the read waits, and goes to the primary at last.

use super::link::bit;
use super::links::LinkError;
use super::{End, Session};
use crate::config::ClusteringMode;
use crate::plugin::contract::{ReadAfter, SessionPlan};
use crate::protocol::backend::{TransactionStatus, ready_for_query};
use crate::protocol::error::notice;
use crate::wal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Where the WAL of the primary is: behind every commit so far.
const COMMITTED: &str = "SELECT pg_catalog.pg_current_wal_insert_lsn()";
/// What the standby has replayed, and its sessions see.
const REPLAYED: &str = "SELECT pg_catalog.pg_last_wal_replay_lsn()";

/// Bytes of a page of WAL, and of the header that it begins with.
const PAGE: u64 = 8192;
const PAGE_HEADER: u64 = 24;

/// Pauses between looks at a standby that is behind.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The parameter that holds a session's token.
pub(super) const TOKEN: &str = "waypool.read_after";

/// Positions in the WAL that matter to a session; 0 is none.
#[derive(Debug)]
pub struct Positions {
    scope: ReadAfter,
    wait: Duration,
    /// Behind the last commit of this session.
    own: u64,
    /// Of all sessions of this user.
    user: Arc<UserCommits>,
    /// As the client has set it.
    token: u64,
    /// The statement or transaction under way writes.
    pub wrote: bool,
    /// Part of what was written is committed, whatever becomes of the rest.
    committed: bool,
    /// The client knows of a commit whose position is not known yet.
    unknown: bool,
}

/// What the sessions of one user have committed.
#[derive(Debug, Default)]
pub struct UserCommits {
    /// Behind the last commit whose position is known.
    position: AtomicU64,
    /// Sessions with a commit whose position is not known yet.
    unknown: AtomicUsize,
}

impl Positions {
    pub fn new(plan: &SessionPlan, user: Arc<UserCommits>) -> Self {
        let wait = Duration::from_millis(u64::from(plan.wait_millis));
        Positions {
            scope: plan.read_after.unwrap_or_default(),
            wait,
            own: 0,
            user,
            token: 0,
            wrote: false,
            committed: false,
            unknown: false,
        }
    }

    fn saw_commit(&mut self, position: u64) {
        self.own = self.own.max(position);
        self.user.position.fetch_max(position, Ordering::AcqRel);
    }

    /// Before the client hears of its commit: other sessions may read next.
    pub fn must_be_known(&self, committed: bool) -> bool {
        self.unknown || (committed && self.wrote && self.scope == ReadAfter::User)
    }

    /// The client hears of a commit in the middle of a pipeline: what comes
    /// behind it cannot wait for a question. Until that is answered, reads of
    /// this user's sessions wait, or go to the primary.
    pub fn goes_on(&mut self, committed: bool) {
        if self.must_be_known(committed) && !self.unknown {
            self.unknown = true;
            self.user.unknown.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The position is known, or never will be.
    fn known(&mut self) {
        if std::mem::take(&mut self.unknown) {
            self.user.unknown.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// A commit of this user may be behind what is known.
    fn is_in_doubt(&self) -> bool {
        self.scope == ReadAfter::User && self.user.unknown.load(Ordering::Acquire) > 0
    }

    /// What a standby must have replayed.
    fn wanted(&self) -> u64 {
        let commits = match self.scope {
            ReadAfter::Nothing => 0,
            ReadAfter::Session => self.own,
            ReadAfter::User => self.own.max(self.user.position.load(Ordering::Acquire)),
        };
        commits.max(self.token)
    }
}

impl Drop for Positions {
    fn drop(&mut self) {
        self.known();
    }
}

impl Session {
    /// The lead has committed, or may have: where, is asked before the client
    /// gets its ReadyForQuery.
    pub(super) fn hold_ready(&mut self, id: usize, status: TransactionStatus) {
        self.positions.wrote = false;
        // Only the last answer of a pipeline comes here.
        self.watched_ready(usize::MAX);
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        link.conn.status = status;
        link.relayed = false;
        link.ask_unseen(COMMITTED);
        let unanswered: Vec<_> = link.replies.take_unanswered().collect();
        self.undo(id, unanswered);
        self.ask_channels(status);
        self.ready_held = Some(status);
        self.progress = true;
    }

    /// The answer has come, or never will.
    pub(super) fn release_ready(&mut self) -> Result<(), End> {
        if self.ready_held.is_none() || self.awaits_channels()? {
            return Ok(());
        }
        let Some(status) = self.ready_held.take() else {
            return Ok(());
        };
        self.positions.known();
        let mut out = Vec::with_capacity(6);
        ready_for_query(&mut out, status);
        self.answer(&out)?;
        self.cancel.set_running(0);
        self.copying = false;
        self.on_ready(status)
    }

    /// COMMIT AND CHAIN: the next transaction has begun, on servers that need
    /// not show the last one yet.
    pub(super) fn chained(&mut self) {
        if self.positions.wrote && self.positions.scope != ReadAfter::Nothing {
            self.positions.committed = true;
            self.transaction.primary_only = true;
        }
    }

    /// A transaction has ended, or a statement outside of one: what may have
    /// been committed is asked about.
    pub(super) fn learn_commit(&mut self, rolled_back: bool) {
        let wrote = std::mem::take(&mut self.positions.wrote);
        let committed = std::mem::take(&mut self.positions.committed);
        if !wrote || (rolled_back && !committed) || self.positions.scope == ReadAfter::Nothing {
            return;
        }
        if let Some(primary) = self.primary()
            && let Some(link) = self.links.get_mut(primary)
        {
            link.ask_unseen(COMMITTED);
        }
    }

    /// A server's answer to one of the questions above.
    pub(super) fn on_position(&mut self, id: usize, value: &[u8]) {
        let Some(position) = std::str::from_utf8(value).ok().and_then(wal::parse) else {
            return;
        };
        if self.primary() == Some(id) {
            self.positions.saw_commit(end_of_record(position));
        } else if let Some(link) = self.links.get(id) {
            link.backend.saw_replayed(position);
        }
    }

    /// Whether a linked standby shows what this session must see, after a
    /// while at most.
    pub(super) async fn has_replayed(&mut self, id: usize) -> Result<bool, End> {
        if self.positions.scope != ReadAfter::Nothing
            && let Some(primary) = self.primary()
        {
            // The position of the last commit may still be on its way.
            self.drain(bit(primary)).await?;
        }
        let deadline = Instant::now() + self.positions.wait;
        while self.positions.is_in_doubt() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        let wanted = self.positions.wanted();
        if wanted > 0 && self.worker.proxy.cluster.mode != ClusteringMode::StreamingReplication {
            // Such a server replays nothing: what it has is not to be learned.
            return Ok(false);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(link) = self.links.get_mut(id) else {
                return Ok(false);
            };
            if link.backend.replayed() >= wanted {
                return Ok(true);
            }
            link.ask_unseen(REPLAYED);
            self.drain(bit(id)).await?;
            let replayed = self.links.get(id).map_or(0, |link| link.backend.replayed());
            if replayed >= wanted {
                return Ok(self.links.get(id).is_some());
            }
            if Instant::now() + pause > deadline {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// A transaction must see on every server what this session must see:
    /// standbys that do not show it yet take no part.
    pub(super) async fn leave_behind(&mut self) -> Result<(), End> {
        for id in 0..self.links.len() {
            let concerned = self.links.get(id).is_some() && self.primary() != Some(id);
            if concerned && !self.has_replayed(id).await? && self.links.get(id).is_some() {
                tracing::debug!(
                    backend = id,
                    "behind the session's last commit: left out of its transaction"
                );
                self.give_up(id).await;
            }
        }
        Ok(())
    }

    /// Where the primary's WAL is now: behind this session's last commit.
    pub(super) async fn last_commit(&mut self) -> Result<u64, LinkError> {
        let to = self.connect_primary().await?;
        if let Some(link) = self.links.get_mut(to.lead) {
            link.ask_unseen(COMMITTED);
        }
        self.drain(bit(to.lead)).await?;
        Ok(self.positions.own)
    }

    /// `SET waypool.read_after = …` has succeeded.
    pub(super) fn set_token(&mut self, statement: &[u8]) {
        self.positions.token = wal::parse(&last_string(statement)).unwrap_or_default();
    }

    /// Says what is wrong with `SET waypool.read_after = …`, before it is sent.
    pub(super) fn check_token(&mut self, statement: &[u8]) {
        let value = last_string(statement);
        if !value.is_empty() && wal::parse(&value).is_none() {
            let message = format!("{TOKEN}: {value:?} is no WAL position such as 0/16B3748, and is ignored");
            notice(&mut self.notices, "22023", &message);
        }
    }

    pub(super) fn reset_token(&mut self) {
        self.positions.token = 0;
    }
}

/// The server tells where its next record will begin: behind the header of a
/// page, if the last one has filled a page. A standby tells where the last one
/// ended. (At the start of a segment the header is longer; no record ends there.)
fn end_of_record(position: u64) -> u64 {
    if position % PAGE == PAGE_HEADER { position - PAGE_HEADER } else { position }
}

/// What stands in the last quotes; DEFAULT and the like are nothing.
fn last_string(statement: &[u8]) -> String {
    let text = String::from_utf8_lossy(statement);
    let mut parts = text.rsplit('\'');
    parts.next();
    parts.next().unwrap_or_default().trim().to_owned()
}
