//! The simple protocol: Query, and FunctionCall.

use super::link::{Servers, bit};
use super::links::{Destination, LinkError, REPEATED};
use super::{End, Session, Step};
use crate::admin::{route, show};
use crate::plugin::contract::{Effects, Kind, Servers as Wanted, Verdict};
use crate::protocol::backend::{TransactionStatus, ready_for_query, text_result};
use crate::protocol::sql::identifier;
use crate::protocol::{Frame, HEADER_LEN, PgError, frontend};
use crate::routing::{self, CLASSIFY_LIMIT, Classified, Explained, REPEATED_LIMIT, Sent, SessionState};
use crate::wal;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Session {
    pub(super) async fn on_query(&mut self, frame: Frame) -> Result<Step, End> {
        if self.is_busy() && !self.joins_cycle() {
            return self.block();
        }
        let long = frame.len > self.classify_limit();
        if (!long || self.fans_out()) && !self.is_whole(frame) {
            return Ok(Step::Wait);
        }
        self.cycle.clear();
        self.follow_plugins();
        if !long
            && let Some(command) =
                show::Command::read(frontend::query_text(self.body(frame)).unwrap_or_default())
        {
            self.end_joined().await?;
            let answered = self.answer_show(command, frame).await;
            return self.handled(frame, answered).await;
        }
        if !long && let Err(error) = self.look_up_query(frame).await {
            return self.handled(frame, Err(error)).await;
        }
        let classified = if long { self.too_long() } else { self.classify_query(frame).await };
        let run = self.run_query(frame, classified).await;
        self.handled(frame, run).await
    }

    /// See [`Session::look_up_here`].
    async fn look_up_query(&mut self, frame: Frame) -> Result<(), LinkError> {
        if !self.has_own_catalog() {
            return Ok(());
        }
        let text = frontend::query_text(self.body(frame)).unwrap_or_default().to_owned();
        Box::pin(self.look_up_here(&text)).await
    }

    /// Plugins look at no longer messages.
    pub(super) fn classify_limit(&self) -> usize {
        if self.fans_out() { REPEATED_LIMIT } else { CLASSIFY_LIMIT }
    }

    pub(super) fn too_long(&self) -> Result<Rc<Classified>, PgError> {
        let why = if self.fans_out() { "longer than 4 MiB" } else { "longer than 256 KiB" };
        Classified::unseen(&self.scope, why)
    }

    /// A Query, or FunctionCall, is handled, or refused with an error of ours.
    async fn handled(&mut self, frame: Frame, result: Result<(), LinkError>) -> Result<Step, End> {
        match result {
            Ok(()) => Ok(Step::Next),
            Err(LinkError::End(end)) => Err(end),
            Err(LinkError::Statement(error)) => {
                self.end_joined().await?;
                self.refuse(frame, &error)
            }
        }
    }

    /// What is answered here is no part of the cycle that it stands in.
    async fn end_joined(&mut self) -> Result<(), End> {
        if self.joins_cycle() { self.sync_early().await } else { Ok(()) }
    }

    /// Answers a Query, or FunctionCall, with an error of ours. The rest of a
    /// long one is read and dropped.
    fn refuse(&mut self, frame: Frame, error: &PgError) -> Result<Step, End> {
        let mut out = Vec::with_capacity(256);
        error.write(&mut out);
        ready_for_query(&mut out, self.transaction.status);
        self.answer(&out)?;
        let here = frame.len.min(self.client.inbox.len());
        self.passing = frame.len - here;
        if self.passing > 0 {
            self.lead = usize::MAX;
        }
        self.client.inbox.consume(here);
        Ok(Step::Next)
    }

    async fn classify_query(&mut self, frame: Frame) -> Result<Rc<Classified>, PgError> {
        let body = &self.client.inbox.bytes()[HEADER_LEN..frame.len];
        let text =
            frontend::query_text(body).ok_or_else(|| PgError::error("08P01", "invalid string in message"))?;
        let found = self.worker.router.borrow_mut().lookup(text, &self.scope);
        match found {
            Some(found) => Ok(found),
            None => Box::pin(routing::classify(&self.worker.router, text, &self.scope)).await,
        }
    }

    /// What an EXECUTE is, if the answer for its PREPARE holds no longer. The
    /// text stays the one that was prepared.
    pub(super) async fn classify_executed(&mut self, classified: &Classified) -> Result<(), LinkError> {
        let verdict = classified.verdict();
        if verdict.kind != Kind::Execute {
            return Ok(());
        }
        let name = verdict.name.as_deref().unwrap_or_default();
        let Some(statement) = self.prepared.sql.get(name) else {
            return Ok(());
        };
        if self.worker.router.borrow().holds(&statement.classified, &self.scope) {
            return Ok(());
        }
        let text = statement.text.clone();
        if self.has_own_catalog() {
            Box::pin(self.look_up_here(&text)).await?;
        }
        let found = self.worker.router.borrow_mut().lookup(&text, &self.scope);
        let again = match found {
            Some(found) => found,
            None => Box::pin(routing::classify(&self.worker.router, &text, &self.scope))
                .await
                .map_err(LinkError::Statement)?,
        };
        if let Sent::Refused(refusal) = &again.sent {
            return Err(LinkError::Statement(routing::refused(refusal)));
        }
        let Some(statement) = self.prepared.sql.get_mut(name) else {
            return Ok(());
        };
        if self.fanout.is_some() && statement.needs_more(&again) {
            let message =
                format!("prepared statement \"{name}\" needs other values than when it was prepared");
            let error = PgError::error("0A000", message)
                .with_detail("The table that it writes to has changed.")
                .with_hint("DEALLOCATE it, and PREPARE it again.");
            return Err(LinkError::Statement(error));
        }
        statement.classified = again;
        Ok(())
    }

    /// An EXECUTE is what its PREPARE was.
    pub(super) fn executed(&self, classified: Rc<Classified>) -> Rc<Classified> {
        if classified.verdict().kind != Kind::Execute {
            return classified;
        }
        if classified.verdict().effects.contains(Effects::WRITES) {
            // Its arguments may write.
            return classified;
        }
        let name = classified.verdict().name.as_deref().unwrap_or_default();
        if let Some(statement) = self.prepared.sql.get(name) {
            return statement.classified.clone();
        }
        match self.prepared.get(name.as_bytes()) {
            Some(statement) if !name.is_empty() => statement.classified.borrow().clone(),
            _ => classified,
        }
    }

    /// Asks the balancers.
    async fn route(&self, verdict: &Verdict) -> Result<(routing::Route, SessionState), PgError> {
        routing::route(&self.worker.router, &self.scope, verdict, self.state(), &self.words).await
    }

    async fn run_query(
        &mut self,
        frame: Frame,
        classified: Result<Rc<Classified>, PgError>,
    ) -> Result<(), LinkError> {
        let classified = classified.map_err(LinkError::Statement)?;
        let began = self.scope.chain.observed.then(Instant::now);
        let run = self.run_classified(frame, &classified, began).await;
        if let (Some(began), Err(LinkError::Statement(error))) = (began, &run) {
            self.watch_refused(began, classified.verdict(), error);
        }
        run
    }

    async fn run_classified(
        &mut self,
        frame: Frame,
        classified: &Rc<Classified>,
        began: Option<Instant>,
    ) -> Result<(), LinkError> {
        if let Sent::Refused(refusal) = &classified.sent {
            return Err(LinkError::Statement(routing::refused(refusal)));
        }
        self.check_mode(classified.verdict()).map_err(LinkError::Statement)?;
        self.classify_executed(classified).await?;
        let what = self.executed(classified.clone());
        let mark = self.words.mark();
        let route = self.route(what.verdict()).await;
        let (mut route, state) = route.map_err(LinkError::Statement)?;
        if self.goes_everywhere(what.verdict()) || self.has_failed() {
            let before = std::mem::replace(&mut self.state, state);
            let run = Box::pin(self.fan_out_query(frame, classified, &what, began)).await;
            return run.inspect_err(|_| {
                self.state = before;
                self.unroute(state, mark);
            });
        }
        let taken = self.snapshot_for_query(what.verdict()).await;
        taken.inspect_err(|_| self.unroute(state, mark))?;
        let joins = self.joins_cycle();
        if joins && let routing::Route::Read(_) = route {
            route = routing::Route::Primary;
        }
        let connected = self.connect_route(route, what.verdict().kind).await;
        let mut to = connected.inspect_err(|_| self.unroute(state, mark))?;
        let edited = self.edited_query(frame, classified, to).await;
        let edited = edited.inspect_err(|_| self.unroute(state, mark))?;
        let goes_on = self.transaction.status != TransactionStatus::Failed;
        if classified.verdict().kind == Kind::Deallocate && goes_on && !joins {
            match self.prepared_first(classified.verdict()) {
                Some(lead) => to = Destination { lead, others: 0 },
                None if classified.verdict().name.is_none() => {
                    to.others = self.links.which(|_| true) & !bit(to.lead);
                }
                None => {}
            }
            self.deallocate_elsewhere(classified.verdict(), to.lead);
        }
        self.state = state;
        if what.verdict().effects.contains(Effects::UNUSED_DATABASE) {
            self.worker.proxy.close_unused();
        }
        self.bring_prepared(classified, to.lead);
        if self.may_listen(what.verdict()) {
            self.bring_channels(to.lead);
        }
        self.watch_for_pins(what.verdict());
        self.count(&what, to.lead);
        if let Some(began) = began {
            self.watch_query(began, to.lead, what.verdict());
        }
        self.send_query(frame, edited, classified, to)?;
        Ok(())
    }

    /// The text as it is sent, if that is not as it came.
    pub(super) async fn edited_query(
        &mut self,
        frame: Frame,
        classified: &Classified,
        to: Destination,
    ) -> Result<Option<Vec<u8>>, LinkError> {
        if classified.sent == Sent::AsIs && self.executed_gaps(classified.verdict()).is_none() {
            return Ok(None);
        }
        self.end_joined().await?;
        let text = frontend::query_text(self.body(frame)).unwrap_or_default().to_owned();
        self.edited(&text, classified, to).await
    }

    fn send_query(
        &mut self,
        frame: Frame,
        edited: Option<Vec<u8>>,
        classified: &Rc<Classified>,
        to: Destination,
    ) -> Result<(), End> {
        let here = frame.len.min(self.client.inbox.len());
        if self.has_effects(classified) {
            let body = &self.client.inbox.bytes()[HEADER_LEN.min(here)..here];
            let text = edited.as_deref().or_else(|| frontend::query_text(body)).unwrap_or_default();
            let text: Box<[u8]> = text.into();
            self.note(classified, &text, bit(to.lead) | to.others);
            self.send_notices()?;
        }
        self.positions.wrote |= classified.verdict().effects.contains(Effects::WRITES);
        self.make_sticky(classified, to.lead);
        self.now_running(to.lead, to.others);
        self.tell_of_query(here, bit(to.lead) | to.others)?;
        self.retry.clear();
        for (_, link) in self.links.iter_mut().filter(|(id, _)| to.others & bit(*id) != 0) {
            if begins_for_primary(classified) {
                link.run_unseen("BEGIN");
                continue;
            }
            // Only short, whole messages go to several servers.
            match &edited {
                Some(edited) => frontend::query(link.push(), edited),
                None => link.push().extend_from_slice(&self.client.inbox.bytes()[..here]),
            }
            link.replies.query(false);
        }
        let Some(link) = self.links.get_mut(to.lead) else {
            return Ok(());
        };
        link.replies.query_or_join();
        if let Some(edited) = &edited {
            frontend::query(link.push(), edited);
        }
        self.passing = frame.len - here;
        self.remember_read(here, to.others, false);
        self.prepared.forget_unnamed();
        self.sent += 1;
        self.note_reading(classified);
        match edited {
            // It goes out when the session waits.
            Some(_) => self.client.inbox.consume(here),
            None => self.forward(here)?,
        }
        Ok(())
    }

    /// See [`per_node`](super::per_node).
    fn tell_of_query(&mut self, here: usize, servers: Servers) -> Result<(), End> {
        if !self.tells_nodes() {
            return Ok(());
        }
        let body = &self.client.inbox.bytes()[HEADER_LEN.min(here)..here];
        // Of a long one, or a function call, only so much is known here.
        let text = frontend::query_text(body).unwrap_or_default().to_owned();
        self.tell_nodes("", &text, servers)
    }

    /// Most statements leave nothing behind: those need no copy of their text.
    pub(super) fn has_effects(&self, classified: &Classified) -> bool {
        let verdict = classified.verdict();
        !matches!(verdict.kind, Kind::Select | Kind::Dml | Kind::Show | Kind::Empty)
            || verdict.effects.contains(Effects::SESSION_STATE)
    }

    /// Whether losing the primary's connection would lose something which
    /// cannot be rebuilt on a new one.
    pub(super) fn make_sticky(&mut self, classified: &Classified, lead: usize) {
        let verdict = classified.verdict();
        let rebuildable = match verdict.kind {
            Kind::Select => !verdict.effects.contains(Effects::WRITES),
            Kind::Dml | Kind::Show | Kind::Empty | Kind::CopyTo | Kind::Explain => true,
            Kind::Set | Kind::SetLocal | Kind::Reset | Kind::Discard => true,
            Kind::Begin | Kind::Commit | Kind::Rollback => true,
            Kind::Savepoint | Kind::Release | Kind::RollbackTo => true,
            Kind::Prepare | Kind::Execute | Kind::Deallocate => true,
            // Every server has it; but what it leaves in the session.
            Kind::Ddl | Kind::Lock | Kind::Cursor | Kind::PrepareTransaction | Kind::FinishPrepared => {
                self.fans_out() && !verdict.effects.contains(Effects::SESSION_STATE)
            }
            _ => false,
        };
        if !rebuildable && self.primary() == Some(lead) {
            self.sticky = true;
            self.note_listening(verdict.kind);
        }
    }

    /// A statement that a standby may refuse.
    pub(super) fn note_reading(&mut self, classified: &Rc<Classified>) {
        if self.primary() != Some(self.lead) {
            self.reading.push((self.sent, self.executed(classified.clone())));
        }
    }

    pub(super) fn count(&self, classified: &Classified, lead: usize) {
        let Some(backend) = self.worker.proxy.cluster.backends.get(lead) else {
            return;
        };
        let verdict = classified.verdict();
        let reads = verdict.kind == Kind::Select && !verdict.effects.contains(Effects::WRITES);
        let counter = if reads { &backend.counters.reads } else { &backend.counters.writes };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Prepares a statement where it is needed and is not yet: by SQL for
    /// EXECUTE and what embeds it.
    pub(super) fn bring_prepared(&mut self, classified: &Classified, lead: usize) {
        let verdict = classified.verdict();
        let needs_it = match verdict.kind {
            Kind::Execute | Kind::Explain | Kind::Ddl | Kind::Deallocate => true,
            // So that the server says that the name is taken.
            Kind::Prepare => self.sharing.is_on(),
            _ => false,
        };
        if !needs_it {
            return;
        }
        let Some(name) = verdict.name.as_deref() else {
            return;
        };
        match self.prepared.sql.contains_key(name) {
            true => self.bring_named(name, lead),
            false if matches!(verdict.kind, Kind::Deallocate | Kind::Prepare) => {
                self.stand_in(name, lead, verdict.kind == Kind::Prepare);
            }
            false => {}
        }
    }

    /// The same for a statement's name.
    pub(super) fn bring_named(&mut self, name: &str, lead: usize) {
        // No statement of ours fits into a cycle that has begun there.
        if self.joins_cycle() {
            return;
        }
        let Some(statement) = self.prepared.sql.get_mut(name) else {
            return;
        };
        if statement.on & bit(lead) == 0
            && let Some(link) = self.links.get_mut(lead)
        {
            link.run_unseen(&format!("{REPEATED}{}", String::from_utf8_lossy(&statement.text)));
            statement.on |= bit(lead);
        }
    }

    /// Where the statement is that a DEALLOCATE names: where its PREPARE went
    /// first, and all servers that have it.
    fn to_deallocate(&self, name: &str) -> Option<(usize, Servers)> {
        match (self.prepared.sql.get(name), self.prepared.get(name.as_bytes())) {
            (Some(statement), _) => Some((statement.first, statement.on)),
            (None, Some(statement)) if !name.is_empty() => {
                let on = statement.on.get();
                Some((on.trailing_zeros() as usize, on))
            }
            _ => None,
        }
    }

    /// The server which a DEALLOCATE is for.
    pub(super) fn prepared_first(&self, verdict: &Verdict) -> Option<usize> {
        let (server, _) = self.to_deallocate(deallocated(verdict)?)?;
        self.links.get(server).map(|_| server)
    }

    /// Has the other servers forget what a DEALLOCATE names.
    pub(super) fn deallocate_elsewhere(&mut self, verdict: &Verdict, lead: usize) {
        let Some(name) = deallocated(verdict) else {
            return;
        };
        let on = self.to_deallocate(name).map_or(0, |(_, on)| on);
        let statement = format!("{REPEATED}DEALLOCATE {}", identifier(name));
        for (_, link) in self.links.iter_mut().filter(|(id, _)| on & !bit(lead) & bit(*id) != 0) {
            link.run_unseen(&statement);
        }
    }

    /// A SHOW of ours: answered here.
    async fn answer_show(&mut self, command: show::Command, frame: Frame) -> Result<(), LinkError> {
        let mut out = Vec::with_capacity(1024);
        match command {
            show::Command::Pool(what) => {
                show::answer(what, &self.worker.proxy, self.state.home as usize, &mut out);
            }
            show::Command::LastCommit => {
                let position = wal::show(self.last_commit().await?);
                text_result(&mut out, &["waypool.last_commit"], &[vec![position]], "SHOW");
            }
            show::Command::Route(text) => {
                let facts = self.explain(&text).await.map_err(LinkError::Statement)?;
                let rows: Vec<_> =
                    facts.into_iter().map(|(item, value)| vec![item.to_owned(), value]).collect();
                text_result(&mut out, &route::COLUMNS, &rows, "SHOW");
            }
        }
        ready_for_query(&mut out, self.transaction.status);
        self.answer(&out)?;
        self.client.inbox.consume(frame.len);
        Ok(())
    }

    /// Where a statement would go now, and why.
    async fn explain(&self, text: &str) -> Result<route::Facts, PgError> {
        let router = &self.worker.router;
        let found = router.borrow_mut().lookup(text.as_bytes(), &self.scope);
        let classified = match found {
            Some(found) => found,
            None => routing::classify(router, text.as_bytes(), &self.scope).await?,
        };
        let what = self.executed(classified);
        // Whatever the balancer would remember of it is forgotten.
        let words = self.words.clone();
        let mut explained = router.borrow_mut().explain(&self.scope, what.verdict(), self.state(), &words)?;
        if let routing::Route::Read(id) = explained.route
            && !self.may_read(id)
        {
            let why = self.why_not(id).to_owned();
            explained = Explained { route: routing::Route::Primary, why, ..explained };
        }
        Ok(route::facts(&self.worker.proxy, &self.scope, &what, explained))
    }

    /// FunctionCall: like a statement that writes, as Pgpool-II has it.
    pub(super) async fn on_function_call(&mut self, frame: Frame) -> Result<Step, End> {
        if self.is_busy() && !self.joins_cycle() {
            return self.block();
        }
        if self.fans_out() && !self.is_whole(frame) {
            return Ok(Step::Wait);
        }
        self.cycle.clear();
        let run = self.run_function_call(frame).await;
        self.handled(frame, run).await
    }

    async fn run_function_call(&mut self, frame: Frame) -> Result<(), LinkError> {
        self.follow_plugins();
        let classified = Classified::function_call();
        let mark = self.words.mark();
        let route = self.route(classified.verdict()).await;
        let (_, state) = route.map_err(LinkError::Statement)?;
        if self.fans_out() {
            self.state = state;
            return Box::pin(self.fan_out_query(frame, &classified, &classified, None)).await;
        }
        let connected = self.connect_route(routing::Route::Primary, Kind::Dml).await;
        let to = connected.inspect_err(|_| self.unroute(state, mark))?;
        self.state = state;
        self.count(&classified, to.lead);
        self.send_query(frame, None, &classified, to)?;
        Ok(())
    }
}

/// The statement that a DEALLOCATE names.
fn deallocated(verdict: &Verdict) -> Option<&str> {
    verdict.name.as_deref().filter(|_| verdict.kind == Kind::Deallocate)
}

/// A BEGIN whose modes a standby refuses: it gets a plain one.
pub(super) fn begins_for_primary(classified: &Classified) -> bool {
    let verdict = classified.verdict();
    verdict.kind == Kind::Begin
        && (verdict.effects.contains(Effects::SERIALIZABLE) || verdict.effects.contains(Effects::READ_WRITE))
}

/// Whether a statement goes to every server of the session.
pub(super) fn goes_to_all(classified: &Classified) -> bool {
    classified.verdict().servers == Wanted::All
}
