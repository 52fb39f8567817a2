//! What a client that shares server connections listens to.
//!
//! Its LISTEN and UNLISTEN are run as they are, on the connection that its
//! transaction has; so they take effect, and fail, as PostgreSQL has it. When
//! the transaction is over the server is asked what the connection listens to,
//! and it stops listening; from then on [`notify`](crate::notify) does. Only then
//! the client gets its ReadyForQuery.
//!
//! What the client listened to before is brought to the connection ahead of
//! such a statement, so that the server's answer is all that it listens to. Where
//! that cannot be, the answer is what has been added.

use super::link::Link;
use super::{End, Session};
use crate::notify::subscriptions::{channel_of, quote};
use crate::notify::{Channels, Key, Listener, Way};
use crate::plugin::contract::{Effects, Kind, Verdict};
use crate::pool::Identity;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::{PgError, frontend};
use std::sync::Arc;
use std::task::Context;

/// A row for each channel, and one behind them.
const CHANNELS: &str = "SELECT 'channel:' OPERATOR(pg_catalog.||) pg_catalog.pg_listening_channels();\
    UNLISTEN *; SELECT 'channels.'";
const CHANNEL: &[u8] = b"channel:";
const END: &[u8] = b"channels.";

/// Of a client that listens, or is about to.
#[derive(Debug, Default)]
pub struct Listening {
    /// As of its last commit.
    channels: Channels,
    listener: Option<Listener>,
    pub(super) brought: Brought,
    /// The same, at each savepoint of the open transaction.
    at_savepoints: Vec<(String, Brought)>,
    /// What the client listens to may change with the statements under way: it
    /// must be asked when the transaction is over.
    ask: bool,
    /// It was asked, and this has been answered so far.
    told: Option<Channels>,
    /// The answer is all that the client listens to.
    is_all: bool,
}

/// Whether the connection listens to what the client does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    #[default]
    No,
    /// If the open transaction commits.
    Inside,
    /// Whatever becomes of the transaction.
    Outside,
}

impl Listening {
    /// The server is to be asked before the client hears that it is ready.
    pub(super) fn is_due(&self, status: TransactionStatus) -> bool {
        self.ask && self.told.is_none() && status == TransactionStatus::Idle
    }

    /// Whether a notification that comes where statements run is for the client:
    /// of a channel to which nobody else can listen for it yet. The transaction
    /// that has begun to listen may itself have notified.
    pub(super) fn hears_here(&self, message: &[u8]) -> bool {
        let known = channel_of(message).is_none_or(|channel| self.channels.contains(channel));
        self.ask && self.told.is_none() && !known
    }

    pub(super) fn savepoint(&mut self, name: &str) {
        self.at_savepoints.push((name.to_owned(), self.brought));
    }

    /// RELEASE, or with `back` ROLLBACK TO, which leaves the savepoint itself.
    pub(super) fn leave_savepoint(&mut self, name: &str, back: bool) {
        let at = self.at_savepoints.iter().rposition(|(known, _)| known == name);
        if back && self.brought == Brought::Inside {
            self.brought = at.map_or(Brought::No, |at| self.at_savepoints[at].1);
        }
        if let Some(at) = at {
            self.at_savepoints.truncate(at + usize::from(back));
        }
    }

    /// ROLLBACK, perhaps AND CHAIN
    pub(super) fn rolled_back(&mut self) {
        self.at_savepoints.clear();
        if self.brought == Brought::Inside {
            self.brought = Brought::No;
        }
    }

    /// The connection has been given up, and the statements are sent again.
    pub(super) fn forget_connection(&mut self) {
        (self.brought, self.told) = (Brought::No, None);
    }

    /// COMMIT AND CHAIN
    pub(super) fn chained(&mut self) {
        self.at_savepoints.clear();
        if self.brought == Brought::Inside {
            self.brought = Brought::Outside;
        }
    }

    fn statement(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for channel in &self.channels {
            out.extend_from_slice(b"LISTEN ");
            quote(&mut out, channel);
            out.push(b';');
        }
        out
    }
}

