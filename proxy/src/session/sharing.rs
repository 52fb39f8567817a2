//! `pool_mode` transaction and statement: between its transactions a client
//! holds no server connection, and gets any that is free for the next one.
//!
//! What a client has set and prepared goes along with it: see
//! [`settings`](super::settings), [`extended`](super::extended) and
//! [`pool::state`](crate::pool::state). What cannot be had elsewhere pins the
//! client to its connection to the primary until it is gone. Whether there is
//! something is asked of the server, by a query behind the client's back, after
//! statements that may have made or ended it.

use super::link::{Link, bit};
use super::{End, Session};
use crate::config::PoolMode;
use crate::plugin::contract::{Effects, Kind, Servers as Wanted, Verdict};
use crate::pool::{Parameters, ServerConn};
use crate::protocol::PgError;
use crate::protocol::backend::{TransactionStatus, parameter_status};
use crate::protocol::sql::identifier;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a connection holds for its session alone. The answer begins with
/// [`ANSWER`]; a letter behind it stands for each thing there is.
const PINS: &str = "SELECT 'pinned:' \
    OPERATOR(pg_catalog.||) CASE WHEN pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0 AND EXISTS \
        (SELECT FROM pg_catalog.pg_class WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
        THEN 't' ELSE '' END \
    OPERATOR(pg_catalog.||) CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable) \
        THEN 'h' ELSE '' END \
    OPERATOR(pg_catalog.||) CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks \
        WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) \
        THEN 'a' ELSE '' END \
    OPERATOR(pg_catalog.||) CASE WHEN EXISTS (SELECT pg_catalog.pg_listening_channels()) \
        THEN 'l' ELSE '' END";
const ANSWER: &[u8] = b"pinned:";

/// Functions that are volatile, and leave nothing behind in the session.
const HARMLESS: [&str; 17] = [
    "nextval",
    "setval",
    "random",
    "setseed",
    "clock_timestamp",
    "timeofday",
    "gen_random_uuid",
    "txid_current",
    "pg_current_xact_id",
    "pg_notify",
    "pg_sleep",
    "lo_create",
    "lo_creat",
    "lo_unlink",
    "pg_advisory_xact_lock",
    "pg_try_advisory_xact_lock",
    "pg_current_wal_lsn",
];

/// What the reports of a standby and a primary differ in by nature.
const BY_ROLE: [&str; 2] = ["in_hot_standby", "default_transaction_read_only"];

