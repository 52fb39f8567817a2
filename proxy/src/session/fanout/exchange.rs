//! Sending to several servers, and hearing what they answer.

use super::super::clock::Doing;
use super::super::link::{Servers, bit};
use super::super::links::LinkError;
use super::super::values::from_server;
use super::super::{End, Session};
use super::main_of;
use crate::fanout::{Hearing, State, Until};
use crate::protocol::backend::{parse_data_row, parse_parameter_status};
use crate::protocol::error::ErrorFields;
use crate::protocol::{Frame, HEADER_LEN, PgError, frontend};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Each server's answer.
pub(super) type Answers = Vec<(usize, Hearing)>;

/// Rows of texts.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// The servers of these answers for which `predicate` holds.
pub(super) fn which(answers: &Answers, predicate: impl Fn(&Hearing) -> bool) -> Servers {
    answers.iter().filter(|(_, hearing)| predicate(hearing)).fold(0, |all, (id, _)| all | bit(*id))
}

impl Session {
    /// Sends bytes to a server, behind so many cycles of ours.
    pub(super) fn tell(
        &mut self,
        id: usize,
        ours: usize,
        bytes: &[u8],
        until: Until,
        speaks: bool,
    ) -> Hearing {
        let unheard = self.links.get_mut(id).map_or(0, |link| std::mem::take(&mut link.unheard));
        let mut hearing = Hearing::new(unheard + ours, until, speaks);
        if until != Until::Ready {
            self.fan().open |= bit(id);
        }
        let Some(link) = self.links.get_mut(id) else {
            hearing.state = State::Lost;
            return hearing;
        };
        link.under_way = true;
        if let Err(error) = link.send(bytes) {
            self.miss(id, &mut hearing, &error.to_string());
        }
        hearing
    }

    /// Sends the client's messages to several servers, behind a BEGIN of ours if
    /// it `begins`; the main one of them speaks to the client.
    pub(super) fn tell_all(&mut self, servers: Servers, begins: bool, bytes: &[u8], until: Until) -> Answers {
        let main = main_of(servers);
        let ids = (0..self.links.len()).filter(|id| servers & bit(*id) != 0);
        ids.map(|id| (id, self.tell_behind(id, begins, bytes, until, id == main))).collect()
    }

    fn tell_behind(&mut self, id: usize, begins: bool, bytes: &[u8], until: Until, speaks: bool) -> Hearing {
        let mut ours = 0;
        let at = self.fan().prepare.iter().position(|(server, _)| *server == id);
        let prepare = at.map(|at| self.fan().prepare.swap_remove(at).1);
        if let Some(link) = self.links.get_mut(id) {
            if begins {
                frontend::query(link.push(), b"BEGIN");
                ours += 1;
            }
            if let Some(prepare) = prepare {
                link.push().extend_from_slice(&prepare);
                frontend::sync(link.push());
                ours += 1;
            }
        }
        if begins {
            self.prepared.lose_unnamed(id);
        }
        self.tell(id, ours, bytes, until, speaks)
    }

    /// A statement of ours that need not be waited for: what is sent next is
    /// answered behind it.
    pub(super) fn tell_ahead(&mut self, id: usize, sql: &str) {
        self.prepared.lose_unnamed(id);
        if let Some(link) = self.links.get_mut(id) {
            link.under_way = true;
            link.unheard += 1;
            let mut bytes = Vec::with_capacity(sql.len() + 6);
            frontend::query(&mut bytes, sql.as_bytes());
            // An error shows when it is heard.
            let _ = link.send(&bytes);
        }
    }

    /// Hears what nothing was sent behind.
    pub(super) async fn hear_ahead(&mut self) -> Result<(), End> {
        if self.links.which(|link| link.unheard > 0) == 0 {
            return Ok(());
        }
        let unheard = self.links.iter_mut().filter(|(_, link)| link.unheard > 0);
        let mut answers: Answers = unheard
            .map(|(id, link)| {
                let ahead = std::mem::take(&mut link.unheard) - 1;
                (id, Hearing::new(ahead, Until::Ready, false))
            })
            .collect();
        self.hear(&mut answers).await
    }

