//! So many statements of each tenant run at a time, and so many begin in a
//! second. The others wait, and are refused if it takes too long.
//!
//! Whose a statement is, says a tag that a classifier has put into the verdict
//! (see the example `tenant`), or the session's user, database or application
//! name.
//!
//! The counts are in the store: each worker thread of the proxy has an instance
//! of this plugin, and all have to count together. Where a statement goes is
//! not decided here: that is for the balancers behind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{
    Balancer, Host, Node, Plugin, Refusal, Result, Routing, SessionState, Statement, Transaction, export,
};

/// `[plugins.throttle.config]` of waypool.toml
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What makes statements one tenant's.
    pub by: By,
    /// With `by = "tag"`: the tag's name. Statements without it are not limited.
    pub tag: String,
    /// So many of each tenant run at a time; 0 is no limit.
    pub running: u64,
    /// So many of each tenant begin in a second; 0 is no limit.
    pub per_second: u64,
    /// The others wait for so long, and are then refused.
    pub wait_millis: u32,
    /// Other limits for some: `acme = { running = 50 }`.
    pub tenants: BTreeMap<String, Limits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Tag,
    User,
    Database,
    ApplicationName,
}

/// What is left out is as for all others.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub running: Option<u64>,
    pub per_second: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            by: By::Tag,
            tag: "tenant".to_owned(),
            running: 20,
            per_second: 0,
            wait_millis: 2_000,
            tenants: BTreeMap::new(),
        }
    }
}

/// A statement that waits is looked at again after so long.
const LOOK_AGAIN: u32 = 10;
/// The proxy lets nobody wait for longer.
const LONGEST_WAIT: u32 = 60_000;

#[derive(Debug)]
pub struct Throttle {
    config: Config,
}

impl Plugin for Throttle {
    type Config = Config;

    const ABOUT: &'static str = "Limits how many statements of each tenant run at a time, and in a second";

    fn new(config: Config) -> Result<Self> {
        if config.wait_millis > LONGEST_WAIT {
            return Err(format!("wait_millis = {}: at most {LONGEST_WAIT}", config.wait_millis).into());
        }
        Ok(Throttle { config })
    }
}

impl Balancer for Throttle {
    fn topology(&mut self, _nodes: &[Node], _host: &Host) {}

    fn route(&mut self, _statement: Statement, state: SessionState, host: &Host) -> Result<Routing> {
        // It has been let in: the transaction or batch that this one belongs to,
        // or the statement itself, which a balancer behind has made wait.
        if !host.remembered().is_empty() {
            return Ok(Routing::Watch);
        }
        // A transaction that is under way holds locks: let it come to its end.
        let tenant = self.tenant(host).filter(|_| state.transaction == Transaction::Idle);
        let Some(tenant) = tenant else {
            return Ok(Routing::Pass);
        };
        match self.let_in(&tenant, host) {
            Ok(()) => {
                host.remember(&tenant);
                // The next balancer decides, and `ended` is called.
                Ok(Routing::Watch)
            }
            Err(why) => Ok(self.hold_back(&tenant, why, state.waited_millis, host)),
        }
    }

    /// The statement, or its transaction, is over. If the proxy lost its client
    /// or its server this is called as well: no place is lost.
    fn ended(&mut self, _success: bool, host: &Host) {
        for tenant in host.remembered() {
            let left = host.add(&running(&tenant), -1, None);
            self.show(&tenant, left, host);
        }
    }
}

/// The keys of the store.
fn running(tenant: &str) -> String {
    format!("running {tenant}")
}

fn begun(tenant: &str) -> String {
    format!("begun {tenant}")
}

/// Which limit has been reached.
#[derive(Debug, Clone, Copy)]
enum Why {
    Running(u64),
    PerSecond(u64),
}

impl Throttle {
    fn tenant(&self, host: &Host) -> Option<String> {
        let name = match self.config.by {
            By::Tag => host.tag(&self.config.tag)?,
            By::User => host.user(),
            By::Database => host.database(),
            By::ApplicationName => host.application_name(),
        };
        Some(name).filter(|name| !name.is_empty())
    }

    /// Counts first and looks then: another thread may do the same just now. Who
    /// was one too many takes it back.
    fn let_in(&self, tenant: &str, host: &Host) -> Result<(), Why> {
        let own = self.config.tenants.get(tenant).copied().unwrap_or_default();
        let most_running = own.running.unwrap_or(self.config.running);
        let most_begun = own.per_second.unwrap_or(self.config.per_second);
        let is_over = |count: Option<u64>, most| most > 0 && count.is_some_and(|count| count > most);

        let now_running = host.add(&running(tenant), 1, None);
        if is_over(now_running, most_running) {
            host.add(&running(tenant), -1, None);
            return Err(Why::Running(most_running));
        }
        // The count is gone a second after its first statement: no clock is needed.
        if most_begun > 0 && is_over(host.add(&begun(tenant), 1, Some(1_000)), most_begun) {
            host.add(&running(tenant), -1, None);
            return Err(Why::PerSecond(most_begun));
        }
        self.show(tenant, now_running, host);
        Ok(())
    }

    fn hold_back(&self, tenant: &str, why: Why, waited: u32, host: &Host) -> Routing {
        if waited < self.config.wait_millis {
            if waited == 0 {
                host.count(&format!("waited.{}", self.label(tenant)), 1);
            }
            return Routing::Wait(LOOK_AGAIN.min(self.config.wait_millis - waited));
        }
        host.count(&format!("refused.{}", self.label(tenant)), 1);
        let limit = match why {
            Why::Running(most) => format!("{most} statements of {tenant} are running, and no more may"),
            Why::PerSecond(most) => format!("{most} statements of {tenant} may begin in a second"),
        };
        // 53400: configuration limit exceeded
        Refusal::new("53400", limit)
            .hint(format!("It has waited for {waited} ms. Send it again later."))
            .into()
    }

    /// A plugin has a hundred counters and gauges: only tenants that have limits
    /// of their own are counted by name.
    fn label<'t>(&self, tenant: &'t str) -> &'t str {
        if self.config.tenants.contains_key(tenant) { tenant } else { "others" }
    }

    fn show(&self, tenant: &str, running: Option<u64>, host: &Host) {
        if let Some(running) = running.filter(|_| self.config.tenants.contains_key(tenant)) {
            host.gauge(&format!("running.{tenant}"), running as f64);
        }
    }
}

export!(Throttle: balancer);

#[cfg(test)]
mod tests;
