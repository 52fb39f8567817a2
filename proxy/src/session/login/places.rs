//! `max_db_client_connections` and `max_user_client_connections`: how many
//! clients there are of each database, and of each user.

use crate::config::Config;
use crate::protocol::PgError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

type Counts = HashMap<Arc<str>, usize>;

/// The clients that have logged in.
#[derive(Debug, Default)]
pub struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    databases: Counts,
    users: Counts,
}

/// One client among them; no more when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    database: Arc<str>,
    user: Arc<str>,
}

impl Places {
    /// Counts a client in, unless there are as many as there may be.
    pub fn take(self: &Arc<Self>, config: &Config, database: &str, user: &str) -> Result<Place, PgError> {
        let taken = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |counts: &Counts, name: &str, most: Option<usize>| {
            most.is_some_and(|most| counts.get(name).is_some_and(|count| *count >= most))
        };
        if is_full(&taken.databases, database, config.max_db_client_connections(database)) {
            return Err(too_many("database", database, "max_db_client_connections"));
        }
        if is_full(&taken.users, user, config.max_user_client_connections(user)) {
            return Err(too_many("role", user, "max_user_client_connections"));
        }
        Ok(Place {
            places: self.clone(),
            database: count_in(&mut taken.databases, database),
            user: count_in(&mut taken.users, user),
        })
    }
}

impl Place {
    pub fn user(&self) -> Arc<str> {
        self.user.clone()
    }
}

/// PostgreSQL's words for limits of its own.
fn too_many(what: &str, name: &str, key: &str) -> PgError {
    PgError::fatal("53300", format!("too many connections for {what} \"{name}\""))
        .with_hint(format!("Raise {key} in waypool.toml, or use fewer clients."))
}

/// The name is shared by all who have it.
fn count_in(counts: &mut Counts, name: &str) -> Arc<str> {
    let name = match counts.get_key_value(name) {
        Some((known, _)) => known.clone(),
        None => name.into(),
    };
    *counts.entry(name.clone()).or_default() += 1;
    name
}

fn count_out(counts: &mut Counts, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &mut *self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        count_out(&mut taken.databases, &self.database);
        count_out(&mut taken.users, &self.user);
    }
}
