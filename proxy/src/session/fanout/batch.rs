//! The extended protocol: the messages up to a Sync or Flush.

use super::super::extended::Wanted;
use super::super::link::{Servers, bit};
use super::super::links::{Destination, LinkError};
use super::super::prepared::Undo;
use super::super::{End, Session, Step};
use super::commit::aborted;
use super::main_of;
use super::pack::Packed;
use super::plan::{Order, Plan};
use super::unit::{Result, Unit};
use crate::fanout::Until;
use crate::plugin::contract::Kind;
use crate::protocol::HEADER_LEN;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::frontend::{Bind, Named, Parse, execute_portal};
use crate::routing::Classified;
use std::rc::Rc;

impl Session {
    /// Runs the batch if it is for all servers; `None`: it is not.
    pub(in super::super) async fn fan_out_batch(&mut self) -> std::result::Result<Option<Step>, LinkError> {
        let Some(fan) = self.fanout.as_ref() else {
            return Ok(None);
        };
        let fanned = fan.in_cycle;
        let failed = self.has_failed() && !self.cycle.is_open();
        let everywhere = fanned || failed || self.batch_goes_everywhere();
        if !everywhere && !self.batch_needs_snapshot() {
            return Ok(None);
        }
        if self.is_busy() {
            if !self.cycle.is_open() {
                return Ok(Some(self.block()?));
            }
            self.sync_early().await?;
            if self.cycle.skips() {
                return Ok(Some(Step::Next));
            }
        }
        if failed && !self.may_run_failed() {
            return Err(LinkError::Statement(aborted()));
        }
        if !everywhere {
            Box::pin(self.take_snapshot()).await?;
            return Ok(None);
        }
        self.cut_at_ends();
        let Some(wanted) = self.batch_values()? else {
            return Ok(Some(Step::Wait));
        };
        let mark = self.words.mark();
        let (_, state) = self.batch_needs(mark).await?;
        let ready = self.make_batch_ready(wanted).await;
        let servers = ready.inspect_err(|_| self.unroute(state, mark))?;
        self.state = state;
        self.run_packed(servers).await?;
        Ok(Some(Step::Next))
    }

    /// Connects the servers, which get what has to come before the batch; and puts
    /// the values in that it needs.
    async fn make_batch_ready(&mut self, wanted: Wanted) -> std::result::Result<Servers, LinkError> {
        let servers = self.connect_members().await?;
        if self.has_failed() {
            return Ok(servers);
        }
        if self.batch_needs_snapshot() {
            Box::pin(self.take_snapshot()).await?;
        }
        self.fan().locks.clear();
        for (at, what) in self.batch_runs() {
            let text = self.bound_text(at);
            self.bring_prepared_everywhere(&what, &text).await?;
            if what.verdict().kind == Kind::Dml {
                self.lock_for_insert((&what, &text), &text, servers).await?;
            }
        }
        let main = main_of(servers);
        self.fill_binds(wanted, Destination { lead: main, others: servers & !bit(main) }).await?;
        match servers & self.links.which(|_| true) {
            0 => Err(LinkError::Statement(super::nobody())),
            servers => Ok(servers),
        }
    }

    /// Whether something of the batch is for all servers.
    fn batch_goes_everywhere(&self) -> bool {
        let binds = self.batch.messages.iter().any(|message| message.tag == b'B');
        if !binds && self.batch.parsed.iter().any(|what| self.goes_everywhere(what.verdict())) {
            return true;
        }
        self.batch.messages.iter().enumerate().any(|(at, message)| {
            let body = self.message_body(message);
            let what = match message.tag {
                b'B' => Bind::read(body).and_then(|bind| self.bound(at, bind.statement)),
                b'E' if !binds => execute_portal(body).and_then(|name| self.portal_of(name)),
                b'C' | b'D' if !binds => match Named::read(body) {
                    Some(Named::Statement(name)) => {
                        self.prepared.get(name).map(|statement| statement.classified.borrow().clone())
                    }
                    Some(Named::Portal(name)) => self.portal_of(name),
                    None => None,
                },
                _ => None,
            };
            what.is_some_and(|what| self.goes_everywhere(self.executed(what).verdict()))
        })
    }

    fn portal_of(&self, name: &[u8]) -> Option<Rc<Classified>> {
        self.prepared.portal(name).map(|portal| portal.classified.clone())
    }

