//! The session's server connections: opened when first used, given back at
//! the end.

use super::link::{Link, Servers, bit};
use super::{End, Session};
use crate::census::Counter;
use crate::cluster::Backend;
use crate::config::show_duration;
use crate::plugin::contract::Kind;
use crate::pool::{CheckoutError, QueryError, ServerConn};
use crate::protocol::PgError;
use crate::protocol::backend::TransactionStatus;
use crate::routing::Route;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// Stands before what the session has sent already and a server is sent again,
/// for those who read its log.
pub(super) const REPEATED: &str = "/* repeated by Waypool */ ";

/// How long the last unseen answers may take at the end of a session.
const SETTLE: Duration = Duration::from_secs(1);

/// By number of the backend.
#[derive(Debug, Default)]
pub struct Links(Vec<Option<Link>>);

impl Links {
    pub fn new(backends: usize) -> Self {
        Links((0..backends).map(|_| None).collect())
    }

    pub fn get(&self, id: usize) -> Option<&Link> {
        self.0.get(id)?.as_ref()
    }

    pub fn get_mut(&mut self, id: usize) -> Option<&mut Link> {
        self.0.get_mut(id)?.as_mut()
    }

    pub fn insert(&mut self, id: usize, link: Link) {
        self.0[id] = Some(link);
    }

    pub fn take(&mut self, id: usize) -> Option<Link> {
        self.0.get_mut(id)?.take()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Link)> {
        self.0.iter_mut().enumerate().filter_map(|(id, link)| Some((id, link.as_mut()?)))
    }

    /// The servers for which `predicate` holds.
    pub fn which(&self, predicate: impl Fn(&Link) -> bool) -> Servers {
        let those = self.0.iter().enumerate().filter(|(_, link)| link.as_ref().is_some_and(&predicate));
        those.fold(0, |servers, (id, _)| servers | bit(id))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where a statement goes, and to whom its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The client sees this server's answer.
    pub lead: usize,
    pub others: Servers,
}

/// Why a server connection could not be had.
#[derive(Debug)]
pub enum LinkError {
    /// The statement cannot run; the session goes on.
    Statement(PgError),
    End(End),
}

impl From<End> for LinkError {
    fn from(end: End) -> Self {
        LinkError::End(end)
    }
}

impl Session {
    /// The servers of a route, connected and waiting.
    pub(super) async fn connect_route(&mut self, route: Route, kind: Kind) -> Result<Destination, LinkError> {
        if self.transaction.status == TransactionStatus::Failed {
            return self.failed_transaction(kind).await;
        }
        self.wait_resumed().await?;
        if let Route::Read(id) = route {
            // What it was told unseen must be answered before its state is known.
            self.drain(bit(id)).await?;
        }
        match route {
            Route::Read(id) if self.may_read(id) && self.try_link(id).await => {
                // A transaction was looked at when it began.
                let idle = self.transaction.status == TransactionStatus::Idle;
                let current = !idle || self.has_replayed(id).await?;
                // It may have gone while it was waited for.
                match self.links.get(id) {
                    Some(_) if current => Ok(Destination { lead: id, others: 0 }),
                    _ => self.connect_primary().await,
                }
            }
            Route::Read(_) | Route::Primary => self.connect_primary().await,
            Route::All { home } => self.connect_all(home, kind).await,
        }
    }

    /// While its database is paused a session without a server connection waits
    /// here: the servers may be away, and what is said then does not count.
    pub(super) async fn wait_resumed(&self) -> Result<(), LinkError> {
        let proxy = &self.worker.proxy;
        let (doors, database) = (&proxy.doors, &*self.identity.database);
        if !doors.any_paused() || self.links.which(|_| true) != 0 || !doors.is_paused(database) {
            return Ok(());
        }
        let limit = proxy.config().query_wait_timeout.unwrap_or(Duration::MAX);
        let mut wait = self.member.may_wait(self.primary().unwrap_or_default());
        wait.begin();
        match tokio::time::timeout(limit, doors.wait_resumed(database)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(LinkError::Statement(still_paused(database, limit))),
        }
    }

