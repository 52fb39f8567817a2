//! One unit on all servers: who gets it when, and what the client is told.

use super::super::link::{Servers, bit};
use super::super::{End, Session};
use super::exchange::{Answers, which};
use super::main_of;
use super::plan::{Order, Plan};
use crate::fanout::judge::{Difference, judge};
use crate::fanout::{Hearing, Mark, State, Until};
use crate::protocol::backend::{TransactionStatus, ready_for_query};
use crate::protocol::{HEADER_LEN, PgError};
use std::time::Instant;

/// What is sent, and how its answer ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit<'a> {
    pub bytes: &'a [u8],
    pub until: Until,
    /// The statement, for people.
    pub text: &'a str,
    /// See [`Hearing::shows_parameters`].
    pub keeps: &'a [Option<usize>],
}

impl<'a> Unit<'a> {
    pub(super) fn new(bytes: &'a [u8], until: Until, text: &'a str) -> Self {
        Unit { bytes, until, text, keeps: &[] }
    }
}

/// What the servers have made of a unit.
#[derive(Debug)]
pub(super) struct Result {
    /// The last of the answer, which the client has not got yet.
    pub last: Vec<u8>,
    /// The transaction, as the client is to hear of it; of a unit that does not
    /// end with ReadyForQuery, whether it failed.
    pub status: TransactionStatus,
    pub failed: bool,
    /// It has come to its ReadyForQuery.
    pub ended: bool,
    /// So many Parse messages were good, on each server.
    pub parsed: Vec<(usize, usize)>,
}

impl Result {
    /// A unit that came to its end, of the simple protocol or with a Sync.
    pub(super) fn ended(last: Vec<u8>, status: TransactionStatus, failed: bool) -> Self {
        Result { last, status, failed, ended: true, parsed: Vec::new() }
    }

    fn with(self, parsed: Vec<(usize, usize)>) -> Self {
        Result { parsed, ..self }
    }
}

/// The server cannot run it inside a transaction, or not in one of ours.
fn needs_no_transaction(hearing: &Hearing) -> bool {
    matches!(hearing.sqlstate(), "25001" | "2D000")
}

/// Other servers need not fail with this.
fn is_of_the_moment(hearing: &Hearing) -> bool {
    matches!(hearing.sqlstate(), "40001" | "40P01" | "55P03" | "57014")
}

impl Session {
    /// Runs a unit where it belongs. A server that is lost meanwhile is left
    /// out, and the next one becomes the main one.
    pub(super) async fn run_unit(
        &mut self,
        unit: Unit<'_>,
        plan: Plan,
        servers: Servers,
    ) -> std::result::Result<Result, End> {
        let mut servers = servers;
        let mut plan = plan;
        let _inside = match plan.order {
            Order::Finish => Some(self.worker.proxy.commit_gate.pass().await),
            _ => None,
        };
        loop {
            let begins = plan.internal && !self.fan().internal;
            let fresh = std::mem::take(&mut self.fan().fresh);
            let main = main_of(servers);
            let ran = match plan.order {
                Order::AtOnce => self.at_once(unit, begins, plan, servers).await?,
                _ => self.main_first(unit, begins, plan, servers).await?,
            };
            servers &= self.links.which(|_| true);
            if servers == 0 {
                return Err(End::Fatal(super::nobody()));
            }
            self.fan().internal |= begins && ran.iter().any(|(_, hearing)| !hearing.is_lost());
            let Some((_, first)) = ran.iter().find(|(id, hearing)| *id == main && !hearing.is_lost()) else {
                if ran.iter().any(|(id, hearing)| *id == main && (hearing.said || !hearing.marks.is_empty()))
                {
                    return Err(End::Fatal(PgError::fatal(
                        "08006",
                        "the main server was lost in the middle of its answer",
                    )));
                }
                if plan.order == Order::AtOnce && !plan.changes_session {
                    return Err(End::Fatal(PgError::fatal(
                        "08006",
                        "the main server was lost before its answer",
                    )));
                }
                if plan.order == Order::AtOnce {
                    // The others have answered already.
                    return self.conclude(unit, plan, ran).await;
                }
                // It was alone with the statement.
                continue;
            };
            if (begins || fresh) && needs_no_transaction(first) && first.completed() == 0 {
                self.end_internal("ROLLBACK").await?;
                plan.internal = false;
                tracing::debug!("runs outside of a transaction: {}", unit.text);
                continue;
            }
            return self.conclude(unit, plan, ran).await;
        }
    }