    /// What the batch runs, in order.
    fn batch_runs(&self) -> Vec<(usize, Rc<Classified>)> {
        let binds = self.batch.messages.iter().enumerate().filter(|(_, message)| message.tag == b'B');
        let runs = binds.filter_map(|(at, message)| {
            let bind = Bind::read(self.message_body(message))?;
            Some((at, self.bound(at, bind.statement)?))
        });
        runs.collect()
    }

    /// The text of what a Bind runs.
    fn bound_text(&self, at: usize) -> String {
        let messages = &self.batch.messages;
        let Some(bind) = Bind::read(self.message_body(&messages[at])) else {
            return String::new();
        };
        let parses = messages[..at].iter().rev().filter(|message| message.tag == b'P');
        let mut parses = parses.filter_map(|message| Parse::read(self.message_body(message)));
        let here = parses.find(|parse| parse.statement == bind.statement).map(|parse| parse.text);
        let known = || Some(Parse::read(&self.prepared.get(bind.statement)?.parse()[HEADER_LEN..])?.text);
        String::from_utf8_lossy(here.or_else(known).unwrap_or_default()).into_owned()
    }

    /// In a failed transaction: only what ends it, or what runs nothing at all.
    fn may_run_failed(&self) -> bool {
        let runs = self.batch_runs();
        let ends = |kind| matches!(kind, Kind::Commit | Kind::Rollback | Kind::RollbackTo);
        match runs.as_slice() {
            [] => self.batch.messages.iter().all(|message| matches!(message.tag, b'C' | b'S' | b'H')),
            [(_, only)] => {
                let syncs = self.batch.messages.last().is_some_and(|last| last.tag == b'S');
                ends(only.verdict().kind) && syncs
            }
            _ => false,
        }
    }

    /// See [`snapshot`](super::snapshot).
    fn batch_needs_snapshot(&self) -> bool {
        if !self.isolates() {
            return false;
        }
        let runs = self.batch_runs().into_iter().map(|(_, what)| self.executed(what));
        // In a transaction what is parsed has a snapshot as well.
        let open = !self.is_idle() || self.fanout.as_ref().is_some_and(|fan| fan.internal);
        let parsed = self.batch.parsed.iter().filter(|_| open).cloned();
        let all: Vec<_> = runs.chain(parsed).collect();
        self.needs_snapshot(all.iter().map(|what| what.verdict()))
    }

    /// COMMIT is a unit of its own: it ends on the main server last. So is a BEGIN
    /// behind which a snapshot is taken.
    fn cut_at_ends(&mut self) {
        let runs = self.batch_runs();
        let isolates = self.isolates();
        let ends = |what: &Classified| match what.verdict().kind {
            Kind::Commit | Kind::PrepareTransaction => true,
            Kind::Begin => isolates,
            _ => false,
        };
        let Some(commit) = runs.iter().position(|(_, what)| ends(what)) else {
            return;
        };
        let messages = &self.batch.messages;
        let executed_before =
            |limit: usize| messages[..limit].iter().rposition(|message| message.tag == b'E');
        let cut = if commit > 0 {
            executed_before(runs[commit].0)
        } else if let Some((next, _)) = runs.get(1) {
            executed_before(*next)
        } else {
            None
        };
        let Some(cut) = cut else {
            return;
        };
        self.batch.end = messages[cut].frame.end;
        self.batch.messages.truncate(cut + 1);
        let parses = self.batch.messages.iter().filter(|message| message.tag == b'P').count();
        self.batch.parsed.truncate(parses);
    }

    async fn run_packed(&mut self, servers: Servers) -> std::result::Result<(), LinkError> {
        let main = main_of(servers);
        if self.batch_runs().iter().any(|(_, what)| what.verdict().kind == Kind::Rollback) {
            // The transaction that it may begin has none yet.
            self.fan().snapshot = false;
        }
        let mut bytes = std::mem::take(&mut self.fan().unit);
        bytes.clear();
        let packed = self.pack(&mut bytes, servers);
        self.fan().unit_is_extended = true;
        let unit = Unit { keeps: &packed.keeps, ..Unit::new(&bytes, packed.until, &packed.text) };
        let run = self.run_packed_unit(unit, &packed, servers).await;
        let fan = self.fan();
        fan.keep(bytes);
        fan.unit_is_extended = false;
        let result = run?;
        self.note_numbered(&result).await?;
        self.settle_parses(packed.undo, &result.parsed);
        let left = self.links.which(|_| true) & servers;
        let main = if left == 0 { main } else { main_of(left) };
        Ok(self.finish_batch(main, packed.after, result).await?)
    }