    /// Whether a read may go to this server now: inside a transaction it must
    /// be part of it, and it must have the session's state.
    pub(super) fn may_read(&self, id: usize) -> bool {
        if self.settings.unrepeatable || self.transaction.primary_only {
            return false;
        }
        match self.transaction.status {
            TransactionStatus::Idle => true,
            _ => self.links.get(id).is_some_and(|link| link.in_transaction() && !link.failed_unseen),
        }
    }

    /// Why [`Session::may_read`] says no, for people.
    pub(super) fn why_not(&self, id: usize) -> &'static str {
        match self.links.get(id).is_some_and(Link::in_transaction) {
            _ if self.settings.unrepeatable => {
                "the session has state that no other server has: it stays on the primary"
            }
            _ if self.transaction.primary_only => "the transaction follows one that wrote (AND CHAIN)",
            true => "an earlier statement of the transaction failed on that server",
            false => "the transaction is not open on that server",
        }
    }

    pub(super) async fn connect_primary(&mut self) -> Result<Destination, LinkError> {
        let lead = self.primary().ok_or_else(|| LinkError::Statement(no_primary()))?;
        self.link(lead).await?;
        self.drain(bit(lead)).await?;
        Ok(Destination { lead, others: 0 })
    }

    /// The primary, the servers already in use, and `home`.
    async fn connect_all(&mut self, home: Option<usize>, kind: Kind) -> Result<Destination, LinkError> {
        let Destination { lead, .. } = self.connect_primary().await?;
        if self.transaction.status == TransactionStatus::Idle
            && !self.settings.unrepeatable
            && self.brings_home(kind)
            && let Some(home) = home
            && home != lead
        {
            self.try_link(home).await;
        }
        if self.transaction.status == TransactionStatus::Idle && kind == Kind::Begin {
            self.leave_behind().await?;
        }
        let others = self.links.which(|_| true) & !bit(lead);
        self.drain(others).await?;
        let others = match self.transaction.status {
            TransactionStatus::Idle => self.links.which(|_| true),
            _ => self.links.which(Link::in_transaction),
        };
        Ok(Destination { lead, others: others & !bit(lead) })
    }

    /// In a failed transaction the server on which it failed answers, as
    /// PostgreSQL does. The others follow when it has ended; what ends it, or
    /// after which it goes on, is for those that have it open too.
    async fn failed_transaction(&mut self, kind: Kind) -> Result<Destination, LinkError> {
        let failed = |link: &Link| link.conn.status == TransactionStatus::Failed;
        let lead = self.links.which(failed).trailing_zeros() as usize;
        let all = self.links.which(|_| true) & !bit(lead);
        self.drain(all).await?;
        let begun = self.links.which(Link::in_transaction) & !bit(lead);
        let others = match kind {
            Kind::RollbackTo | Kind::Rollback => begun,
            // Here it rolls back. Where nothing failed it would commit, which
            // a standby may do if nothing was set.
            Kind::Commit if !self.transaction.changed_session => begun & !self.primary().map_or(0, bit),
            _ => 0,
        };
        Ok(Destination { lead, others })
    }

    /// A connection to this server, or `false`: the statement can go elsewhere.
    async fn try_link(&mut self, id: usize) -> bool {
        match self.link(id).await {
            Ok(()) => true,
            Err(LinkError::Statement(error)) => {
                tracing::debug!(backend = id, "going on without this server: {error}");
                false
            }
            Err(LinkError::End(_)) => false,
        }
    }

    /// Connects to a server that the session has not used yet, and brings the
    /// connection to the session's state.
    pub(super) async fn link(&mut self, id: usize) -> Result<(), LinkError> {
        if self.links.get(id).is_some() {
            return Ok(());
        }
        self.let_go_of_standbys().await?;
        let proxy = self.worker.proxy.clone();
        let (Some(pool), Some(backend)) = (proxy.pools.get(id), proxy.cluster.backends.get(id)) else {
            return Err(LinkError::Statement(no_primary()));
        };
        let conn = loop {
            let checkout = pool.checkout(&self.identity, &self.credentials, &self.member).await;
            let mut conn = checkout.map_err(|error| LinkError::Statement(self.refused(backend, &error)))?;
            let Err((change, error)) = self.bring_settings(&mut conn).await else {
                break conn;
            };
            self.member.gave_up(conn.meter.server.id);
            // What others have left there may be the reason: that one goes.
            if conn.state.is_fresh() {
                return Err(LinkError::Statement(not_repeated(backend, &change, &error)));
            }
        };
        let mut conn = conn;
        if !std::mem::replace(&mut self.login_counted, true) {
            conn.meter.count(Counter::Logins);
        }
        // What is said of ours is nobody's traffic.
        conn.inbox.take_read();
        self.show_parameters(&mut conn);
        let mut link = Link::new(conn, backend.clone());
        if self.sharing.is_on() {
            link.replies.catch_notifications();
        }
        self.cancel.add(id, pool.clone(), link.conn.pid, link.conn.key.clone()).await;
        self.links.insert(id, link);
        Ok(())
    }

