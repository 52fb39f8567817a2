//! A plugin for Waypool.
//!
//! This file is all of it. `waypool plugin test` runs its tests, `waypool
//! plugin build` makes the WebAssembly file.

// [classifier|rewriter]
use std::collections::BTreeSet;

// [/classifier|rewriter]
use serde::{Deserialize, Serialize};
// [gate]
use waypool_plugin_sdk::{Admission, Changes, Gate, Newcomer};
// [/gate]
// [balancer]
use waypool_plugin_sdk::{Balancer, Kind, Node, NodeRole, Routing, SessionState, Statement, Transaction};
// [/balancer]
// [classifier]
use waypool_plugin_sdk::{Classifier, Opinion, Servers, Verdict};
// [/classifier]
use waypool_plugin_sdk::{Host, Plugin, Result, export};
// [observer]
use waypool_plugin_sdk::{Level, Observation, Observer};
// [/observer]
// [rewriter]
use waypool_plugin_sdk::{Depends, Plan, Rewriter};
// [/rewriter]
// [gate|rewriter]
use waypool_plugin_sdk::Refusal;
// [/gate|rewriter]
// [rewriter]
use waypool_scan::Tokens;
// [/rewriter]

/// The table `[plugins.NAME.config]` of waypool.toml. A key that is left out
/// has the value of `Default`; one that is not here is refused, with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    // [classifier]
    /// Tables of which every read has to find the newest rows.
    pub fresh_tables: BTreeSet<String>,
    // [/classifier]
    // [rewriter]
    /// What is refused if it has no WHERE: "delete", "update".
    pub needs_where: BTreeSet<String>,
    // [/rewriter]
    // [balancer]
    /// A standby that is further behind than so many bytes gets no reads.
    pub most_lag_bytes: u64,
    // [/balancer]
    // [gate]
    /// Users who may come without TLS.
    pub plain_users: Vec<String>,
    /// `statement_timeout` of everybody who comes in; "" is none.
    pub statement_timeout: String,
    // [/gate]
    // [observer]
    /// Statements that take longer are counted, and logged.
    pub slow_millis: u64,
    // [/observer]
}

impl Default for Config {
    fn default() -> Self {
        Config {
            // [classifier]
            fresh_tables: BTreeSet::new(),
            // [/classifier]
            // [rewriter]
            needs_where: ["delete", "update"].map(str::to_owned).into(),
            // [/rewriter]
            // [balancer]
            most_lag_bytes: 1 << 20,
            // [/balancer]
            // [gate]
            plain_users: Vec::new(),
            statement_timeout: "1min".to_owned(),
            // [/gate]
            // [observer]
            slow_millis: 1000,
            // [/observer]
        }
    }
}

/// The plugin. The proxy makes one for each of its threads, and a new one after
/// a failure: what has to outlive that goes into the store (`Host::set`).
#[derive(Debug)]
pub struct Rule {
    config: Config,
    // [balancer]
    nodes: Vec<Node>,
    // [/balancer]
}

impl Plugin for Rule {
    type Config = Config;

    /// What `waypool plugin inspect` prints.
    const ABOUT: &'static str = "A rule made by waypool plugin new";

    /// An error here is shown to the operator, and the plugin is not loaded.
    fn new(config: Config) -> Result<Self> {
        // [rewriter]
        let known = |verb: &&String| ["delete", "update"].contains(&verb.as_str());
        if let Some(verb) = config.needs_where.iter().find(|verb| !known(verb)) {
            return Err(format!("needs_where: \"{verb}\" is neither \"delete\" nor \"update\"").into());
        }
        // [/rewriter]
        Ok(Rule {
            config,
            // [balancer]
            nodes: Vec::new(),
            // [/balancer]
        })
    }
}

// [classifier]
/// Says what a statement is, and which servers may run it.
///
/// Asked once for a statement: the proxy keeps the answer.
impl Classifier for Rule {
    /// `Refine`: let the classifiers behind say what it is, and show me.
    /// `Pass` would leave it to them; a `Verdict` would be the answer.
    fn classify(&mut self, _text: &str, _host: &Host) -> Result<Opinion> {
        Ok(Opinion::Refine)
    }