    async fn at_once(
        &mut self,
        unit: Unit<'_>,
        begins: bool,
        plan: Plan,
        servers: Servers,
    ) -> std::result::Result<Answers, End> {
        let mut answers = self.tell_unit(servers, begins, unit);
        if plan.changes_session {
            // Short: another one can speak if the main server is lost.
            answers.iter_mut().skip(1).for_each(|(_, hearing)| hearing.keeps_all());
        }
        self.hear(&mut answers).await?;
        Ok(answers)
    }

    async fn main_first(
        &mut self,
        unit: Unit<'_>,
        begins: bool,
        plan: Plan,
        servers: Servers,
    ) -> std::result::Result<Answers, End> {
        let (main, began) = (main_of(servers), Instant::now());
        let mut answers = self.tell_unit(bit(main), begins, unit);
        self.hear(&mut answers).await?;
        let others = servers & !bit(main);
        let follow = match answers.first() {
            Some((_, first)) if first.is_lost() => false,
            // What stands before the mistake must be done on the others as well.
            Some((_, first)) if first.has_failed() => {
                let lasts = !self.is_ours(begins);
                plan.several && lasts && first.completed() > 0 && !is_of_the_moment(first)
            }
            _ => true,
        };
        if follow && others != 0 {
            let mut answered = self.tell_unit(others, begins, unit);
            for (_, hearing) in &mut answered {
                hearing.listens();
            }
            self.hear_others(&mut answered, began).await?;
            answers.append(&mut answered);
        }
        // What they were to evaluate they have.
        self.hear_ahead().await?;
        Ok(answers)
    }

    fn tell_unit(&mut self, servers: Servers, begins: bool, unit: Unit<'_>) -> Answers {
        let mut answers = self.tell_all(servers, begins, unit.bytes, unit.until);
        for (_, hearing) in &mut answers {
            hearing.shows_parameters(unit.keeps);
        }
        answers
    }

    /// The transaction is one of ours: what fails leaves nothing behind.
    fn is_ours(&mut self, begins: bool) -> bool {
        begins || self.fan().internal
    }

    /// All that were to answer have: compares, passes COPY data on, and ends a
    /// transaction of ours.
    async fn conclude(
        &mut self,
        unit: Unit<'_>,
        plan: Plan,
        answers: Answers,
    ) -> std::result::Result<Result, End> {
        let mut answers = answers;
        loop {
            answers.retain(|(id, hearing)| !hearing.is_lost() && self.links.get(*id).is_some());
            let copies = which(&answers, |hearing| hearing.state == State::CopyIn);
            if copies == 0 {
                break;
            }
            self.copy_in(&mut answers, unit.until).await?;
        }
        self.fan().wrote |= plan.writes;
        let parsed: Vec<_> = answers.iter().map(|(id, hearing)| (*id, hearing.parsed)).collect();
        let heard: Vec<_> = answers.iter().map(|(id, hearing)| (*id, hearing)).collect();
        // In a failed transaction not every server has to have failed.
        let judged = judge(&heard, !self.has_failed());
        self.fan().deadlock &= judged.difference.is_some();
        if let Some(difference) = judged.difference {
            let detaches = match difference {
                Difference::Rows => self.worker.proxy.config().failover_if_affected_tuples_mismatch,
                Difference::Kind => self.worker.proxy.config().replication_stop_on_mismatch,
            };
            if !detaches || !self.detach_differing(&judged.minority, unit.text).await {
                let result = self.differs(unit, plan, difference, answers).await?;
                return Ok(result.with(parsed));
            }
            answers.retain(|(id, _)| self.links.get(*id).is_some());
        }
        let Some((_, speaker)) = answers.into_iter().next() else {
            return Err(End::Fatal(super::nobody()));
        };
        let failed = speaker.has_failed();
        self.watch_marks(&speaker.marks);
        let status = match speaker.status() {
            Some(status) => status,
            None if failed => TransactionStatus::Failed,
            None => TransactionStatus::Open,
        };
        let ended = speaker.status().is_some();
        if !ended || !self.fan().internal || (plan.stays && !failed) {
            let status = self.with_outer(status, failed);
            return Ok(Result { last: speaker.held, status, failed, ended, parsed });
        }
        let idle = TransactionStatus::Idle;
        if failed {
            self.end_internal("ROLLBACK").await?;
            return Ok(Result::ended(speaker.held, idle, true).with(parsed));
        }
        Ok(match self.commit_internal().await? {
            None => Result::ended(speaker.held, idle, false),
            Some(error) => Result::ended(error, idle, true),
        }
        .with(parsed))
    }

    /// Tells observers of the commands.
    pub(super) fn watch_marks(&mut self, marks: &[Mark]) {
        for mark in marks {
            match mark {
                Mark::Complete { rows, .. } => self.watched_complete(rows.unwrap_or_default()),
                Mark::Error { sqlstate } => self.watched_failed(&String::from_utf8_lossy(sqlstate)),
                _ => {}
            }
        }
    }

