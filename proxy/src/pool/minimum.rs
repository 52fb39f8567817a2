//! `min_pool_size`: once a client has come for a database, connections for it are
//! opened in the background until there are so many.

use super::connect::connect;
use super::queue::{Slot, key_of};
use super::quota::GroupKey;
use super::{Identity, Pool, ServerConn};
use crate::auth::server::Credentials;
use crate::census::State;
use hashbrown::HashMap;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the last one logged in who needed a new connection, by user and database.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<HashMap<GroupKey, Login>>);

type Login = (Arc<Identity>, Credentials);

// === impl Logins ===

impl Logins {
    fn lock(&self) -> MutexGuard<'_, HashMap<GroupKey, Login>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn remember(&self, identity: &Arc<Identity>, credentials: &Credentials) {
        self.lock().insert(key_of(identity), (identity.clone(), credentials.clone()));
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    fn all(&self) -> Vec<(GroupKey, Login)> {
        self.lock().iter().map(|(key, login)| (key.clone(), login.clone())).collect()
    }
}

// === impl Pool ===

impl Pool {
    /// Opens what is missing. Called now and then, while the server is up.
    pub fn open_minimum(self: &Arc<Self>) {
        let logins = self.logins.all();
        if logins.is_empty() {
            return;
        }
        self.drop_lost();
        for (key, (identity, credentials)) in logins {
            let missing: Vec<Slot> = iter::from_fn(|| self.place_of_minimum(&key)).collect();
            if !missing.is_empty() {
                let pool = self.clone();
                tokio::spawn(async move { pool.open_all(missing, identity, credentials).await });
            }
        }
    }

    async fn open_all(&self, missing: Vec<Slot>, identity: Arc<Identity>, credentials: Credentials) {
        for slot in missing {
            let parts = match connect(&self.target, &identity, &credentials, self.connect_timeout()).await {
                Ok(parts) => parts,
                Err(error) => {
                    // Perhaps the database is gone, or the password another one. The
                    // next client tells.
                    tracing::debug!(
                        backend = self.target.backend.id,
                        user = &*identity.user,
                        database = &*identity.database,
                        "min_pool_size: cannot connect: {error}"
                    );
                    self.logins.lock().remove(&key_of(&identity));
                    return;
                }
            };
            let conn = ServerConn::new(parts, identity.clone(), slot);
            conn.meter.server.set_state(State::Idle);
            self.put_back(conn);
        }
    }
}
