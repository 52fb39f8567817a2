//! Sends the reads of each tenant to its own group of servers.
//!
//! Two roles in one plugin, which share its configuration:
//!
//! - The classifier finds out whose statement it is, by a comment
//!   (`/* tenant=acme */`) or by the database, and writes that into the verdict
//!   as a tag: `tenant=acme`.
//! - The balancer reads the tag and chooses a server of that tenant's group.
//!
//! Why not all in the balancer? It never sees a text, and it is asked for each
//! statement. What the classifier says is kept with the text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{
    Balancer, Classifier, Depends, Host, Node, NodeRole, Opinion, Plugin, Refusal, Result, Routing, Servers,
    SessionInfo, SessionPlan, SessionState, Statement, Transaction, Verdict, export,
};
use waypool_scan::Tokens;

/// `[plugins.tenant.config]` of waypool.toml
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The servers of each tenant, by their number: `acme = [1, 2]`.
    pub groups: BTreeMap<String, Vec<u32>>,
    /// Databases which belong to one tenant: `acme_shop = "acme"`.
    pub databases: BTreeMap<String, String>,
    /// Where a comment may name the tenant.
    pub comments: Comments,
    /// A read when no server of the group can answer it.
    pub otherwise: Otherwise,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comments {
    #[default]
    Anywhere,
    /// Before the first word of the statement.
    Leading,
    Ignored,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The balancer behind chooses among all servers.
    #[default]
    Any,
    Primary,
    Refuse,
}

#[derive(Debug)]
pub struct Tenant {
    config: Config,
    nodes: Vec<Node>,
    /// Of the last statement, for `explain`.
    last: String,
}

impl Plugin for Tenant {
    type Config = Config;

    const ABOUT: &'static str = "Sends the reads of each tenant to its own group of servers";

    fn new(config: Config) -> Result<Self> {
        if let Some((name, _)) = config.groups.iter().find(|(_, servers)| servers.is_empty()) {
            return Err(format!("groups.{name}: a group has at least one server").into());
        }
        let unknown = |(_, tenant): &(&String, &String)| !config.groups.contains_key(*tenant);
        if let Some((database, tenant)) = config.databases.iter().find(unknown) {
            return Err(format!("databases.{database}: there is no group \"{tenant}\"").into());
        }
        Ok(Tenant { config, nodes: Vec::new(), last: String::new() })
    }
}

// === whose statement is it? ===

impl Classifier for Tenant {
    /// What kind of statement it is, the classifiers behind know better: their
    /// verdict comes back to `refine`.
    fn classify(&mut self, text: &str, host: &Host) -> Result<Opinion> {
        Ok(match self.tenant_of(text, host) {
            Some(_) => Opinion::Refine,
            None => Opinion::Pass(self.depends()),
        })
    }

    fn refine(&mut self, text: &str, verdict: Verdict, host: &Host) -> Result<Verdict> {
        let tag = self.tenant_of(text, host).map(|tenant| format!("tenant={tenant}"));
        let depends = verdict.depends.max(self.depends());
        Ok(verdict.tagged(tag).depending_on(depends))
    }
}

impl Tenant {
    fn tenant_of(&self, text: &str, host: &Host) -> Option<String> {
        let in_comment = match self.config.comments {
            Comments::Anywhere => named_in(text, Tokens::new(text).filter(|token| token.kind.is_trivia())),
            Comments::Leading => named_in(text, Tokens::new(text).take_while(|token| token.kind.is_trivia())),
            Comments::Ignored => None,
        };
        // Asking for the database has a price: the answers of this plugin are
        // kept for each database, user and application name by itself.
        in_comment.map(str::to_owned).or_else(|| self.config.databases.get(&host.database()).cloned())
    }

    /// For which texts else the answer holds. The proxy takes `SELECT 1` and
    /// `SELECT /* tenant=acme */ 1` for the same shape, so whoever looks for
    /// comments there must say `Text`, also when there is none. Comments before
    /// the first word are part of the shape.
    fn depends(&self) -> Depends {
        match self.config.comments {
            Comments::Anywhere => Depends::Text,
            Comments::Leading | Comments::Ignored => Depends::Shape,
        }
    }
}

/// The first comment that names a tenant.
fn named_in(text: &str, comments: impl Iterator<Item = waypool_scan::Token>) -> Option<&str> {
    comments.filter_map(|comment| named_by(comment.text(text))).next()
}

/// `/* tenant=acme */`, and `/*action='buy',tenant='acme'*/` as the libraries
/// called sqlcommenter write it.
fn named_by(comment: &str) -> Option<&str> {
    let inside = comment.trim_matches(|c: char| "-/*".contains(c) || c.is_whitespace());
    let pairs = inside.split(',').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(|(key, _)| key.trim() == "tenant").map(|(_, value)| value);
    named.map(|value| value.trim().trim_matches('\'')).next()
}

// === which server? ===

impl Balancer for Tenant {
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        self.nodes = nodes.to_vec();
    }

    /// The home of a tenant's session is in its group: explicit transactions
    /// read there. (A comment comes too late for that: the servers that take
    /// part in a transaction are chosen at its BEGIN.)
    fn plan_session(&mut self, session: &SessionInfo, random: u64, _host: &Host) -> Option<SessionPlan> {
        let group = self.config.groups.get(self.config.databases.get(&session.database)?)?;
        let home = self.choose(group, u32::MAX, random).unwrap_or(group[0]);
        Some(SessionPlan::home(home))
    }

    fn route(&mut self, statement: Statement, state: SessionState, host: &Host) -> Result<Routing> {
        // Whatever is no plain read belongs to the primary, or to all servers of
        // the session: the balancer behind knows. The same for transactions,
        // because it remembers which of them have written.
        if statement.servers != Servers::Any || state.transaction != Transaction::Idle {
            return Ok(Routing::Pass);
        }
        let Some(tenant) = host.tag("tenant") else {
            return Ok(Routing::Pass);
        };
        let Some(group) = self.config.groups.get(&tenant) else {
            host.count("unknown_tenants", 1);
            return Ok(Routing::Pass);
        };
        let chosen = self.choose(group, state.home, state.random);
        self.last.clone_from(&tenant);
        Ok(match (chosen, self.config.otherwise) {
            (Some(id), _) => Routing::to(id, state),
            (None, Otherwise::Any) => Routing::Pass,
            (None, Otherwise::Primary) => Routing::primary(state),
            (None, Otherwise::Refuse) => {
                host.count("refused", 1);
                // 53000: insufficient resources
                Refusal::new("53000", format!("no server of tenant {tenant} can be read from"))
                    .hint("Try again later, or ask for otherwise = \"primary\" in [plugins.tenant.config].")
                    .into()
            }
        })
    }

    fn explain(&self, _host: &Host) -> String {
        format!("tenant {} reads from its own servers", self.last)
    }
}

impl Tenant {
    /// The session's home if it belongs to the group, so that a session does not
    /// see the data jump back and forth; else any of them.
    fn choose(&self, group: &[u32], home: u32, random: u64) -> Option<u32> {
        let readable = |id: &u32| self.nodes.iter().any(|node| node.id == *id && is_readable(node));
        let those: Vec<u32> = group.iter().copied().filter(readable).collect();
        match those.contains(&home) {
            true => Some(home),
            false => those.get(random as usize % those.len().max(1)).copied(),
        }
    }
}

/// The primary is never behind.
fn is_readable(node: &Node) -> bool {
    node.usable && (!node.delayed || node.role == NodeRole::Primary)
}

export!(Tenant: classifier, balancer);

#[cfg(test)]
mod tests;