impl Session {
    /// Whether a statement may change what the client listens to, or asks for it.
    pub(super) fn may_listen(&self, verdict: &Verdict) -> bool {
        if !self.sharing.is_on() {
            return false;
        }
        let leaves = verdict.effects.contains(Effects::SESSION_STATE);
        // Inside a transaction it would keep that from being prepared.
        let free = self.transaction.status == TransactionStatus::Idle && self.listening.is_some();
        match verdict.kind {
            // NOTIFY leaves nothing.
            Kind::Listen => leaves,
            Kind::Unknown => leaves || free,
            Kind::Utility => free,
            Kind::Discard => free && verdict.name.as_deref().is_none_or(|what| what == "all"),
            _ => self.listening.is_some() && asks_for_channels(verdict),
        }
    }

    /// A Bind of such a statement is about to be sent to the lead.
    pub(super) fn watch_for_listens(&mut self, verdict: &Verdict) {
        if self.may_listen(verdict) && self.primary() == Some(self.lead) {
            self.listening.get_or_insert_default().ask = true;
        }
    }

    /// Has the connection listen to what the client does, ahead of statements
    /// that may change it.
    pub(super) fn bring_channels(&mut self, lead: usize) {
        if self.primary() != Some(lead) {
            return;
        }
        let status = self.transaction.status;
        let fits = status != TransactionStatus::Failed && !self.joins_cycle();
        let listening = self.listening.get_or_insert_default();
        listening.ask = true;
        if !fits || listening.told.is_some() || listening.brought != Brought::No {
            return;
        }
        let Some(link) = self.links.get_mut(lead) else {
            return;
        };
        listening.brought = match status {
            TransactionStatus::Idle => Brought::Outside,
            _ => Brought::Inside,
        };
        if !listening.channels.is_empty() {
            frontend::query(link.push(), &listening.statement());
            link.replies.query(false);
        }
    }

    /// Statements under way may change what the client listens to: what comes
    /// behind them waits, as it may notify.
    pub(super) fn listens_soon(&self) -> bool {
        let listening = self.listening.as_ref();
        listening.is_some_and(|listening| listening.ask || self.ready_held.is_some())
    }

    /// A function has listened, as it turns out.
    pub(super) fn found_listening(&mut self) {
        self.listening.get_or_insert_default().ask = true;
    }

    /// If the transaction is over, with this status, and something may have
    /// changed: asks the primary.
    pub(super) fn ask_channels(&mut self, status: TransactionStatus) {
        let before = self.transaction.status;
        let committed = self.transaction.has_committed();
        let primary = self.primary();
        let Some(listening) = self.listening.as_mut().filter(|listening| listening.is_due(status)) else {
            return;
        };
        listening.is_all = match listening.brought {
            Brought::No => false,
            Brought::Inside => before != TransactionStatus::Idle && committed,
            Brought::Outside => true,
        };
        (listening.ask, listening.brought) = (false, Brought::No);
        listening.at_savepoints.clear();
        if let Some(link) = primary.and_then(|primary| self.links.get_mut(primary)) {
            listening.told = Some(Channels::new());
            link.ask_unseen(CHANNELS);
            // If it is lost now the client cannot know what it listens to.
            self.sticky = true;
        }
    }

    /// The same between transactions, of which the client has heard already.
    pub(super) fn ask_channels_late(&mut self) {
        if self.listening.is_none() {
            return;
        }
        let primary = self.primary().and_then(|id| self.links.get(id));
        let quiet = primary.is_none_or(|link| link.replies.is_quiet());
        let Some(listening) = &mut self.listening else {
            return;
        };
        if quiet && listening.told.take().is_some() {
            tracing::warn!("what a client listens to could not be asked");
        }
        self.ask_channels(TransactionStatus::Idle);
    }