    async fn run_packed_unit(
        &mut self,
        unit: Unit<'_>,
        packed: &Packed,
        servers: Servers,
    ) -> std::result::Result<Result, LinkError> {
        if self.has_failed()
            && let Some(kind) = packed.kind
        {
            return self.run_failed(unit, kind).await;
        }
        if self.has_failed() {
            let result = self.run_unit(unit, packed.plan, servers).await?;
            return Ok(Result { status: TransactionStatus::Failed, ..result });
        }
        let result = match packed.plan.order {
            Order::Commit => self.commit_unit(unit, servers).await?,
            Order::Prepare => self.prepare_transaction(unit, packed.plan, servers).await?,
            _ => self.run_unit(unit, packed.plan, servers).await?,
        };
        Ok(result)
    }

    /// A unit that ends with Sync is over; of another one the cycle goes on, unless
    /// it has failed: then the servers are brought to its end, and the rest of it
    /// is skipped.
    async fn finish_batch(
        &mut self,
        main: usize,
        after: TransactionStatus,
        result: Result,
    ) -> std::result::Result<(), End> {
        if result.ended {
            self.cycle.clear();
            self.fan().in_cycle = false;
            return self.finish_unit(main, result);
        }
        let fan = self.fan();
        (fan.in_cycle, fan.ahead) = (true, after);
        self.cycle.reopen();
        self.lead = main;
        self.cancel.set_running(0);
        if !result.failed {
            return self.answer(&result.last);
        }
        self.fail_cycle(&result.last).await
    }

    pub(in super::super) fn is_in_fanned_cycle(&self) -> bool {
        self.fanout.as_ref().is_some_and(|fan| fan.in_cycle)
    }

    /// An error in the middle of a cycle: the servers come to its end, and the
    /// rest of it is skipped.
    pub(in super::super) async fn fail_cycle(&mut self, error: &[u8]) -> std::result::Result<(), End> {
        self.sync_open().await?;
        if self.fan().internal {
            self.end_internal("ROLLBACK").await?;
        }
        let status = match self.links.which(super::super::link::Link::in_transaction) {
            0 => TransactionStatus::Idle,
            _ => TransactionStatus::Failed,
        };
        self.answer(error)?;
        self.fan().in_cycle = false;
        self.transaction.failed = true;
        self.on_ready(status)?;
        self.transaction.failed = true;
        self.cycle.lost(true);
        Ok(())
    }

    /// A Query comes where a Sync was due: what stands before it ends.
    pub(in super::super) async fn end_fanned_cycle(&mut self) -> std::result::Result<bool, End> {
        if !self.is_in_fanned_cycle() {
            return Ok(false);
        }
        let servers = self.fan().open;
        let main = main_of(servers);
        let unit = Unit::new(b"S\0\0\0\x04", Until::Ready, "");
        let plan = Plan { order: Order::MainFirst, ..Plan::default() };
        let mut result = self.run_unit(unit, plan, servers).await?;
        let fan = self.fan();
        (fan.in_cycle, fan.open) = (false, 0);
        self.cycle.clear();
        self.answer(&std::mem::take(&mut result.last))?;
        self.lead = main;
        self.transaction.failed |= result.failed;
        if result.status == TransactionStatus::Idle {
            (self.fan().wrote, self.fan().snapshot) = (false, false);
        }
        self.on_ready(result.status)?;
        Ok(true)
    }

    /// What servers got a statement, and whether the name means what it did.
    fn settle_parses(&mut self, undo: Vec<(Vec<u8>, Option<Undo>)>, parsed: &[(usize, usize)]) {
        for (at, (name, undo)) in undo.into_iter().enumerate().rev() {
            let on = parsed.iter().filter(|(_, count)| *count > at).fold(0, |on, (id, _)| on | bit(*id));
            match (on, undo) {
                (0, Some(undo)) => self.prepared.undo(undo),
                (0, None) => self.prepared.close(&name, usize::MAX),
                _ => {
                    if let Some(statement) = self.prepared.get(&name) {
                        statement.on.set(on);
                    }
                }
            }
        }
    }
}
