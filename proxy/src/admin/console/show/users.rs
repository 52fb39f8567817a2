//! `SHOW USERS`: those of the configuration, and those who are there.

use super::super::table::{Column, Table, Value, int, text};
use super::pools::word;
use crate::proxy::Proxy;
use std::collections::BTreeSet;

const COLUMNS: [Column; 8] = [
    text("name"),
    text("pool_size"),
    text("reserve_pool_size"),
    text("pool_mode"),
    int("max_user_connections"),
    int("current_connections"),
    int("max_user_client_connections"),
    int("current_client_connections"),
];

pub(super) fn names(proxy: &Proxy) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = proxy.access().users.names().map(str::to_owned).collect();
    names.extend(proxy.census.clients.list().iter().map(|client| client.user.to_string()));
    for pool in &proxy.pools {
        names.extend(pool.servers.stats().iter().map(|stats| stats.user.to_string()));
    }
    names
}

pub(super) fn users(proxy: &Proxy) -> Table {
    let clients = proxy.census.clients.list();
    let servers: Vec<_> = proxy.pools.iter().flat_map(|pool| pool.servers.list()).collect();
    let config = proxy.config();
    let mut table = Table::new(&COLUMNS);
    for name in names(proxy) {
        let of_user = config.users.get(&name);
        table.rows.push(vec![
            name.as_str().into(),
            of_user.and_then(|user| user.pool_size).map(|size| size.to_string()).unwrap_or_default().into(),
            "".into(),
            of_user.and_then(|user| user.pool_mode).map_or(Value::Null, |mode| word(mode).into()),
            config.max_user_connections(&name).unwrap_or(0).into(),
            servers.iter().filter(|server| *server.user == *name).count().into(),
            config.max_user_client_connections(&name).unwrap_or(0).into(),
            clients.iter().filter(|client| *client.user == *name).count().into(),
        ]);
    }
    table
}
