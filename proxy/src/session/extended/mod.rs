//! The extended protocol: Parse, Bind, Describe, Execute, Close, Flush, Sync.
//!
//! Messages are handled in batches, to the next Sync or Flush: the whole batch
//! is looked at first, then it goes to one server in one write. That server,
//! the cycle's lead, stays the same until the Sync, unless the client flushes
//! a read and then writes in the same cycle.

mod batch;
mod send;
mod shared;
mod values;

pub use batch::Batch;
pub(super) use batch::Message;
pub(super) use values::{Wanted, edited};

use super::link::{Servers, bit};
use super::links::{Destination, LinkError};
use super::{End, Session, Step};
use crate::plugin::contract::Kind;
use crate::protocol::backend::{TransactionStatus, ready_for_query};
use crate::protocol::{Frame, HEADER_LEN, PgError, frontend};
use crate::routing::Route;
use batch::Needs;
use std::future::poll_fn;
use std::task::Poll;

/// The messages since the last Sync.
#[derive(Debug, Default)]
pub struct Cycle {
    /// Some have been sent.
    open: bool,
    /// Servers other than the lead that got some of them.
    others: Servers,
    /// It has failed here, not on a server: the rest to Sync is dropped.
    skip: bool,
    /// Nothing but a BEGIN has been sent, of a batch that goes on with a read.
    begun: bool,
    /// A Query was part of it, and its Sync may still come.
    joined: bool,
    /// More than transaction commands has been sent.
    executed: bool,
}

impl Cycle {
    pub fn clear(&mut self) {
        *self = Cycle::default();
    }

    /// A Query was part of the cycle: the server may wait for its Sync.
    pub fn awaits_sync(&self) -> bool {
        self.joined
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    pub fn skips(&self) -> bool {
        self.skip
    }

    /// COPY data follows, and another Sync behind it.
    pub fn reopen(&mut self) {
        self.open = true;
    }

    /// The lead is lost and the client knows. `open`: it owes a Sync.
    pub fn lost(&mut self, open: bool) {
        *self = Cycle { skip: open, ..Cycle::default() };
    }
}

impl Session {
    pub(super) async fn on_extended(&mut self, frame: Frame) -> Result<Step, End> {
        if self.cycle.skip {
            return self.skip_to_sync(frame);
        }
        if !self.cycle.open && matches!(frame.tag, b'S' | b'H') {
            return self.on_bare(frame);
        }
        if !self.read_batch()? {
            return Ok(Step::Wait);
        }
        match self.run_batch().await {
            Ok(step) => Ok(step),
            Err(LinkError::End(end)) => Err(end),
            Err(LinkError::Statement(error)) if self.is_in_fanned_cycle() => {
                let mut out = Vec::new();
                error.write(&mut out);
                self.fail_cycle(&out).await?;
                Ok(Step::Next)
            }
            Err(LinkError::Statement(error)) => {
                // Answers that are due come first.
                if self.cycle.open {
                    self.sync_early().await?;
                }
                self.drain_lead().await?;
                self.transaction.failed = true;
                self.answer_error(&error)?;
                self.cycle.skip = true;
                Ok(Step::Next)
            }
        }
    }

    /// After an error of ours: what PostgreSQL does after one of its own.
    fn skip_to_sync(&mut self, frame: Frame) -> Result<Step, End> {
        if self.is_busy() {
            return self.block();
        }
        let here = frame.len.min(self.client.inbox.len());
        self.passing = frame.len - here;
        self.lead = if self.passing > 0 { usize::MAX } else { self.lead };
        self.client.inbox.consume(here);
        if frame.tag != b'S' {
            return Ok(Step::Next);
        }
        self.cycle.clear();
        self.pending.clear();
        self.transaction.failed = false;
        self.answer_ready()
    }

    /// A Sync without anything before it is answered here; a Flush has
    /// nothing to flush.
    fn on_bare(&mut self, frame: Frame) -> Result<Step, End> {
        if self.is_busy() {
            return self.block();
        }
        if !self.is_whole(frame) {
            return Ok(Step::Wait);
        }
        if frame.tag == b'S' && std::mem::take(&mut self.cycle.joined) {
            return self.sync_joined(frame);
        }
        self.client.inbox.consume(frame.len);
        if frame.len > HEADER_LEN {
            self.answer_error(&PgError::error("08P01", "invalid message format"))?;
        }
        if frame.tag == b'S' { self.answer_ready() } else { Ok(Step::Next) }
    }

