//! The end of a transaction on all servers.
//!
//! `commit_mode = ordered`, which is Pgpool-II's way: the others first, all at
//! once, and the main server last, whose row locks have kept other sessions in
//! the same order until then. If the proxy dies between, they differ.

use super::super::link::{Link, Servers, bit};
use super::super::{End, Session};
use super::exchange::{Answers, which};
use super::main_of;
use crate::fanout::{Hearing, Mark, Until};
use crate::protocol::backend::TransactionStatus;
use crate::protocol::frontend;

/// How a commit went.
#[derive(Debug)]
pub(super) enum Committed {
    /// Everywhere; this is what a server has said.
    Yes(Hearing),
    /// Nowhere, and why.
    No(Hearing),
}

/// It has committed, and not rolled back.
pub(super) fn has_committed(hearing: &Hearing) -> bool {
    let complete = hearing.marks.iter().any(|mark| matches!(mark, Mark::Complete { .. }));
    complete && !hearing.has_failed() && !hearing.is_lost() && !says_rollback(hearing)
}

/// What PostgreSQL answers to COMMIT in a failed transaction.
pub(super) fn says_rollback(hearing: &Hearing) -> bool {
    hearing.held.windows(9).any(|part| part == b"ROLLBACK\0")
}

impl Session {
    /// Ends the transaction that was ours.
    pub(super) async fn commit_internal(&mut self) -> Result<Option<Vec<u8>>, End> {
        let mut bytes = Vec::with_capacity(16);
        frontend::query(&mut bytes, b"COMMIT");
        let servers = self.links.which(Link::in_transaction);
        (self.fan().internal, self.fan().snapshot) = (false, false);
        if servers == 0 {
            // The client's COMMIT has ended it.
            return Ok(None);
        }
        for id in (0..self.links.len()).filter(|id| servers & bit(*id) != 0) {
            self.prepared.lose_unnamed(id);
        }
        match self.commit(servers, &bytes, Until::Ready).await? {
            Committed::Yes(_) => Ok(None),
            Committed::No(hearing) => Ok(Some(hearing.error)),
        }
    }

    /// Rolls the transaction back that was ours.
    pub(super) async fn end_internal(&mut self, sql: &str) -> Result<(), End> {
        let servers = self.links.which(Link::in_transaction);
        (self.fan().internal, self.fan().snapshot) = (false, false);
        self.run_on(servers, sql).await.map(drop)
    }

    /// Commits the open transaction on all of these servers, by the client's own
    /// message or one of ours. Where other modes of commit go: whatever way it
    /// is done, afterwards it is committed on all servers that are in use, or on
    /// none.
    pub(super) async fn commit(
        &mut self,
        servers: Servers,
        message: &[u8],
        until: Until,
    ) -> Result<Committed, End> {
        self.fan().snapshot = false;
        let decisions = self.worker.proxy.decisions.get().cloned();
        if let Some(decisions) = decisions.filter(|_| self.fan().wrote) {
            return self.commit_two_phase(&decisions, servers, message, until).await;
        }
        let _passing = self.worker.proxy.commit_gate.pass().await;
        self.commit_ordered(servers, message, until).await
    }

    async fn commit_ordered(
        &mut self,
        servers: Servers,
        message: &[u8],
        until: Until,
    ) -> Result<Committed, End> {
        let main = bit(main_of(servers));
        let others = servers & !main;
        let fan = self.fan();
        // Nothing becomes visible: the order does not matter. Of serializable
        // transactions the main server alone decides which can commit.
        let (first, last) = match (fan.wrote, fan.serializable) {
            (false, _) => (servers, 0),
            (true, true) => (main, others),
            (true, false) if others == 0 => (main, 0),
            (true, false) => (others, main),
        };
        let mut answers = self.tell_quietly(first, message, until);
        self.hear(&mut answers).await?;
        let committed = which(&answers, has_committed);
        if committed == 0
            && let Some(refused) = take(&mut answers, |hearing| !hearing.is_lost())
        {
            self.roll_back().await?;
            return Ok(Committed::No(refused));
        }
        if committed != 0 {
            self.leave_uncommitted(&answers).await;
        }
        let last = last & self.links.which(|_| true);
        if last != 0 {
            // Some have committed: nothing stops the rest.
            self.fan().committing = if committed == 0 { 0 } else { last };
            let mut rest = self.tell_quietly(last, message, until);
            self.hear(&mut rest).await?;
            self.fan().committing = 0;
            match which(&rest, has_committed) | committed {
                // All of the others were lost before.
                0 => {}
                _ => self.leave_uncommitted(&rest).await,
            }
            answers.append(&mut rest);
        }
        answers.sort_by_key(|(id, _)| *id);
        let spoken = take(&mut answers, has_committed).map(Committed::Yes);
        match spoken.or_else(|| take(&mut answers, |hearing| !hearing.is_lost()).map(Committed::No)) {
            Some(committed) => Ok(committed),
            None => Err(End::Fatal(super::nobody())),
        }
    }

    /// Nobody speaks to the client yet: who will is known at the end.
    fn tell_quietly(&mut self, servers: Servers, message: &[u8], until: Until) -> Answers {
        let mut answers = self.tell_all(servers, false, message, until);
        for (_, hearing) in &mut answers {
            hearing.keeps_all();
        }
        answers
    }

    /// Others have committed: who has not differs from them.
    async fn leave_uncommitted(&mut self, answers: &Answers) {
        for (id, hearing) in
            answers.iter().filter(|(_, hearing)| !hearing.is_lost() && !has_committed(hearing))
        {
            let why =
                format!("it could not commit what others have committed (SQLSTATE {})", hearing.sqlstate());
            if !self.worker.proxy.cluster.detach(*id, &why) {
                tracing::error!(backend = *id, "{why}: it differs from the others now");
            }
            self.give_up(*id).await;
            self.follow_main(*id);
        }
    }

    /// Nothing of the open transaction stays.
    pub(super) async fn roll_back(&mut self) -> Result<(), End> {
        let open = self.links.which(Link::in_transaction);
        self.run_on(open, "ROLLBACK").await.map(drop)
    }

    /// The session ends while its transaction is committed on some servers: on
    /// the others it has to be, too.
    pub(in super::super) async fn finish_commit(&mut self) {
        let Some(fan) = self.fanout.as_mut().filter(|fan| fan.committing != 0) else {
            return;
        };
        let left = fan.committing;
        // COMMIT was sent there: what is left is to wait for the answer.
        let ids = (0..self.links.len()).filter(|id| left & bit(*id) != 0);
        let mut answers: Answers = ids.map(|id| (id, Hearing::new(0, Until::Ready, false))).collect();
        let _ = self.hear(&mut answers).await;
        self.leave_uncommitted(&answers).await;
        self.fan().committing = 0;
    }
}

fn take(answers: &mut Answers, wanted: impl Fn(&Hearing) -> bool) -> Option<Hearing> {
    let at = answers.iter().position(|(_, hearing)| wanted(hearing))?;
    Some(answers.remove(at).1)
}

/// What the client is told when its transaction has failed.
pub(super) fn aborted() -> crate::protocol::PgError {
    crate::protocol::PgError::error(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

/// As a server says it.
pub(super) fn status_of(chained: bool) -> TransactionStatus {
    if chained { TransactionStatus::Open } else { TransactionStatus::Idle }
}