    /// Reads of a fresh table go to the primary, which is never behind.
    fn refine(&mut self, _text: &str, verdict: Verdict, _host: &Host) -> Result<Verdict> {
        let Some(table) = verdict.reads.iter().find(|name| self.is_fresh(name)) else {
            return Ok(verdict);
        };
        let reason = format!("{table} is read fresh");
        Ok(match verdict.servers {
            Servers::Any => Verdict { servers: Servers::Primary, reason, ..verdict },
            // It goes to the primary anyway.
            Servers::Primary | Servers::All => verdict,
        })
    }
}

impl Rule {
    /// Names in a verdict are `table` or `schema.table`, as they were written.
    fn is_fresh(&self, name: &str) -> bool {
        let table = name.rsplit('.').next().unwrap_or(name);
        self.config.fresh_tables.contains(table)
    }
}
// [/classifier]

// [rewriter]
/// Says whether a statement is sent as it is, edited or refused.
///
/// Asked once for a statement: the proxy keeps the answer.
impl Rewriter for Rule {
    fn rewrite(&mut self, text: &str, _host: &Host) -> Result<Plan> {
        // Words outside of strings and comments, in lower case.
        let words = Tokens::new(text).filter(|token| !token.kind.is_trivia());
        let words: Vec<String> = words.map(|token| token.text(text).to_ascii_lowercase()).collect();
        for statement in words.split(|word| word == ";") {
            let Some(verb) = statement.first() else { continue };
            if self.config.needs_where.contains(verb) && !statement.iter().any(|word| word == "where") {
                // 0A000 and the like are PostgreSQL's codes; 42501 is
                // "insufficient privilege".
                let refusal = Refusal::new("42501", format!("{verb} without WHERE"))
                    .hint("Write WHERE true if all rows are meant.");
                return Ok(refusal.into());
            }
        }
        // No literal was looked at: this holds for all statements which differ
        // from this one in their literals only.
        Ok(Plan::Keep(Depends::Shape))
    }
}
// [/rewriter]

// [balancer]
/// Says which server gets a statement. Asked for each one: be quick.
impl Balancer for Rule {
    /// Comes before anything else, and after each change.
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        self.nodes = nodes.to_vec();
    }

    /// Reads outside of transactions go to the standby that is least behind.
    /// About everything else the balancer behind decides.
    fn route(&mut self, statement: Statement, state: SessionState, _host: &Host) -> Result<Routing> {
        let is_free = statement.kind == Kind::Select
            && statement.servers == waypool_plugin_sdk::Servers::Any
            && state.transaction == Transaction::Idle;
        if !is_free {
            return Ok(Routing::Pass);
        }
        let fits = |node: &&Node| {
            node.role == NodeRole::Standby
                && node.usable
                && !node.delayed
                && node.lag_bytes <= self.config.most_lag_bytes
        };
        let best = self.nodes.iter().filter(fits).min_by_key(|node| node.lag_bytes);
        Ok(best.map_or(Routing::Pass, |node| Routing::to(node.id, state)))
    }
}
// [/balancer]

// [gate]
/// Says who comes in, and as whom. Asked when a client has proved who it is.
impl Gate for Rule {
    fn session_start(&mut self, newcomer: &Newcomer, _host: &Host) -> Result<Admission> {
        let is_remote = newcomer.address.is_some();
        if is_remote && !newcomer.tls && !self.config.plain_users.contains(&newcomer.user) {
            // 28000 is "invalid authorization specification".
            let refusal = Refusal::new("28000", format!("user {} has to use TLS", newcomer.user))
                .hint("Connect with sslmode=require.");
            return Ok(refusal.into());
        }
        if self.config.statement_timeout.is_empty() {
            return Ok(Admission::Pass);
        }
        let changes = Changes::default().parameter("statement_timeout", &self.config.statement_timeout);
        Ok(changes.into())
    }
}
// [/gate]

// [observer]
/// Is told what has happened, about twice a second and off the way of the
/// statements.
impl Observer for Rule {
    fn observe(&mut self, statements: &[Observation], host: &Host) {
        let limit = self.config.slow_millis.saturating_mul(1000);
        for slow in statements.iter().filter(|statement| statement.duration_micros > limit) {
            // `waypool plugin stats` shows it, and so do the metrics.
            host.count(&format!("slow.{}", slow.database), 1);
            let millis = slow.duration_micros / 1000;
            host.log(Level::Info, &format!("{} waited {millis} ms in {}", slow.user, slow.database));
        }
    }
}
// [/observer]

export!(Rule: classifier, rewriter, balancer, gate, observer);
