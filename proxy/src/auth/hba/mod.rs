//! Host-based rules: who may come from where, and how they prove themselves.
//! The syntax is that of `pg_hba.conf`:
//! <https://www.postgresql.org/docs/current/auth-pg-hba-conf.html>
//!
//! Not taken: host names (a rule would depend on DNS at the time of a login:
//! write the address), `samenet`, `+group`, `samerole`, `@file`. Each is an
//! error that says what to write instead.

mod parse;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;

use super::client::Method;
use super::{AuthError, sqlstate};

pub use parse::ParseError;

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// `None`: a Unix-domain socket.
    pub address: Option<IpAddr>,
    /// The address of ours that the client connected to; `samehost` needs it.
    pub local: Option<IpAddr>,
    /// The connection is encrypted.
    pub tls: bool,
}

/// What a rule says about the connections that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Reject,
    Authenticate(Method),
}

/// The rules, in their order: the first that matches decides.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    origin: Origin,
    databases: Vec<Database>,
    users: Vec<User>,
    action: Action,
}

/// The first fields of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Local,
    Host(Encryption, Address),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Any,
    /// `hostssl`
    Required,
    /// `hostnossl`
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    All,
    SameHost,
    Net(IpNet),
}

#[derive(Debug, Clone)]
enum Database {
    All,
    SameUser,
    /// Physical replication, which names no database.
    Replication,
    Name(String),
    Pattern(Regex),
}

#[derive(Debug, Clone)]
enum User {
    All,
    Name(String),
    Pattern(Regex),
}

// === impl Rules ===

impl Rules {
    /// Parses rules, one a line; empty lines and comments are allowed. Errors
    /// count the lines from 1.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, ParseError> {
        let rules = parse::rules(lines)?;
        Ok(Self { rules })
    }

    /// What the first matching rule says; `None` if no rule matches. Physical
    /// replication has no `database`.
    pub fn matches(&self, peer: &Peer, database: Option<&str>, user: &str) -> Option<Action> {
        let is_it = |rule: &&Rule| rule.matches(peer, database, user);
        self.rules.iter().find(is_it).map(|rule| rule.action)
    }

    /// The method by which this client has to log in, or the refusal to send
    /// it, in PostgreSQL's words.
    pub fn method(&self, peer: &Peer, database: Option<&str>, user: &str) -> Result<Method, AuthError> {
        let opening = match self.matches(peer, database, user) {
            Some(Action::Authenticate(method)) => return Ok(method),
            Some(Action::Reject) if database.is_none() => {
                "Waypool's hba rules reject replication connection for"
            }
            Some(Action::Reject) => "Waypool's hba rules reject connection for",
            None if database.is_none() => "no entry in Waypool's hba rules for replication connection from",
            None => "no entry in Waypool's hba rules for",
        };
        let host = peer.address.map(|address| address.to_canonical());
        let host = host.map_or("[local]".into(), |address| address.to_string());
        let encryption = if peer.tls { "SSL encryption" } else { "no encryption" };
        let database = database.map_or(String::new(), |database| format!(" database \"{database}\","));
        let message = format!("{opening} host \"{host}\", user \"{user}\",{database} {encryption}");
        Err(AuthError::new(sqlstate::INVALID_AUTHORIZATION, message))
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

// === impl Rule ===

impl Rule {
    fn matches(&self, peer: &Peer, database: Option<&str>, user: &str) -> bool {
        self.origin.matches(peer)
            && self.databases.iter().any(|name| name.matches(database, user))
            && self.users.iter().any(|name| name.matches(user))
    }
}

// === impl Origin ===

impl Origin {
    fn matches(&self, peer: &Peer) -> bool {
        match (self, peer.address) {
            (Origin::Local, None) => true,
            (Origin::Host(encryption, address), Some(client)) => {
                encryption.matches(peer.tls) && address.matches(client, peer.local)
            }
            (Origin::Local, Some(_)) | (Origin::Host(..), None) => false,
        }
    }
}

impl Encryption {
    fn matches(self, tls: bool) -> bool {
        match self {
            Encryption::Any => true,
            Encryption::Required => tls,
            Encryption::Refused => !tls,
        }
    }
}

impl Address {
    fn matches(&self, client: IpAddr, local: Option<IpAddr>) -> bool {
        // A socket that listens on both families shows IPv4 as ::ffff:a.b.c.d.
        let client = client.to_canonical();
        match self {
            Address::All => true,
            // Between two addresses of one host the kernel takes the same at
            // both ends, unless the client binds to another.
            Address::SameHost => client.is_loopback() || local.map(|ip| ip.to_canonical()) == Some(client),
            Address::Net(net) => net.contains(&client),
        }
    }
}

impl Database {
    /// As in PostgreSQL, `all` is not for physical replication.
    fn matches(&self, database: Option<&str>, user: &str) -> bool {
        let Some(database) = database else {
            return matches!(self, Database::Replication);
        };
        match self {
            Database::All => true,
            Database::SameUser => database == user,
            Database::Replication => false,
            Database::Name(name) => name == database,
            Database::Pattern(pattern) => pattern.is_match(database),
        }
    }
}

impl User {
    fn matches(&self, user: &str) -> bool {
        match self {
            User::All => true,
            User::Name(name) => name == user,
            User::Pattern(pattern) => pattern.is_match(user),
        }
    }
}