    /// The Sync behind a Query that was part of a cycle. Since PostgreSQL 18 the
    /// transaction ends with it only.
    fn sync_joined(&mut self, frame: Frame) -> Result<Step, End> {
        let Some(link) = self.links.get_mut(self.lead) else {
            self.client.inbox.consume(frame.len);
            return self.answer_ready();
        };
        link.replies.sync(true);
        self.sent += 1;
        self.forward(frame.len)?;
        Ok(Step::Next)
    }

    fn answer_ready(&mut self) -> Result<Step, End> {
        let mut out = Vec::with_capacity(6);
        ready_for_query(&mut out, self.transaction.status);
        self.answer(&out)?;
        Ok(Step::Next)
    }

    async fn run_batch(&mut self) -> Result<Step, LinkError> {
        self.follow_plugins();
        self.look_up_batch().await?;
        self.classify_batch().await?;
        if self.fans_out()
            && let Some(step) = Box::pin(self.fan_out_batch()).await?
        {
            return Ok(step);
        }
        let Some(wanted) = self.batch_values()? else {
            return Ok(Step::Wait);
        };
        let mark = self.words.mark();
        let (mut needs, mut state) = self.batch_needs(mark).await?;
        if !self.cycle.open && needs.begins_to_read() && self.keep_begin_alone() {
            self.unroute(state, mark);
            (needs, state) = self.batch_needs(mark).await?;
        }
        if self.cycle.open {
            let continued = self.continue_cycle(&needs).await;
            continued.inspect_err(|_| self.unroute(state, mark))?;
            let to = Destination { lead: self.lead, others: self.cycle.others };
            let filled = self.fill_batch(wanted, to).await;
            filled.inspect_err(|_| self.unroute(state, mark))?;
        } else {
            let waits = !wanted.is_empty() && self.is_busy();
            let begun = if waits { Ok(None) } else { self.begin_cycle(&needs).await };
            let Some(to) = begun.inspect_err(|_| self.unroute(state, mark))? else {
                self.unroute(state, mark);
                return Ok(self.block()?);
            };
            let filled = self.fill_batch(wanted, to).await;
            filled.inspect_err(|_| self.unroute(state, mark))?;
            let begins = needs.begins && self.batch.messages.last().is_some_and(|last| last.tag == b'E');
            self.cycle = Cycle { open: true, others: to.others, begun: begins, ..Cycle::default() };
            self.now_running(to.lead, to.others);
            self.sent += 1;
            self.bring_batch(to.lead);
            if needs.listens {
                self.bring_channels(to.lead);
            }
        }
        self.ahead = Some(state.transaction);
        self.state = state;
        self.send_batch()?;
        Ok(Step::Next)
    }

    /// Finds and connects the servers of a new cycle. `None`: it has to wait
    /// for answers that are due.
    async fn begin_cycle(&mut self, needs: &Needs) -> Result<Option<Destination>, LinkError> {
        let route = self.batch_route(needs);
        if self.is_busy() && (needs.listens || self.listens_soon() || !self.may_pipeline(route)) {
            return Ok(None);
        }
        self.connect_route(route, needs.kind()).await.map(Some)
    }

    fn batch_route(&self, needs: &Needs) -> Route {
        match *needs {
            Needs { portal: Some(server), .. } if self.links.get(server).is_some() => {
                if self.primary() == Some(server) { Route::Primary } else { Route::Read(server) }
            }
            Needs { deallocates: Some(server), .. } if self.primary() != Some(server) => Route::Read(server),
            Needs { all: true, home, .. } => Route::All { home },
            Needs { primary: true, .. } => Route::Primary,
            Needs { read: Some(server), .. } => Route::Read(server),
            // Only described or closed: where it is, on the primary if it is there too.
            Needs { described, .. } => {
                let on = described & self.links.which(|_| true);
                let primary = self.primary().map_or(0, bit);
                if on == 0 || on & primary != 0 {
                    Route::Primary
                } else {
                    Route::Read(on.trailing_zeros() as usize)
                }
            }
        }
    }

