//! A plugin that decides in all roles, and testifies which version of it did:
//! what Waypool's hot swap, gates and observers are tested with.
//!
//! Its version is a few bytes in the compiled file (see [`stamp`]). Tests change
//! them there, and so have as many versions as they need that differ in nothing
//! else.
//!
//! - rewriter: puts its version as a string in the place of `witness_version()`;
//! - classifier: adds its version as a tag to the verdict of those behind;
//! - balancer: decides, and counts `routed v001`, `ended v001`. What should never
//!   happen is counted as well: `torn` is a statement that another version
//!   classified, `mixed` a transaction that another version began;
//! - gate: treats sessions as its configuration says;
//! - observer: counts, or writes what it is told to the log, as JSON.

mod balancer;
mod sessions;
pub mod stamp;
mod texts;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{Error, Host, Level, Node, Observation, Observer, Plugin, export};

pub use sessions::Fate;
use stamp::Mood;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Each statement that is over is a line of the log
    log: bool,
    /// Texts that begin with these words are refused
    refuse: Option<String>,
    /// What becomes of a user's sessions
    sessions: BTreeMap<String, Fate>,
}

#[derive(Debug)]
pub struct Witness {
    config: Config,
    mood: Mood,
    version: u32,
    /// `v001`
    name: String,
    nodes: Vec<Node>,
}

impl Plugin for Witness {
    type Config = Config;

    const ABOUT: &'static str = "Decides, and testifies which version of it did (for tests of hot swap)";

    fn new(config: Config) -> Result<Self, Error> {
        let (version, mood) = stamp::read()?;
        if mood == Mood::Stillborn {
            panic!("this version does not live");
        }
        Ok(Witness { config, mood, version, name: format!("v{version:03}"), nodes: Vec::new() })
    }

    fn self_test(&mut self, _host: &Host) -> Result<(), Error> {
        match self.mood {
            Mood::Sick => Err("this version is sick".into()),
            _ => Ok(()),
        }
    }
}

impl Witness {
    fn count(&self, what: &str, host: &Host) {
        host.count(&format!("{what} {}", self.name), 1);
    }
}

impl Observer for Witness {
    fn observe(&mut self, statements: &[Observation], host: &Host) {
        host.count("observed", statements.len() as u64);
        if self.config.log {
            for statement in statements {
                host.log(Level::Info, &testimony(statement));
            }
        }
    }
}

fn testimony(seen: &Observation) -> String {
    let kind = format!("{:?}", seen.kind);
    let line = serde_json::json!({
        "session": seen.session,
        "database": seen.database,
        "user": seen.user,
        "application_name": seen.application_name,
        "kind": kind.trim_start_matches("Kind::"),
        "node": seen.node,
        "micros": seen.duration_micros,
        "rows": seen.rows,
        "sqlstate": seen.sqlstate,
        "tags": seen.tags,
    });
    format!("observed {line}")
}

export!(Witness: classifier, rewriter, balancer, gate, observer);
