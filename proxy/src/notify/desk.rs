//! One connection of the proxy's own: as long as somebody listens.

use super::subscriptions::Subscriptions;
use super::{Channels, Count, Ear};
use crate::auth::server::Credentials;
use crate::cluster::Cluster;
use crate::pool::{Identity, Pool, ServerConn};
use crate::protocol::error::ErrorFields;
use crate::protocol::{HEADER_LEN, PgError, frontend};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// For the clients of one database.
#[derive(Debug, Default)]
pub struct Desk {
    state: Mutex<State>,
    /// The server is to be told of something, or nobody listens any more.
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    subscriptions: Subscriptions,
    /// There is a task with the connection.
    is_served: bool,
}

/// How to get to the primary: with what the first listener has proved.
#[derive(Debug)]
pub struct Way {
    pub cluster: Arc<Cluster>,
    pub pool: Arc<Pool>,
    pub identity: Arc<Identity>,
    pub credentials: Credentials,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listen(
        self: &Arc<Self>,
        id: u64,
        ear: &Arc<Ear>,
        channels: &Channels,
        way: impl FnOnce() -> Way,
    ) {
        let mut state = self.lock();
        state.subscriptions.listen(id, ear, channels);
        if !state.is_served && state.subscriptions.clients() > 0 {
            state.is_served = true;
            let (desk, way) = (self.clone(), way());
            tokio::spawn(async move { desk.serve(way).await });
        }
        drop(state);
        self.news.notify_one();
    }

    pub(super) fn leave(&self, id: u64) {
        self.lock().subscriptions.leave(id);
        self.news.notify_one();
    }

    pub(super) fn count(&self) -> Count {
        let state = self.lock();
        Count { connections: usize::from(state.is_served), clients: state.subscriptions.clients() }
    }

    async fn serve(&self, way: Way) {
        let error = match way.pool.connect(&way.identity, &way.credentials).await {
            Ok(conn) => match self.run(conn, &way).await {
                Ok(()) => return,
                Err(why) => lost(&why),
            },
            Err(error) => error
                .to_client(&way.pool.target.backend)
                .with_hint("LISTEN needs a connection of Waypool's own to the database: try again."),
        };
        tracing::warn!(database = %way.identity.database, "cannot listen for clients any more: {error}");
        let mut state = self.lock();
        state.subscriptions.fail(&error);
        state.is_served = false;
    }

    /// Until nobody listens, or the connection is lost.
    async fn run(&self, mut conn: Box<ServerConn>, way: &Way) -> Result<(), String> {
        let backend = way.pool.target.backend.id;
        // An order of ours is not acknowledged yet.
        let mut waits = false;
        loop {
            if !waits {
                let mut state = self.lock();
                if state.subscriptions.clients() == 0 {
                    *state = State::default();
                    return Ok(());
                }
                if let Some(order) = state.subscriptions.order() {
                    frontend::query(conn.outbox.push(), &order);
                    waits = true;
                }
            }
            let mut changed = std::pin::pin!(way.cluster.changed.notified());
            changed.as_mut().enable();
            if !way.cluster.is_primary(backend) {
                return Err(format!("backend {backend} is not the primary any more"));
            }
            tokio::select! {
                read = conn.next_message() => {
                    read.map_err(|error| error.to_string())?;
                    waits &= !self.on_message(&mut conn)?;
                }
                () = self.news.notified() => {}
                () = changed => {}
            }
        }
    }

    /// The message at the head of the inbox; whether it ends an answer.
    fn on_message(&self, conn: &mut ServerConn) -> Result<bool, String> {
        let bytes = conn.inbox.bytes();
        let Some(frame) = crate::protocol::Frame::from_server(bytes).map_err(|error| error.to_string())?
        else {
            return Ok(false);
        };
        match frame.tag {
            b'A' => self.lock().subscriptions.heard(&bytes[..frame.len]),
            b'Z' => self.lock().subscriptions.acknowledged(),
            b'E' => {
                let fields = ErrorFields::parse(&bytes[HEADER_LEN..frame.len]);
                return Err(format!("{} (SQLSTATE {})", fields.message, fields.sqlstate));
            }
            _ => {}
        }
        conn.inbox.consume(frame.len);
        Ok(frame.tag == b'Z')
    }
}

/// As PostgreSQL would have ended the session itself.
fn lost(why: &str) -> PgError {
    PgError::fatal("57P01", "terminating connection: the server connection that listened for it was lost")
        .with_detail(why)
        .with_hint(
            "Notifications may have been lost: connect again, LISTEN, and read what they would have told of.",
        )
}