/// How a session shares server connections with others.
#[derive(Debug)]
pub struct Sharing {
    mode: PoolMode,
    /// The connection to the primary holds something, as it last told.
    pinned: bool,
    /// Whether it does must be asked when the transaction is over.
    ask: bool,
    /// It was asked, and has not answered.
    asked: bool,
    /// The parameters as the client knows them.
    pub shown: Parameters,
    /// Being counted, while the session is pinned.
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(pinned: &Arc<AtomicUsize>) -> Self {
        pinned.fetch_add(1, Ordering::Relaxed);
        Counted(pinned.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sharing {
    pub fn new(mode: PoolMode) -> Self {
        let shown = Parameters::default();
        Sharing { mode, pinned: false, ask: false, asked: false, shown, counted: None }
    }

    pub fn is_on(&self) -> bool {
        self.mode != PoolMode::Session
    }
}

impl Session {
    /// Whether a statement can run in this pool mode.
    pub(super) fn check_mode(&self, verdict: &Verdict) -> Result<(), PgError> {
        if !self.sharing.is_on() {
            return Ok(());
        }
        let begins = verdict.kind == Kind::Begin || verdict.effects.contains(Effects::TRANSACTION_INSIDE);
        if self.sharing.mode == PoolMode::Statement && begins {
            return Err(PgError::error("0A000", "transactions of several statements are not allowed")
                .with_detail("pool_mode is \"statement\" for this user and database.")
                .with_hint("Use a user or database with pool_mode = \"transaction\"."));
        }
        if leaves_behind(verdict) && !self.worker.proxy.config().pinning {
            return Err(PgError::error("0A000", "this needs a server connection of its own")
                .with_detail(
                    "Temporary tables, WITH HOLD cursors, session advisory locks and set_config() \
                     outlive the transaction, and pinning = false does not allow that.",
                )
                .with_hint("Use a user or database with pool_mode = \"session\"."));
        }
        let between = self.transaction.status == TransactionStatus::Idle && !self.is_pinned();
        if between && verdict.functions.iter().any(|name| is_one_of(name, &["currval", "lastval"])) {
            return Err(PgError::error("55000", "currval and lastval work inside a transaction only")
                .with_detail("pool_mode is not \"session\": the next statement may have another connection.")
                .with_hint("Write INSERT … RETURNING, or BEGIN a transaction first."));
        }
        Ok(())
    }

    /// A statement is about to be sent: whether it may leave something behind,
    /// or end what is there.
    pub(super) fn watch_for_pins(&mut self, verdict: &Verdict) {
        if !self.sharing.is_on() {
            return;
        }
        let writes = verdict.effects.contains(Effects::WRITES);
        self.sharing.ask |= match verdict.kind {
            Kind::Select | Kind::Dml | Kind::CopyTo | Kind::Explain | Kind::Execute => {
                let known = |name: &String| is_one_of(name, &HARMLESS);
                let calls = writes && !verdict.functions.iter().all(known);
                self.settings.unsure |= calls;
                calls || leaves_behind(verdict)
            }
            Kind::Utility | Kind::Unknown => {
                self.settings.unsure = true;
                true
            }
            Kind::Ddl | Kind::Cursor | Kind::Discard => true,
            _ => false,
        };
    }

    /// Whether the server will say how long what this leaves behind is there.
    pub(super) fn tells_of_pins(&self, verdict: &Verdict) -> bool {
        let sets = verdict.functions.iter().any(|name| is_one_of(name, &["set_config"]));
        self.sharing.is_on() && verdict.kind == Kind::Select && !sets
    }

    /// The transaction is over.
    pub(super) fn look_for_pins(&mut self) {
        if std::mem::take(&mut self.sharing.ask)
            && let Some(primary) = self.primary()
            && let Some(link) = self.links.get_mut(primary)
        {
            link.ask_unseen(PINS);
            self.sharing.asked = true;
        }
    }

    /// A server's answer, if it is one to the question above.
    pub(super) fn on_pins(&mut self, value: &[u8]) -> bool {
        let Some(pins) = value.strip_prefix(ANSWER) else {
            return false;
        };
        self.sharing.asked = false;
        self.sharing.pinned = pins.iter().any(|pin| *pin != b'l');
        if pins.contains(&b'l') {
            self.found_listening();
        }
        true
    }

    /// The session cannot do without its connection to the primary.
    fn is_pinned(&self) -> bool {
        self.sharing.pinned || self.sharing.asked || self.settings.unrepeatable
    }

    /// Whether this is a moment between transactions of a session that shares
    /// its connections.
    pub(super) fn may_give_back(&self) -> bool {
        let between_cycles = !self.cycle.is_open() && !self.cycle.awaits_sync();
        let over = self.transaction.status == TransactionStatus::Idle && between_cycles;
        self.sharing.is_on() && over && !self.is_busy() && self.passing == 0
    }

    /// Between transactions: gives back every connection that holds nothing of
    /// this session.
    pub(super) async fn give_back(&mut self) {
        self.expect_no_answer();
        self.ask_channels_late();
        let pinned = self.is_pinned();
        if pinned && !self.sharing.asked && !self.worker.proxy.config().pinning {
            return Box::pin(self.close_pinned()).await;
        }
        self.count_pinned(pinned && !self.sharing.asked);
        let kept = if pinned { self.primary() } else { None };
        if let Some(link) = kept.and_then(|id| self.links.get(id)) {
            link.conn.meter.server.set_pinned(true);
        }
        for id in 0..self.links.len() {
            let done = |link: &Link| link.replies.is_quiet() && link.conn.outbox.is_empty();
            if kept != Some(id) && self.links.get(id).is_some_and(done) {
                self.give_one_back(id).await;
            }
        }
        if !pinned {
            self.sticky = false;
            self.settings.unsure &= self.links.which(|_| true) != 0;
        }
    }

    /// A connection to a server is about to be waited for. Who waits may hold one
    /// to the primary, but none to a standby, whose answer to the last COMMIT may
    /// still be on its way: others hold the primary and wait for that.
    pub(super) async fn let_go_of_standbys(&mut self) -> Result<(), End> {
        let idle = self.transaction.status == TransactionStatus::Idle;
        let held = self.links.which(|_| true) & !self.primary().map_or(0, bit);
        if !self.sharing.is_on() || !idle || held == 0 {
            return Ok(());
        }
        self.drain(held).await?;
        let quiet = |link: &Link| link.replies.is_quiet();
        for id in (0..self.links.len()).filter(|id| held & bit(*id) != 0) {
            if self.links.get(id).is_some_and(quiet) {
                self.give_one_back(id).await;
            }
        }
        Ok(())
    }

    /// The question about pins failed, or went with its connection: so does
    /// whatever it was about.
    fn expect_no_answer(&mut self) {
        let link = self.primary().and_then(|id| self.links.get(id));
        if self.sharing.asked && link.is_none_or(|link| link.replies.is_quiet()) {
            self.sharing.asked = false;
            self.sharing.pinned = false;
        }
    }

    fn count_pinned(&mut self, pinned: bool) {
        match (pinned, &self.sharing.counted) {
            (true, None) => self.sharing.counted = Some(Counted::new(&self.worker.proxy.pinned)),
            (false, Some(_)) => self.sharing.counted = None,
            _ => {}
        }
    }

    /// A function has left something behind that nothing is allowed to keep.
    async fn close_pinned(&mut self) {
        tracing::warn!("a function left state in its session, which pinning = false does not allow: lost");
        self.sharing.pinned = false;
        self.settings.unrepeatable = false;
        if let Some(primary) = self.primary() {
            self.give_up(primary).await;
        }
    }

    async fn give_one_back(&mut self, id: usize) {
        self.cancel.remove(id).await;
        let Some(link) = self.links.take(id) else {
            return;
        };
        self.member.gave_up(link.conn.meter.server.id);
        let failed = link.failed_unseen;
        let Some(mut conn) = link.into_quiet() else {
            return;
        };
        let names = self.prepared.leave_server(id);
        if failed {
            tracing::warn!(backend = id, "a statement of ours failed: connection closed");
            return;
        }
        let settings = Some(self.settings.now()).filter(|_| !self.settings.unsure);
        conn.state.leave(settings, names);
        conn.hand_back();
    }

    /// The client has to know what is set on the connection that it got now.
    pub(super) fn show_parameters(&mut self, conn: &mut ServerConn) {
        let shown = &self.sharing.shown;
        if !self.sharing.is_on() || conn.shown.as_ref().is_some_and(|known| Arc::ptr_eq(known, shown)) {
            return;
        }
        let news: Vec<_> = conn
            .parameters
            .iter()
            .enumerate()
            // Most often they are the same, in the same order.
            .filter(|(at, parameter)| shown.get(*at) != Some(parameter) && !shown.contains(parameter))
            .map(|(_, parameter)| parameter)
            .filter(|(name, _)| !BY_ROLE.contains(&name.as_str()))
            .cloned()
            .collect();
        if news.is_empty() {
            conn.shown = Some(shown.clone());
            return;
        }
        let shown = Arc::make_mut(&mut self.sharing.shown);
        for (name, value) in news {
            parameter_status(&mut self.notices, &name, &value);
            match shown.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => shown.push((name, value)),
            }
        }
    }

    /// The client was told by a server.
    pub(super) fn parameter_shown(&mut self, name: &str, value: &str) {
        if !self.sharing.is_on() {
            return;
        }
        let shown = Arc::make_mut(&mut self.sharing.shown);
        if let Some((_, known)) = shown.iter_mut().find(|(known, _)| known == name) {
            value.clone_into(known);
        }
    }

    /// Statements were dropped on the servers: of one connection, or, if it is
    /// not sure, perhaps.
    pub(super) fn statements_dropped(&mut self, sure: bool) {
        for (_, link) in self.links.iter_mut() {
            match sure {
                true => link.conn.state.statements.clear(),
                false => link.conn.state.statements.doubt_all(),
            }
        }
    }

    /// Settings of statements that were to be sent to `home` as well need not
    /// be there: they come along with the next connection.
    pub(super) fn brings_home(&self, kind: Kind) -> bool {
        !self.sharing.is_on() || kind == Kind::Begin
    }

    /// For a DEALLOCATE, or second PREPARE, of a statement that has another name
    /// on the server: one of this name, so that the server's answer is the right one.
    pub(super) fn stand_in(&mut self, name: &str, lead: usize, stays: bool) {
        let known =
            self.prepared.get(name.as_bytes()).is_some_and(|statement| statement.as_shared().is_some());
        if known
            && !name.is_empty()
            && !self.joins_cycle()
            && self.transaction.status != TransactionStatus::Failed
            && let Some(link) = self.links.get_mut(lead)
        {
            if stays {
                link.conn.state.has_name(name.to_owned());
            }
            link.run_unseen(&format!("{}PREPARE {} AS SELECT", super::links::REPEATED, identifier(name)));
        }
    }
}

/// It is known beforehand that the statement leaves something in its session
/// that no other connection has.
fn leaves_behind(verdict: &Verdict) -> bool {
    verdict.effects.contains(Effects::SESSION_STATE)
        && verdict.servers != Wanted::All
        && !matches!(
            verdict.kind,
            Kind::Set | Kind::Prepare | Kind::Deallocate | Kind::Execute | Kind::Listen
        )
}

/// `name` may have a schema before it.
fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.contains(&name.rsplit('.').next().unwrap_or(name))
}
