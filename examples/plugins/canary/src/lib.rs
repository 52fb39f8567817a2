//! Sends the reads of some sessions to a new standby, to see whether it is any
//! good.
//!
//! It decides once for each session, so that a session stays on one side. Which
//! sessions it is asked about is not its business: `application_names` in
//! `[plugins.canary]` says so.
//!
//! As an observer it compares the two sides: `waypool plugin stats canary`.

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{
    Balancer, Host, Kind, Node, Observation, Observer, Plugin, Result, Routing, SessionInfo, SessionPlan,
    SessionState, Statement, export,
};

/// `[plugins.canary.config]` of waypool.toml
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The number of the new standby.
    pub standby: u32,
    /// How many of a hundred sessions read from it.
    pub percent: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config { standby: 1, percent: 0.0 }
    }
}

#[derive(Debug)]
pub struct Canary {
    config: Config,
    /// The standby answers, and is not behind.
    is_well: bool,
    canary: Side,
    others: Side,
}

/// How reads fare on one side: milliseconds, of late.
#[derive(Debug, Default)]
struct Side {
    millis: Option<f64>,
}

impl Plugin for Canary {
    type Config = Config;

    const ABOUT: &'static str = "Sends the reads of some sessions to a new standby";

    fn new(config: Config) -> Result<Self> {
        if !(0.0..=100.0).contains(&config.percent) {
            return Err(format!("percent = {}: it may be from 0 to 100", config.percent).into());
        }
        Ok(Canary { config, is_well: false, canary: Side::default(), others: Side::default() })
    }
}

impl Balancer for Canary {
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        let standby = nodes.iter().find(|node| node.id == self.config.standby);
        self.is_well = standby.is_some_and(|node| node.usable && !node.delayed);
    }

    /// The home is where a session's reads go, in transactions too. If the home
    /// dies later then the balancer behind finds another server.
    fn plan_session(&mut self, _session: &SessionInfo, random: u64, host: &Host) -> Option<SessionPlan> {
        // 53 bits: as many as a fraction in [0, 1) can have.
        let dice = (random >> 11) as f64 / (1u64 << 53) as f64 * 100.0;
        if !self.is_well || dice >= self.config.percent {
            host.count("sessions.others", 1);
            // The balancer behind chooses a home.
            return None;
        }
        host.count("sessions.canary", 1);
        Some(SessionPlan::home(self.config.standby))
    }

    /// Reads go home, unless the transaction has written, or the home is down:
    /// all that is known to the balancer behind.
    fn route(&mut self, _statement: Statement, _state: SessionState, _host: &Host) -> Result<Routing> {
        Ok(Routing::Pass)
    }
}

impl Observer for Canary {
    /// Called about twice a second, with all that has happened since.
    fn observe(&mut self, statements: &[Observation], host: &Host) {
        let reads = statements.iter().filter(|statement| statement.kind == Kind::Select);
        let on_canary = |read: &&Observation| read.node == Some(self.config.standby);
        let (canary, others): (Vec<_>, Vec<_>) = reads.partition(on_canary);
        self.canary.note("canary", &canary, host);
        self.others.note("others", &others, host);
    }
}

impl Side {
    fn note(&mut self, name: &str, reads: &[&Observation], host: &Host) {
        if reads.is_empty() {
            return;
        }
        let failed = reads.iter().filter(|read| read.sqlstate.is_some()).count();
        host.count(&format!("reads.{name}"), reads.len() as u64);
        host.count(&format!("errors.{name}"), failed as u64);
        let micros: u64 = reads.iter().map(|read| read.duration_micros).sum();
        let now = micros as f64 / reads.len() as f64 / 1000.0;
        // Half of it is news, the rest of the rest a quarter, and so on.
        let millis = self.millis.map_or(now, |before| (before + now) / 2.0);
        self.millis = Some(millis);
        host.gauge(&format!("millis.{name}"), millis);
    }
}

export!(Canary: balancer, observer);

#[cfg(test)]
mod tests;