    /// Whether a cycle may follow one that is not answered yet: to the same
    /// server, if nothing under way can change where it belongs. The primary
    /// is never wrong; a standby has been asked to read only, so far.
    fn may_pipeline(&self, route: Route) -> bool {
        let same = match route {
            Route::Primary => self.primary() == Some(self.lead),
            Route::Read(server) => server == self.lead,
            Route::All { .. } => false,
        };
        same && self.transaction.status != TransactionStatus::Failed
    }

    /// More messages of an open cycle. Its lead changes only if they need the
    /// primary and it is another server, or if they read after a BEGIN alone.
    async fn continue_cycle(&mut self, needs: &Needs) -> Result<(), LinkError> {
        if std::mem::take(&mut self.cycle.begun)
            && let Needs { primary: false, all: false, read: Some(server), .. } = *needs
        {
            self.sync_early().await?;
            if !self.cycle.skip {
                let to = self.connect_route(Route::Read(server), Kind::Unknown).await?;
                self.now_running(to.lead, 0);
            }
            return Ok(());
        }
        let stays =
            self.primary() == Some(self.lead) || !(needs.primary || needs.all) || self.transaction.failed;
        if stays {
            return Ok(());
        }
        self.sync_early().await?;
        if self.cycle.skip {
            return Ok(());
        }
        let to = self.connect_route(Route::Primary, Kind::Unknown).await?;
        self.now_running(to.lead, self.cycle.others);
        Ok(())
    }

    /// A Query, or FunctionCall, without a Sync before it: for PostgreSQL it is
    /// part of the same transaction, and its ReadyForQuery is that of all. So it
    /// is on the primary; elsewhere nothing can have been written, and what stands
    /// before it ends. If that has failed everything to the Sync is dropped.
    pub(super) async fn close_cycle(&mut self, frame: Frame) -> Result<Step, End> {
        if self.end_fanned_cycle().await? {
            return Ok(Step::Next);
        }
        let joins = self.primary() == Some(self.lead) && self.cycle.others == 0;
        if joins && self.flush_early().await? {
            let step = match frame.tag {
                b'Q' => self.on_query(frame).await,
                _ => self.on_function_call(frame).await,
            };
            self.cycle.joined = !self.cycle.open;
            return step;
        }
        self.sync_early().await?;
        if !self.cycle.skip {
            self.cycle.clear();
        }
        Ok(Step::Next)
    }

    /// A Query that is sent now is part of a cycle, see [`Session::close_cycle`].
    pub(super) fn joins_cycle(&self) -> bool {
        self.links.get(self.lead).is_some_and(|link| link.replies.is_open())
    }

    /// Has the lead end the open cycle, unseen by the client, and sees whether
    /// it failed.
    pub(super) async fn sync_early(&mut self) -> Result<(), End> {
        let others = std::mem::take(&mut self.cycle.others);
        for (id, link) in self.links.iter_mut() {
            match id == self.lead {
                true => link.replies.sync_unseen(),
                false if others & bit(id) != 0 => link.replies.sync(false),
                false => continue,
            }
            // It goes out when the session waits.
            frontend::sync(link.push());
        }
        self.drain_lead().await?;
        self.cycle.skip |= self.transaction.failed;
        Ok(())
    }

    /// Has the lead send all that it owes for the open cycle, and waits until
    /// the client has it. The cycle stays open; whether it has not failed.
    pub(super) async fn flush_early(&mut self) -> Result<bool, End> {
        // A portal that nobody has: the answer tells that all is answered.
        const MARK: &[u8] = b" waypool: flushed ";
        if let Some(link) = self.links.get_mut(self.lead) {
            frontend::close_portal(link.push(), MARK);
            frontend::flush(link.push());
            link.replies.ack(false, None);
        }
        self.blocked = true;
        while self.lead_is_due() {
            poll_fn(|cx| match self.poll_progress(cx) {
                // The last answer is not for the client, and no progress.
                Poll::Pending if !self.lead_is_due() => Poll::Ready(Ok(())),
                polled => polled,
            })
            .await?;
        }
        self.blocked = false;
        Ok(self.links.get(self.lead).is_some_and(|link| !link.replies.has_failed()))
    }

    fn lead_is_due(&self) -> bool {
        self.links.get(self.lead).is_some_and(|link| link.replies.is_due())
    }

    async fn drain_lead(&mut self) -> Result<(), End> {
        while self.is_busy() {
            self.blocked = true;
            self.wait().await?;
        }
        self.blocked = false;
        Ok(())
    }
}
