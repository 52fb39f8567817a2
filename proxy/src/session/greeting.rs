//! How a client is greeted that shares server connections: with what a server
//! has told once, so that clients can begin, and be many, without one of their
//! own.

use crate::pool::{Applied, Identity, Parameters};
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
pub struct Greetings(Mutex<HashMap<Key, (Instant, Parameters)>>);

impl Greetings {
    pub fn get(&self, identity: &Identity, settings: &Applied) -> Option<Parameters> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, parameters) = known.get(&key(identity, settings))?;
        (since.elapsed() < HOLDS).then(|| parameters.clone())
    }

    pub fn add(&self, identity: &Identity, settings: &Applied, parameters: &Parameters) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (since, _)| since.elapsed() < HOLDS);
        }
        if known.len() < MOST {
            known.insert(key(identity, settings), (Instant::now(), parameters.clone()));
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

/// What a startup packet sets, as statements that set the same. A server takes
/// a parameter of the packet as `set_config` does, not as SET.
pub fn settings_of(parameters: &[(String, String)]) -> Applied {
    let statement = |(name, value): &(String, String)| {
        let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
        // Whatever standard_conforming_strings is: no backslash is taken for more.
        let escaped = |text: &str| match text.contains('\\') {
            true => format!("E{}", literal(&text.replace('\\', "\\\\"))),
            false => literal(text),
        };
        let text = format!("SELECT pg_catalog.set_config({}, {}, false)", escaped(name), escaped(value));
        (name.to_ascii_lowercase(), text.into_bytes().into_boxed_slice())
    };
    Arc::new(parameters.iter().map(statement).collect())
}