    /// Makes the connection one of this session.
    async fn bring_settings(&self, conn: &mut ServerConn) -> Result<(), (String, QueryError)> {
        let settings = self.settings.now();
        let Some(change) = conn.state.change(settings) else {
            return Ok(());
        };
        match Box::pin(conn.simple_query(&format!("{REPEATED}{change}"))).await {
            Ok(_) => {
                conn.state.changed(settings);
                Ok(())
            }
            Err(error) => Err((change, error)),
        }
    }

    fn refused(&self, backend: &Arc<Backend>, error: &CheckoutError) -> PgError {
        if error.is_server_failure() {
            self.worker.proxy.cluster.report_failure(backend.id, &error.to_string());
        }
        error.to_client(backend)
    }

    /// Waits until these servers have answered everything. One that differs
    /// from the lead about a statement that went to both is given up.
    pub(super) async fn drain(&mut self, servers: Servers) -> Result<(), End> {
        let quiet = |link: &Link| link.replies.is_quiet();
        while servers & !self.links.which(quiet) & self.links.which(|_| true) != 0 {
            // A busy lead is the caller's business.
            if servers == bit(self.lead) && self.is_busy() {
                return Ok(());
            }
            self.wait().await?;
        }
        let differing = servers & self.links.which(|link| link.failed_unseen);
        for id in (0..self.links.len()).filter(|id| differing & bit(*id) != 0) {
            tracing::warn!(
                backend = id,
                "a statement succeeded on the primary and failed here: connection closed"
            );
            self.give_up(id).await;
        }
        Ok(())
    }

    /// Closes a server connection that the session can do without, with all
    /// that was prepared on it.
    pub(super) async fn give_up(&mut self, id: usize) {
        self.cancel.remove(id).await;
        self.prepared.forget_server(id);
        if let Some(link) = self.links.take(id) {
            self.member.gave_up(link.conn.meter.server.id);
        }
    }

    /// Gives every connection back that is in a known state.
    pub(super) async fn release_links(&mut self, reset_query_list: &[String]) {
        self.cancel.set_running(0);
        if !self.is_busy() {
            // Answers that nobody sees may still be on their way.
            let _ = tokio::time::timeout(SETTLE, poll_fn(|cx| self.poll_settled(cx))).await;
        }
        for id in 0..self.links.len() {
            let Some(link) = self.links.take(id) else {
                continue;
            };
            self.cancel.remove(id).await;
            self.member.gave_up(link.conn.meter.server.id);
            if let Some(conn) = link.into_quiet() {
                conn.release(reset_query_list).await;
            }
        }
    }
}

fn still_paused(database: &str, waited: Duration) -> PgError {
    let waited = show_duration(waited);
    PgError::error("57P03", format!("database \"{database}\" is paused: waited {waited} for RESUME"))
        .with_hint("query_wait_timeout in waypool.toml says how long a client waits.")
}

/// SQLSTATE 57P03: cannot_connect_now.
pub fn no_primary() -> PgError {
    PgError::error("57P03", "no primary server is known at the moment")
        .with_detail("The statement writes, or may write, or needs the primary for another reason.")
        .with_hint(
            "SHOW pool_nodes tells what Waypool knows of the servers. Reads that a standby can answer go on.",
        )
}

fn not_repeated(backend: &Backend, statement: &str, error: &QueryError) -> PgError {
    match error {
        QueryError::Server { sqlstate, message } => PgError::error(sqlstate.clone(), message.clone())
            .with_detail(format!("Backend {} said this of the session's settings: {statement}", backend.id)),
        QueryError::Io(_) => PgError::error(
            "08006",
            format!("could not bring the session's settings to backend {}: {error}", backend.id),
        ),
    }
}