    /// A statement of ours on some servers, in all of which it must succeed or
    /// matter to nobody. A cycle that the client has open there ends before it.
    pub(super) async fn run_on(&mut self, servers: Servers, sql: &str) -> Result<Answers, End> {
        let mut bytes = Vec::with_capacity(sql.len() + 6);
        frontend::query(&mut bytes, sql.as_bytes());
        let mut answers = Answers::new();
        for id in (0..self.links.len()).filter(|id| servers & bit(*id) != 0) {
            let open = self.fan().open & bit(id) != 0;
            self.fan().open &= !bit(id);
            if open && let Some(link) = self.links.get_mut(id) {
                frontend::sync(link.push());
            }
            self.prepared.lose_unnamed(id);
            answers.push((id, self.tell(id, usize::from(open), &bytes, Until::Ready, false)));
        }
        if !answers.is_empty() {
            self.hear(&mut answers).await?;
        }
        Ok(answers)
    }

    /// Ends the cycle of the extended protocol on all servers that are in it.
    pub(super) async fn sync_open(&mut self) -> Result<(), End> {
        let open = self.fan().open;
        let mut bytes = Vec::with_capacity(5);
        frontend::sync(&mut bytes);
        let mut answers = Answers::new();
        for id in (0..self.links.len()).filter(|id| open & bit(*id) != 0) {
            answers.push((id, self.tell(id, 0, &bytes, Until::Ready, false)));
        }
        if answers.is_empty() { Ok(()) } else { self.hear(&mut answers).await }
    }

    /// Waits until all have answered, or are lost.
    pub(super) async fn hear(&mut self, answers: &mut Answers) -> Result<(), End> {
        self.hear_until(answers, None).await.map(drop)
    }

    /// The same, for so long at most; whether all have answered.
    pub(super) async fn hear_until(
        &mut self,
        answers: &mut Answers,
        limit: Option<Duration>,
    ) -> Result<bool, End> {
        self.clock.note(Doing::Query, &self.worker.clocks);
        self.cancel.set_running(which(answers, |hearing| !hearing.is_done()));
        let heard = poll_fn(|cx| self.poll_answers(answers, cx));
        let in_time = match limit {
            None => heard.await.map(|()| true)?,
            Some(limit) => match tokio::time::timeout(limit, heard).await {
                Ok(heard) => heard.map(|()| true)?,
                Err(_) => false,
            },
        };
        if self.fan().committing == 0
            && let Some(exceeded) = self.clock.exceeded()
        {
            self.worker.proxy.cancels.cancel(self.cancel.pid, self.cancel.key()).await;
            return Err(End::Fatal(exceeded.error()));
        }
        if in_time {
            self.settle_losses(answers).await?;
        }
        Ok(in_time)
    }

    fn poll_answers(&mut self, answers: &mut Answers, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let committing = self.fan().committing != 0;
        if self.clock.is_exceeded(cx) && !committing {
            return Poll::Ready(Ok(()));
        }
        loop {
            let flushed = self.poll_flush_client(cx);
            if !committing {
                flushed?;
            }
            let mut done = true;
            for (id, hearing) in answers.iter_mut() {
                self.poll_hearing(*id, hearing, cx)?;
                done &= hearing.is_done();
            }
            if done {
                return Poll::Ready(Ok(()));
            }
            // What was said to the client without this task's waker, see `relay`.
            if self.client.outbox.is_empty() || committing || !self.poll_flush_client(cx)? {
                return Poll::Pending;
            }
        }
    }

