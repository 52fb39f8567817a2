//! Connections to servers: opened, lent to one session at a time, cleaned and
//! kept for the next one.
//!
//! A [`ServerConn`] in the pool is quiet: it has answered everything that was
//! asked. Whoever is in doubt about that drops it, which closes it and frees
//! its place.

pub mod connect;
pub mod connection;
mod gate;
mod group;
mod minimum;
pub mod queue;
mod quota;
pub mod state;
#[cfg(test)]
mod state_tests;
pub mod statements;
#[cfg(test)]
mod tests;

pub use connect::{ConnectError, Target};
pub use connection::{Parameters, QueryError, ServerConn};
pub use queue::{Limits, Pool};
pub use quota::Full;
pub use state::Applied;
pub use statements::{Shared, SharedStatements};

use crate::auth::server::Credentials;
use crate::census;
use crate::cluster::Backend;
use crate::config::show_duration;
use crate::protocol::PgError;
use std::sync::Arc;
use std::time::Duration;

/// Who a server connection belongs to. Connections are shared between
/// sessions whose identities are equal.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub user: Arc<str>,
    pub database: Arc<str>,
    /// Startup parameters that the server was given too: the client's, unless
    /// clients share the connection between their transactions.
    pub parameters: Vec<(String, String)>,
}

/// Why a session got no server connection.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    #[error("no server connection became free within {waited:?}")]
    QueueTimeout {
        waited: Duration,
        /// The limit that stood in the way, and how many connections it counts.
        full: Full,
        in_use: usize,
        /// Others of this user and database who wait.
        waiting: usize,
    },
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl CheckoutError {
    /// Whether the server itself is in trouble, rather than this login.
    pub fn is_server_failure(&self) -> bool {
        match self {
            CheckoutError::QueueTimeout { .. } => false,
            CheckoutError::Connect(error) => error.is_server_failure(),
        }
    }

    /// What the client is told.
    pub fn to_client(&self, backend: &Backend) -> PgError {
        match self {
            CheckoutError::QueueTimeout { waited, full, in_use, waiting } => PgError::error(
                "53300",
                format!(
                    "sorry, too many clients already: waited {} for a connection to the server \
                     (query_wait_timeout)",
                    show_duration(*waited)
                ),
            )
            .with_detail(format!(
                "Backend {} has {in_use} connections {}, all in use; {waiting} other clients of this user \
                 and database wait for one.",
                backend.id,
                full.whose()
            ))
            .with_hint(format!(
                "Raise {} or query_wait_timeout in waypool.toml, or use fewer clients.",
                full.key()
            )),
            CheckoutError::Connect(error) => error.to_client(backend),
        }
    }
}

impl Pool {
    /// A connection for `identity`: a kept one, a new one, or the next one
    /// that becomes free, in the order of asking. It is lent to `client`.
    pub async fn checkout(
        self: &Arc<Self>,
        identity: &Arc<Identity>,
        credentials: &Credentials,
        client: &census::Client,
    ) -> Result<Box<ServerConn>, CheckoutError> {
        let mut wait = client.may_wait(self.target.backend.id);
        let mut conn = match self.acquire(identity, &mut wait).await? {
            queue::Grant::Kept(conn) => conn,
            queue::Grant::Slot(slot) => {
                wait.begin();
                let limit = self.connect_timeout();
                // Seldom, and large: it is not to make every session larger.
                let parts = Box::pin(connect::connect(&self.target, identity, credentials, limit)).await?;
                if self.has_minimum(identity) {
                    self.logins.remember(identity, credentials);
                }
                ServerConn::new(parts, identity.clone(), slot)
            }
        };
        // What was said before (a login, reset queries) is nobody's traffic.
        conn.inbox.take_read();
        conn.meter.lend(client, wait.time());
        Ok(conn)
    }

    /// Sends a cancel request to the server. Returns when it has signalled the process.
    pub async fn cancel(&self, pid: u32, key: &[u8]) -> Result<(), ConnectError> {
        connect::cancel(&self.target, pid, key, self.connect_timeout()).await
    }

    /// A connection of the proxy's own (monitor, catalog look-ups): new,
    /// outside the limits, closed when dropped.
    pub async fn connect(
        self: &Arc<Self>,
        identity: &Arc<Identity>,
        credentials: &Credentials,
    ) -> Result<Box<ServerConn>, ConnectError> {
        let parts = connect::connect(&self.target, identity, credentials, self.connect_timeout()).await?;
        Ok(ServerConn::new(parts, identity.clone(), queue::Slot::unlimited(self, identity)))
    }
}
