//! `SHOW POOLS`: a row for each user and database, as PgBouncer has it: what
//! reads it takes two rows of the same names for a mistake. `SHOW
//! BACKEND_POOLS` has one for each server besides.

use super::super::DATABASE;
use super::super::table::{Column, Table, Value, int, text};
use super::numbers;
use crate::census::{Client, Server, State, since};
use crate::config::{Config, PoolMode};
use crate::proxy::Proxy;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const COLUMNS: [Column; 19] = [
    text("database"),
    text("user"),
    int("cl_active"),
    int("cl_waiting"),
    int("cl_active_cancel_req"),
    int("cl_waiting_cancel_req"),
    int("sv_active"),
    int("sv_active_cancel"),
    int("sv_being_canceled"),
    int("sv_idle"),
    int("sv_used"),
    int("sv_tested"),
    int("sv_login"),
    int("maxwait"),
    int("maxwait_us"),
    text("pool_mode"),
    text("load_balance_hosts"),
    int("pinned"),
    text("backend"),
];

/// Database and user.
type Key = (Arc<str>, Arc<str>);

/// One row.
#[derive(Debug, Default)]
struct Pool {
    cl_active: usize,
    cl_waiting: usize,
    sv_active: usize,
    sv_idle: usize,
    sv_tested: usize,
    sv_login: usize,
    pinned: usize,
    maxwait: Duration,
    backends: BTreeSet<usize>,
}

pub(super) fn pools(proxy: &Proxy) -> Table {
    let mut pools: BTreeMap<Key, Pool> = BTreeMap::new();
    each(proxy, |key, _, member| pools.entry(key).or_default().add(&member));
    table(proxy, pools.into_iter())
}

pub(super) fn by_backend(proxy: &Proxy) -> Table {
    let mut pools: BTreeMap<(Key, Option<usize>), Pool> = BTreeMap::new();
    each(proxy, |key, backend, member| pools.entry((key, backend)).or_default().add(&member));
    table(proxy, pools.into_iter().map(|((key, _), pool)| (key, pool)))
}

enum Member {
    Client(Arc<Client>),
    Server(Arc<Server>),
}

fn each(proxy: &Proxy, mut add: impl FnMut(Key, Option<usize>, Member)) {
    for client in proxy.census.clients.list() {
        let key = (client.database.clone(), client.user.clone());
        add(key, client.backend(), Member::Client(client));
    }
    for server in proxy.pools.iter().flat_map(|pool| pool.servers.list()) {
        let key = (server.database.clone(), server.user.clone());
        add(key, Some(server.backend), Member::Server(server));
    }
}

impl Pool {
    fn add(&mut self, member: &Member) {
        match member {
            Member::Client(client) => {
                self.backends.extend(client.backend());
                match client.waiting_since() {
                    Some(began) => {
                        self.cl_waiting += 1;
                        self.maxwait = self.maxwait.max(since(began));
                    }
                    None => self.cl_active += 1,
                }
            }
            Member::Server(server) => {
                self.backends.insert(server.backend);
                self.pinned += usize::from(server.is_pinned());
                let count = match server.state() {
                    State::New => &mut self.sv_login,
                    State::Active => &mut self.sv_active,
                    State::Idle => &mut self.sv_idle,
                    State::Tested => &mut self.sv_tested,
                };
                *count += 1;
            }
        }
    }

    fn row(self, (database, user): Key, config: &Config) -> Vec<Value> {
        vec![
            (&*database).into(),
            (&*user).into(),
            self.cl_active.into(),
            self.cl_waiting.into(),
            // Cancel requests are carried out at once, on connections of their own.
            0_u32.into(),
            0_u32.into(),
            self.sv_active.into(),
            0_u32.into(),
            0_u32.into(),
            self.sv_idle.into(),
            // A kept connection needs no query before it is lent: see `is_alive`.
            0_u32.into(),
            self.sv_tested.into(),
            self.sv_login.into(),
            self.maxwait.as_secs().into(),
            self.maxwait.subsec_micros().into(),
            pool_mode(&database, &user, config).into(),
            Value::Null,
            self.pinned.into(),
            numbers(self.backends).into(),
        ]
    }
}

fn table(proxy: &Proxy, pools: impl Iterator<Item = (Key, Pool)>) -> Table {
    let config = proxy.config();
    let mut table = Table::new(&COLUMNS);
    table.rows = pools.map(|(key, pool)| pool.row(key, &config)).collect();
    table
}

fn pool_mode(database: &str, user: &str, config: &Config) -> &'static str {
    match database {
        DATABASE => "statement",
        _ => word(config.pool_mode(database, user)),
    }
}

pub(super) fn word(mode: PoolMode) -> &'static str {
    match mode {
        PoolMode::Session => "session",
        PoolMode::Transaction => "transaction",
        PoolMode::Statement => "statement",
    }
}