    /// A row of a server's, if it is of the answer.
    pub(super) fn on_channel(&mut self, value: &[u8]) -> bool {
        let Some(listening) = &mut self.listening else {
            return false;
        };
        let Some(told) = &mut listening.told else {
            return false;
        };
        if let Some(channel) = value.strip_prefix(CHANNEL) {
            told.insert(channel.into());
            return true;
        }
        if value != END {
            return false;
        }
        let mut channels = listening.told.take().unwrap_or_default();
        if !listening.is_all {
            channels.extend(listening.channels.iter().cloned());
        }
        listening.channels = channels;
        self.listen();
        true
    }

    /// Has the proxy's connection do what the server's answer says.
    fn listen(&mut self) {
        let primary = self.primary().unwrap_or(self.lead);
        let (proxy, identity, credentials) = (&self.worker.proxy, &self.identity, &self.credentials);
        let Some(listening) = &mut self.listening else {
            return;
        };
        if listening.channels.is_empty() {
            // Whoever joins the next time comes anew.
            listening.listener = None;
            if !listening.ask {
                self.listening = None;
            }
            return;
        }
        let Some(pool) = proxy.pools.get(primary) else {
            return;
        };
        let shown = self.sharing.shown.iter().find(|(name, _)| name == "client_encoding");
        let client_encoding = shown.map_or("", |(_, value)| value).to_owned();
        let listener = listening.listener.get_or_insert_with(|| {
            let database = identity.database.clone();
            proxy.notify.join(Key { database, client_encoding: client_encoding.clone() })
        });
        listener.listen(&listening.channels, || Way {
            cluster: proxy.cluster.clone(),
            pool: pool.clone(),
            identity: Arc::new(Identity {
                user: identity.user.clone(),
                database: identity.database.clone(),
                parameters: vec![
                    ("application_name".into(), "waypool listen".into()),
                    ("client_encoding".into(), client_encoding),
                ],
            }),
            credentials: credentials.clone(),
        });
    }

    /// The client's ReadyForQuery has to wait: for the server's answer, or until
    /// the proxy's connection listens.
    pub(super) fn awaits_channels(&self) -> Result<bool, End> {
        let Some(listening) = &self.listening else {
            return Ok(false);
        };
        let quiet = self.links.get(self.lead).is_none_or(|link| link.replies.is_quiet());
        if listening.told.is_some() && quiet {
            let error = PgError::fatal("58000", "the server did not tell what the session listens to");
            return Err(End::Fatal(error.with_hint("Connect again and LISTEN.")));
        }
        let ear = listening.listener.as_ref().map(|listener| &listener.ear);
        if let Some(error) = ear.and_then(|ear| ear.failure()) {
            return Err(End::Fatal(error));
        }
        Ok(!quiet || ear.is_some_and(|ear| !ear.is_settled()))
    }

    /// Hands on what has been heard: between transactions, as PostgreSQL does.
    pub(super) fn poll_heard(&mut self, cx: &Context<'_>) -> Result<(), End> {
        let Some(listening) = &self.listening else {
            return Ok(());
        };
        let ear = listening.listener.as_ref().map(|listener| listener.ear.clone());
        if self.ready_held.is_some() {
            if let Some(ear) = &ear {
                ear.listen(cx);
            }
            self.release_ready()?;
        }
        let Some(ear) = ear else {
            return Ok(());
        };
        ear.listen(cx);
        if let Some(error) = ear.overflow() {
            return Err(End::Fatal(error));
        }
        while self.takes_notifications() {
            match ear.take() {
                Some(Ok(message)) => self.answer(&message)?,
                Some(Err(error)) => return Err(End::Fatal(error)),
                None => break,
            }
        }
        Ok(())
    }

    fn takes_notifications(&self) -> bool {
        let over = self.transaction.status == TransactionStatus::Idle && !self.is_busy();
        let between = !self.cycle.is_open() && !self.cycle.awaits_sync() && self.held.is_empty();
        let in_message = |link: &Link| link.replies.is_mid_frame();
        over && between && self.client.outbox.is_empty() && self.links.which(in_message) == 0
    }
}

/// `name` may have a schema before it.
fn asks_for_channels(verdict: &Verdict) -> bool {
    let is_it = |name: &String| name.rsplit('.').next() == Some("pg_listening_channels");
    verdict.functions.iter().any(is_it)
}