    pub(super) fn poll_hearing(
        &mut self,
        id: usize,
        hearing: &mut Hearing,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        while !hearing.is_done() {
            let slow_client = !self.client.outbox.is_empty() && self.fan().committing == 0;
            let Some(link) = self.links.get_mut(id) else {
                hearing.state = State::Lost;
                return Ok(());
            };
            if !link.conn.outbox.is_empty()
                && let Poll::Ready(Err(error)) = link.poll_flush(cx)
            {
                self.miss(id, hearing, &error.to_string());
                return Ok(());
            }
            if slow_client {
                return Ok(());
            }
            // What has come with the end of the last answer lies there already.
            let before = link.conn.inbox.len();
            self.hear_link(id, hearing)?;
            if hearing.is_done() {
                return Ok(());
            }
            let Some(link) = self.links.get_mut(id) else {
                continue;
            };
            if link.conn.inbox.len() != before {
                continue;
            }
            match link.conn.inbox.poll_fill(cx, &mut link.conn.stream) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => self.miss(id, hearing, "the server closed the connection"),
                Poll::Ready(Ok(_)) => self.hear_link(id, hearing)?,
                Poll::Ready(Err(error)) => self.miss(id, hearing, &error.to_string()),
            }
        }
        Ok(())
    }

    /// Hears what lies in a server's inbox.
    fn hear_link(&mut self, id: usize, hearing: &mut Hearing) -> Result<(), End> {
        let Some(link) = self.links.get_mut(id) else {
            return Ok(());
        };
        let heard = match hearing.hear(link.conn.inbox.bytes()) {
            Ok(heard) => heard,
            Err(error) => {
                self.miss(id, hearing, &format!("protocol violation: {error}"));
                return Ok(());
            }
        };
        link.conn.inbox.consume(heard.consumed);
        if let Some(len) = heard.wants {
            link.conn.inbox.reserve(len);
        }
        if let Some(status) = hearing.before.take() {
            link.conn.status = status;
        }
        if let Some(status) = hearing.status() {
            link.conn.status = status;
            link.under_way = false;
            self.fan().open &= !bit(id);
        }
        for body in std::mem::take(&mut hearing.parameters) {
            self.on_parameter(id, &body);
        }
        if hearing.out.is_empty() {
            return Ok(());
        }
        let sent = self.client.send(&hearing.out);
        hearing.out.clear();
        match self.fan().committing {
            0 => sent.map_err(|_| End::Client),
            _ => Ok(()),
        }
    }

    fn on_parameter(&mut self, id: usize, body: &[u8]) {
        if let Some(("application_name", name)) = parse_parameter_status(body) {
            self.member.set_application_name(name);
        }
        if let Some(link) = self.links.get_mut(id) {
            link.conn.note_parameter(body);
        }
    }

    /// A server's connection is gone.
    fn miss(&mut self, id: usize, hearing: &mut Hearing, why: &str) {
        // Its last words say more.
        let said = ErrorFields::parse(hearing.error.get(HEADER_LEN..).unwrap_or_default());
        let why = if said.ends_connection() { said.message } else { why };
        tracing::warn!(backend = id, "connection lost: {why}");
        hearing.state = State::Lost;
        self.fan().missing =
            Some(PgError::fatal("08006", format!("the connection to backend {id} was lost: {why}")));
        self.fan().open &= !bit(id);
        if let Some(link) = self.links.take(id) {
            self.member.gave_up(link.conn.meter.server.id);
        }
        self.prepared.forget_server(id);
        self.cancel.forget(id);
    }

    /// Servers that were lost are detached, and the others go on. One that only
    /// ended this connection ends the session; nothing is committed then.
    async fn settle_losses(&mut self, answers: &Answers) -> Result<(), End> {
        let Some(error) = self.fan().missing.take() else {
            return Ok(());
        };
        let lost = answers.iter().filter(|(_, hearing)| hearing.is_lost());
        for (id, hearing) in lost {
            let cluster = self.worker.proxy.cluster.clone();
            let terminated = hearing.sqlstate() == "57P01" && self.fan().committing == 0;
            if terminated && !cluster.backends[*id].is_detached() && self.is_reachable(*id).await {
                return Err(End::Fatal(PgError::fatal("57P01", error.message)));
            }
            cluster.report_failure(*id, &error.message);
            if !cluster.detach(*id, &error.message) {
                return Err(End::Fatal(error.with_detail(
                    "Whether the statement or transaction under way took effect is not known.",
                )));
            }
            self.follow_main(*id);
        }
        Ok(())
    }

    async fn is_reachable(&self, id: usize) -> bool {
        let Some(pool) = self.worker.proxy.pools.get(id) else {
            return false;
        };
        let limit = self.worker.proxy.config().connect_timeout;
        let connect = pool.connect(&self.identity, &self.credentials);
        matches!(tokio::time::timeout(limit, connect).await, Ok(Ok(_)))
    }

    /// The others may take as long as the main server did, and so much more: then
    /// they wait for each other, and what they do is cancelled.
    pub(super) async fn hear_others(&mut self, answers: &mut Answers, began: Instant) -> Result<(), End> {
        let limit = self.worker.proxy.config().replication_deadlock_timeout;
        let limit = limit.map(|limit| limit + began.elapsed());
        if self.hear_until(answers, limit).await? {
            return Ok(());
        }
        self.cancel.set_running(which(answers, |hearing| !hearing.is_done()));
        self.worker.proxy.cancels.cancel(self.cancel.pid, self.cancel.key()).await;
        self.fan().deadlock = true;
        self.hear(answers).await
    }

    /// Asks the main server something, unseen, in whatever transaction is open;
    /// its rows as texts. An error is the caller's, and fails that transaction.
    pub(super) async fn ask_main(&mut self, servers: Servers, sql: &str) -> Result<Rows, LinkError> {
        self.ask(bit(main_of(servers)), sql).await
    }

    /// The same on all of these servers; the main server's rows.
    pub(in super::super) async fn ask(&mut self, servers: Servers, sql: &str) -> Result<Rows, LinkError> {
        let answers = self.ask_each(servers, sql).await?;
        answers.into_iter().next().map(|(_, rows)| rows).ok_or_else(|| LinkError::Statement(super::nobody()))
    }

    /// The same, and what each has said that is not lost meanwhile. An error of any
    /// is the caller's.
    pub(super) async fn ask_each(
        &mut self,
        servers: Servers,
        sql: &str,
    ) -> Result<Vec<(usize, Rows)>, LinkError> {
        let mut bytes = Vec::with_capacity(sql.len() + 6);
        frontend::query(&mut bytes, sql.as_bytes());
        let mut answers = self.tell_all(servers, false, &bytes, Until::Ready);
        self.hear_rows(&mut answers).await?;
        answers.retain(|(_, hearing)| !hearing.is_lost());
        let failed = answers.iter().find_map(|(_, hearing)| error_of(hearing));
        match failed {
            Some(error) => Err(LinkError::Statement(error)),
            None => Ok(answers.into_iter().map(|(id, hearing)| (id, rows(&hearing.held))).collect()),
        }
    }

    /// Hears what is for us alone.
    pub(super) async fn hear_rows(&mut self, answers: &mut Answers) -> Result<(), End> {
        for (id, hearing) in answers.iter_mut() {
            hearing.keeps_all();
            self.prepared.lose_unnamed(*id);
        }
        self.hear(answers).await
    }
}

/// What a server has refused something with.
pub(super) fn error_of(hearing: &Hearing) -> Option<PgError> {
    let fields = ErrorFields::parse(hearing.error.get(HEADER_LEN..).unwrap_or_default());
    hearing.has_failed().then(|| from_server(&fields))
}

/// The rows among these messages.
pub(super) fn rows(mut bytes: &[u8]) -> Rows {
    let mut rows = Rows::new();
    while let Ok(Some(frame)) = Frame::from_server(bytes)
        && let Some(body) = bytes.get(HEADER_LEN..frame.len)
    {
        if frame.tag == b'D' {
            rows.extend(parse_data_row(body));
        }
        bytes = &bytes[frame.len..];
    }
    rows
}
