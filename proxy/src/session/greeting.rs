//! How a client is greeted that shares server connections: with what a server
//! has told once, so that clients can begin, and be many, without one of their
//! own.

use crate::pool::{Applied, Identity, Parameters};
use crate::protocol::options::options_settings;
use crate::protocol::sql::literal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After this long a server is asked again.
const HOLDS: Duration = Duration::from_secs(30);
/// More are not remembered.
const MOST: usize = 1000;

/// Who is greeted alike: the same user, database and startup parameters.
type Key = (Arc<str>, Arc<str>, Applied);

/// What servers have told new sessions.
#[derive(Debug, Default)]
pub struct Greetings(Mutex<HashMap<Key, Known>>);

#[derive(Debug)]
struct Known {
    since: Instant,
    identity: Arc<Identity>,
    parameters: Parameters,
}

/// Shared by all who are greeted alike.
#[derive(Debug)]
pub struct Greeting {
    pub settings: Applied,
    /// Of the same user and database; its startup parameters may be others.
    pub identity: Arc<Identity>,
    pub parameters: Parameters,
}

impl Greetings {
    pub fn get(&self, identity: &Identity, settings: &Applied) -> Option<Greeting> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ((_, _, settings), known) = all.get_key_value(&key(identity, settings))?;
        (known.since.elapsed() < HOLDS).then(|| Greeting {
            settings: settings.clone(),
            identity: known.identity.clone(),
            parameters: known.parameters.clone(),
        })
    }

    pub fn add(&self, identity: &Arc<Identity>, settings: &Applied, parameters: &Parameters) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, known| known.since.elapsed() < HOLDS);
        }
        if all.len() < MOST {
            let (identity, parameters) = (identity.clone(), parameters.clone());
            let key = key(&identity, settings);
            all.insert(key, Known { since: Instant::now(), identity, parameters });
        }
    }

    /// Users, passwords or servers may have changed.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn key(identity: &Identity, settings: &Applied) -> Key {
    (identity.user.clone(), identity.database.clone(), settings.clone())
}

/// Parameters that can be set by the startup packet alone.
const AT_START_ONLY: [&str; 6] = [
    "ignore_system_indexes",
    "jit_debugging_support",
    "jit_profiling_support",
    "log_connections",
    "log_disconnections",
    "post_auth_delay",
];

/// What a startup packet asks for, in two parts: parameters that a server must
/// be given when it is connected to, which only clients that ask for the same
/// can share; and what is set for each client when it gets the connection.
pub fn split(parameters: Vec<(String, String)>) -> (Vec<(String, String)>, Applied) {
    let (mut fixed, mut settings) = (Vec::new(), Vec::new());
    // As a server does: first the options, then the parameters.
    let (options, others): (Vec<_>, Vec<_>) = parameters.into_iter().partition(|(name, _)| name == "options");
    for (name, value) in options {
        match options_settings(&value) {
            Some(pairs) if pairs.iter().all(|(name, _)| !at_start_only(name)) => settings.extend(pairs),
            _ => fixed.push((name, value)),
        }
    }
    for (name, value) in others {
        match at_start_only(&name) {
            true => fixed.push((name, value)),
            false => settings.push((name, value)),
        }
    }
    (fixed, settings_of(&settings))
}

fn at_start_only(name: &str) -> bool {
    AT_START_ONLY.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The statements that set the same: a server takes a parameter of the startup
/// packet as `set_config` does, not as SET.
fn settings_of(parameters: &[(String, String)]) -> Applied {
    let mut settings: Vec<(String, Box<[u8]>)> = Vec::new();
    for (name, value) in parameters {
        let text = format!("SELECT pg_catalog.set_config({}, {}, false)", literal(name), literal(value));
        let name = name.to_ascii_lowercase();
        settings.retain(|(known, _)| *known != name);
        settings.push((name, text.into_bytes().into()));
    }
    Arc::new(settings)
}