    /// Where only the main server failed, the transaction is open on the others:
    /// to the client it has failed.
    fn with_outer(&self, status: TransactionStatus, failed: bool) -> TransactionStatus {
        match (self.transaction.status, failed) {
            (TransactionStatus::Idle, _) | (_, false) => status,
            _ if status == TransactionStatus::Open => TransactionStatus::Failed,
            _ => status,
        }
    }

    /// `false`: one of them has to stay.
    async fn detach_differing(&mut self, minority: &[usize], text: &str) -> bool {
        for id in minority {
            let why = format!("its answer differs from the other servers': {text}");
            if !self.worker.proxy.cluster.detach(*id, &why) {
                return false;
            }
            self.give_up(*id).await;
            self.follow_main(*id);
        }
        true
    }

    /// The servers differ, and none of them is detached for it: nothing of the
    /// transaction stays on any of them.
    async fn differs(
        &mut self,
        unit: Unit<'_>,
        plan: Plan,
        difference: Difference,
        answers: Answers,
    ) -> std::result::Result<Result, End> {
        let frame = match std::mem::take(&mut self.fan().deadlock) {
            true => deadlock(),
            false => mismatch(unit, difference, &answers),
        };
        tracing::warn!("servers differ about: {}", unit.text);
        let ended = unit.until == Until::Ready && self.fan().open == 0;
        if ended && self.fan().internal {
            self.end_internal("ROLLBACK").await?;
            return Ok(Result::ended(frame, TransactionStatus::Idle, true));
        }
        if !ended || self.transaction.status != TransactionStatus::Idle {
            return Ok(Result { ended, ..Result::ended(frame, TransactionStatus::Failed, true) });
        }
        if plan.changes_session {
            let why = mismatch_error(unit, difference);
            return Err(End::Fatal(PgError { severity: crate::protocol::Severity::Fatal, ..why }));
        }
        let open = self.links.which(super::super::link::Link::in_transaction);
        self.run_on(open, "ROLLBACK").await?;
        Ok(Result::ended(frame, TransactionStatus::Idle, true))
    }

    /// Tells the client of the end of a Query, or of a cycle, and takes note.
    pub(super) fn finish_unit(&mut self, main: usize, result: Result) -> std::result::Result<(), End> {
        let Result { mut last, status, failed, .. } = result;
        ready_for_query(&mut last, status);
        self.fan().open = 0;
        self.lead = main;
        self.transaction.failed |= failed;
        if status == TransactionStatus::Idle {
            let fan = self.fan();
            (fan.internal, fan.wrote, fan.serializable, fan.snapshot) = (false, false, false, false);
        }
        self.answered += 1;
        let received = self.client.inbox.take_read();
        if let Some(link) = self.links.get_mut(main) {
            let sent = link.conn.inbox.take_read();
            link.conn.meter.answered(status, false, received, sent);
        }
        self.clock.answered(status == TransactionStatus::Idle, &self.worker.clocks);
        self.watched_ready(self.answered);
        self.cancel.set_running(0);
        self.copying = false;
        self.on_ready(status)?;
        self.answer(&last)
    }
}

/// The client's error about servers that differ, as a frame.
fn mismatch(unit: Unit<'_>, difference: Difference, answers: &Answers) -> Vec<u8> {
    // An error of one of them says more: a deadlock, a lock timeout.
    let failing = answers.iter().find(|(_, hearing)| hearing.has_failed());
    if let (Difference::Kind, Some((id, hearing))) = (difference, failing) {
        tracing::warn!(backend = id, sqlstate = hearing.sqlstate(), "failed here, and not on every server");
        debug_assert!(hearing.error.len() > HEADER_LEN);
        return hearing.error.clone();
    }
    let mut frame = Vec::new();
    mismatch_error(unit, difference).write(&mut frame);
    frame
}

fn deadlock() -> Vec<u8> {
    let mut frame = Vec::new();
    PgError::error("40P01", "deadlock detected")
        .with_detail("Other servers took replication_deadlock_timeout longer than the main server did.")
        .with_hint("Sessions wait for each other on different servers: send the transaction again.")
        .write(&mut frame);
    frame
}

fn mismatch_error(unit: Unit<'_>, difference: Difference) -> PgError {
    let error = match difference {
        Difference::Rows => PgError::error(
            "XX001",
            format!(
                "pgpool detected difference of the number of inserted, updated or deleted tuples. \
                 Possible last query was: \"{}\"",
                unit.text
            ),
        ),
        Difference::Kind => PgError::error(
            "XX001",
            format!("kind mismatch among backends. Possible last query was: \"{}\"", unit.text),
        ),
    };
    error.with_hint("check data consistency between main and other db node")
}
