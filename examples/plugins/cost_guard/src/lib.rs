//! Sends reports to one standby, and nothing else of theirs anywhere.
//!
//! A report is a read with the comment `/* report */`, or any read of a program
//! that calls itself by one of `application_names`. If the standby is down, or
//! too far behind, reports go to the primary or are refused, as configured:
//! they never slow the other standbys down.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{
    Balancer, Classifier, Depends, Host, Node, Opinion, Plugin, Refusal, Result, Routing, Servers,
    SessionInfo, SessionPlan, SessionState, Statement, Transaction, Verdict, export,
};
use waypool_scan::Tokens;

/// `[plugins.cost_guard.config]` of waypool.toml
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The number of the server which the reports go to.
    pub standby: u32,
    /// The word that makes a comment the mark of a report; "" is none.
    pub comment: String,
    /// Programs all of whose reads are reports.
    pub application_names: BTreeSet<String>,
    /// A report when the standby is down or too far behind.
    pub otherwise: Otherwise,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    Primary,
    Refuse,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            standby: 1,
            comment: "report".to_owned(),
            application_names: BTreeSet::new(),
            otherwise: Otherwise::Refuse,
        }
    }
}

/// What the classifier writes into the verdict, and the balancer reads there.
const REPORT: &str = "report";

#[derive(Debug)]
pub struct CostGuard {
    config: Config,
    /// The standby as known now.
    standby: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Standing {
    Readable,
    Behind,
    Down,
}

impl Standing {
    fn describe(self) -> &'static str {
        match self {
            Standing::Readable => "is well",
            Standing::Behind => "is too far behind",
            Standing::Down => "is down",
        }
    }
}

impl Plugin for CostGuard {
    type Config = Config;

    const ABOUT: &'static str = "Sends reports to one standby";

    fn new(config: Config) -> Result<Self> {
        if config.comment.contains(|c: char| c.is_whitespace() || c == ',') {
            return Err(format!("comment = \"{}\": one word, please", config.comment).into());
        }
        Ok(CostGuard { config, standby: Standing::Down })
    }
}

// === is it a report? ===

impl Classifier for CostGuard {
    fn classify(&mut self, text: &str, host: &Host) -> Result<Opinion> {
        Ok(match self.is_report(text, host) {
            true => Opinion::Refine,
            false => Opinion::Pass(self.depends()),
        })
    }

    /// The classifiers behind have said what it is: the tag comes on top.
    fn refine(&mut self, _text: &str, verdict: Verdict, _host: &Host) -> Result<Verdict> {
        let depends = verdict.depends.max(self.depends());
        Ok(verdict.tagged([REPORT]).depending_on(depends))
    }
}

impl CostGuard {
    fn is_report(&self, text: &str, host: &Host) -> bool {
        let Config { comment, application_names, .. } = &self.config;
        let mut comments = Tokens::new(text).filter(|token| token.kind.is_trivia());
        let says_so = |comment_text: &str| {
            let mut words = comment_text.split(|c: char| c.is_whitespace() || "-/*,".contains(c));
            words.any(|word| word == comment)
        };
        (!comment.is_empty() && comments.any(|token| says_so(token.text(text))))
            || application_names.contains(&host.application_name())
    }

    /// For which texts else the answer holds. A text with the comment and one
    /// without it have the same shape.
    fn depends(&self) -> Depends {
        if self.config.comment.is_empty() { Depends::Shape } else { Depends::Text }
    }
}

// === where does it go? ===

impl Balancer for CostGuard {
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        let standby = nodes.iter().find(|node| node.id == self.config.standby);
        self.standby = match standby {
            Some(node) if node.usable && !node.delayed => Standing::Readable,
            Some(node) if node.usable => Standing::Behind,
            _ => Standing::Down,
        };
    }

    /// A program of reports is at home on the standby, so that its transactions
    /// read there as well.
    fn plan_session(&mut self, session: &SessionInfo, _random: u64, _host: &Host) -> Option<SessionPlan> {
        let reports = self.config.application_names.contains(&session.application_name);
        reports.then(|| SessionPlan::home(self.config.standby))
    }

    fn route(&mut self, statement: Statement, state: SessionState, host: &Host) -> Result<Routing> {
        // Writes are the primary's. Each question to the host takes a tenth of a
        // microsecond: the cheap test goes first.
        if statement.servers != Servers::Any || !host.tags().iter().any(|tag| tag == REPORT) {
            return Ok(Routing::Pass);
        }
        Ok(match (self.standby, state.transaction) {
            // Its servers were chosen at BEGIN. The balancer behind reads from
            // the session's home, until the transaction writes.
            (Standing::Readable, Transaction::Open) | (_, Transaction::Failed) => Routing::Pass,
            (Standing::Readable, Transaction::Idle) => Routing::to(self.config.standby, state),
            (Standing::Behind | Standing::Down, _) => self.without_standby(state, host),
        })
    }

    fn explain(&self, _host: &Host) -> String {
        let server = self.config.standby;
        match self.standby {
            Standing::Readable => format!("reports go to server {server}"),
            Standing::Behind | Standing::Down => {
                format!("a report, but server {server} {}", self.standby.describe())
            }
        }
    }
}

impl CostGuard {
    fn without_standby(&self, state: SessionState, host: &Host) -> Routing {
        if self.config.otherwise == Otherwise::Primary {
            host.count("reports_on_primary", 1);
            return Routing::primary(state);
        }
        host.count("reports_refused", 1);
        let why = self.standby.describe();
        // 53000: insufficient resources
        Refusal::new("53000", format!("server {}, which is for reports, {why}", self.config.standby))
            .hint("Run the report later; nothing else is affected.")
            .into()
    }
}

export!(CostGuard: classifier, balancer);

#[cfg(test)]
mod tests;
