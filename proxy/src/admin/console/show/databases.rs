//! `SHOW DATABASES`: those that clients have asked for, or orders named, on each
//! server.

use super::super::DATABASE;
use super::super::table::{Column, Table, Value, int, text};
use super::pools;
use crate::census::Client;
use crate::cluster::Backend;
use crate::proxy::Proxy;
use std::collections::BTreeSet;
use std::sync::Arc;

const COLUMNS: [Column; 18] = [
    text("name"),
    text("host"),
    int("port"),
    text("database"),
    text("force_user"),
    int("pool_size"),
    int("min_pool_size"),
    int("reserve_pool_size"),
    int("server_lifetime"),
    text("pool_mode"),
    text("load_balance_hosts"),
    int("max_connections"),
    int("current_connections"),
    int("max_client_connections"),
    int("current_client_connections"),
    int("paused"),
    int("disabled"),
    int("backend"),
];

/// The databases that there is something to tell about.
pub(super) fn names(proxy: &Proxy) -> BTreeSet<String> {
    let mut names = proxy.doors.named();
    for pool in &proxy.pools {
        names.extend(pool.servers.list().iter().map(|server| server.database.to_string()));
        names.extend(pool.servers.stats().iter().map(|stats| stats.database.to_string()));
    }
    names.extend(proxy.census.clients.list().iter().map(|client| client.database.to_string()));
    names.remove(DATABASE);
    names
}

pub(super) fn databases(proxy: &Proxy) -> Table {
    let clients = proxy.census.clients.list();
    let mut table = Table::new(&COLUMNS);
    for name in names(proxy) {
        for pool in &proxy.pools {
            let open = pool.servers.list().iter().filter(|server| *server.database == *name).count();
            table.rows.push(row(proxy, &name, &pool.target.backend, open, &clients));
        }
    }
    table.rows.push(own(proxy, &clients));
    table
}

fn row(proxy: &Proxy, name: &str, backend: &Backend, open: usize, clients: &[Arc<Client>]) -> Vec<Value> {
    let config = proxy.config();
    let most = [config.max_db_connections(name), backend.config.max_connections].into_iter().flatten().min();
    let here = |client: &&Arc<Client>| *client.database == *name && client.backend() == Some(backend.id);
    // `NULL`, as in PgBouncer: the one at the top holds.
    let pool_mode = config.database(name).and_then(|database| database.pool_mode);
    let life_time = config.server_lifetime.map_or(0, |limit| limit.as_secs());
    vec![
        name.into(),
        backend.config.hostname.to_string().into(),
        u32::from(backend.config.port).into(),
        name.into(),
        Value::Null,
        config
            .database(name)
            .and_then(|database| database.pool_size)
            .unwrap_or(config.default_pool_size)
            .into(),
        config.min_pool_size(name).into(),
        config.reserve_pool_size(name).into(),
        life_time.into(),
        pool_mode.map_or(Value::Null, |mode| pools::word(mode).into()),
        Value::Null,
        most.unwrap_or(0).into(),
        open.into(),
        config.max_db_client_connections(name).unwrap_or(0).into(),
        clients.iter().filter(here).count().into(),
        proxy.doors.is_paused(name).into(),
        proxy.doors.is_disabled(name).into(),
        backend.id.into(),
    ]
}

/// The console's, as PgBouncer lists its own.
fn own(proxy: &Proxy, clients: &[Arc<Client>]) -> Vec<Value> {
    let zero = || Value::from(0_u32);
    vec![
        DATABASE.into(),
        Value::Null,
        u32::from(proxy.config().port).into(),
        DATABASE.into(),
        Value::Null,
        zero(),
        zero(),
        zero(),
        zero(),
        "statement".into(),
        Value::Null,
        zero(),
        zero(),
        zero(),
        clients.iter().filter(|client| *client.database == *DATABASE).count().into(),
        zero(),
        zero(),
        Value::Null,
    ]
}
