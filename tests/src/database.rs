//! The servers that tests share, and a database for each test.

use std::sync::OnceLock;

use waypool_sandbox::Cluster;

use crate::wait_until;

/// A primary and a standby which log every statement: one pair for all tests of
/// a program, for tests that do not disturb each other. Use a [`Database`] of
/// your own on them. A commit waits until the standby has replayed it: what was
/// written can be read anywhere. The sandbox's guardian removes the servers when
/// the program ends.
pub fn primary_and_standby() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let builder = Cluster::builder()
            .standbys(1)
            .setting("log_statement", "all")
            .setting("synchronous_standby_names", "server1")
            .setting("synchronous_commit", "remote_apply");
        builder.start().unwrap_or_else(|error| panic!("{error}"))
    })
}

/// A database for one test, there on all servers.
#[derive(Debug, Clone, Copy)]
pub struct Database {
    pub cluster: &'static Cluster,
    pub name: &'static str,
}

impl Database {
    /// Makes it on [`primary_and_standby`], fills it, and waits until the standby
    /// has it too. The name must be used once.
    #[track_caller]
    pub fn create(name: &'static str, setup: &str) -> Database {
        let cluster = primary_and_standby();
        let database = Database { cluster, name };
        database.change_elsewhere(&format!("CREATE DATABASE {name}"));
        database.change(setup);
        database
    }

    /// Runs SQL on the primary, past the proxy, and waits until the standby has
    /// replayed it.
    #[track_caller]
    pub fn change(&self, sql: &str) -> String {
        let answer = self.ask(0, sql);
        self.wait_replay();
        answer
    }

    /// [`Database::change`] in the database `postgres`.
    #[track_caller]
    pub(crate) fn change_elsewhere(&self, sql: &str) {
        self.cluster.primary().psql(sql).unwrap_or_else(|error| panic!("{error}"));
        self.wait_replay();
    }

    #[track_caller]
    fn wait_replay(&self) {
        let primary = self.cluster.primary();
        for standby in &self.cluster.servers()[1..] {
            standby.wait_replay(primary).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Asks one server directly.
    #[track_caller]
    pub fn ask(&self, server: usize, sql: &str) -> String {
        let answer = self.cluster.server(server).psql_in(self.name, sql);
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until no client is left in it: then the logs tell everything.
    #[track_caller]
    pub fn wait_until_unused(&self) {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        for server in self.cluster.servers() {
            wait_until("all clients have left a database", || {
                server.psql(&sql).is_ok_and(|left| left == "0")
            });
        }
    }

    /// How often a server has logged a statement with this text in it, in this
    /// database.
    pub fn count(&self, server: usize, text: &str) -> usize {
        self.logged(server, text).len()
    }

    /// The servers that have logged a statement with this text in it, once each:
    /// `0`, `1`, `0,1`; `0x2` for twice; `-` for none.
    pub fn seen_by(&self, text: &str) -> String {
        let seen = self.cluster.servers().iter().map(|server| {
            let id = server.id();
            match self.count(id, text) {
                0 => None,
                1 => Some(id.to_string()),
                times => Some(format!("{id}x{times}")),
            }
        });
        let seen: Vec<String> = seen.flatten().collect();
        match seen.is_empty() {
            true => "-".to_owned(),
            false => seen.join(","),
        }
    }

    /// The log entries of this database that tell a statement with this text in it.
    pub fn logged(&self, server: usize, text: &str) -> Vec<String> {
        let log = self.cluster.server(server).log_text();
        let database = format!("db={} ", self.name);
        entries(&log)
            .filter(|entry| entry.contains(&database) && entry.contains(text))
            .filter(|entry| entry.contains(" LOG:  statement: ") || entry.contains(" LOG:  execute "))
            .map(str::to_owned)
            .collect()
    }
}

/// A log entry goes on over all lines that begin with a tab.
fn entries(log: &str) -> impl Iterator<Item = &str> {
    let mut rest = log;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.match_indices('\n').map(|(at, _)| at + 1).find(|at| !rest[*at..].starts_with('\t'));
        let (entry, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(entry)
    })
}
