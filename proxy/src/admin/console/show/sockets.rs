//! `SHOW CLIENTS`, `SHOW SERVERS`, `SHOW SOCKETS`.

use super::super::table::{Column, Table, Value, int, long, text};
use super::moment;
use crate::census::{Client, Server, State, since};
use crate::net::Ends;
use crate::protocol::startup::Replication;
use crate::proxy::Proxy;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

const COLUMNS: [Column; 22] = [
    text("type"),
    text("user"),
    text("database"),
    text("replication"),
    text("state"),
    text("addr"),
    int("port"),
    text("local_addr"),
    int("local_port"),
    text("connect_time"),
    text("request_time"),
    int("wait"),
    int("wait_us"),
    int("close_needed"),
    text("ptr"),
    text("link"),
    int("remote_pid"),
    text("tls"),
    text("application_name"),
    int("prepared_statements"),
    long("id"),
    int("backend"),
];

pub(super) fn clients(proxy: &Proxy) -> Table {
    let mut table = Table::new(&COLUMNS);
    table.rows = client_rows(proxy);
    table
}

pub(super) fn servers(proxy: &Proxy) -> Table {
    let mut table = Table::new(&COLUMNS);
    table.rows = server_rows(proxy);
    table
}

pub(super) fn both(proxy: &Proxy) -> Table {
    let mut table = clients(proxy);
    table.rows.extend(server_rows(proxy));
    table
}

fn client_rows(proxy: &Proxy) -> Vec<Vec<Value>> {
    let port = proxy.config().port;
    proxy.census.clients.list().iter().map(|client| client_row(client, port)).collect()
}

fn server_rows(proxy: &Proxy) -> Vec<Vec<Value>> {
    let clients: HashMap<u64, Arc<Client>> =
        proxy.census.clients.list().into_iter().map(|client| (client.id, client)).collect();
    let mut rows = Vec::new();
    for pool in &proxy.pools {
        let port = pool.target.backend.config.port;
        for server in pool.servers.list() {
            let client = server.link().and_then(|id| clients.get(&id));
            rows.push(server_row(&server, client.map(|client| &**client), port));
        }
    }
    rows
}

fn client_row(client: &Client, port: u16) -> Vec<Value> {
    let wait = client.waiting_since().map(since).unwrap_or_default();
    let state = match (client.waiting_since(), client.link()) {
        (Some(_), _) => "waiting",
        (None, Some(_)) => "active",
        (None, None) => "idle",
    };
    let mut row = vec!["C".into(), (&*client.user).into(), (&*client.database).into()];
    row.push(replication(Some(client)).into());
    row.push(state.into());
    row.extend(addresses(&client.ends, port));
    row.extend([
        moment(client.connected_at),
        moment(client.requested_at()),
        wait.as_secs().into(),
        wait.subsec_micros().into(),
        0_u32.into(),
        pointer(Some(client.id)),
        pointer(client.link()),
        client.ends.pid.into(),
        client.ends.tls.as_deref().unwrap_or_default().into(),
        (&*client.application_name()).into(),
        client.prepared().into(),
        client.id.into(),
        client.backend().into(),
    ]);
    row
}

fn server_row(server: &Server, client: Option<&Client>, port: u16) -> Vec<Value> {
    let unknown = Ends::default();
    let (pid, ends) = server.login().map_or((0, &unknown), |login| (login.pid, &login.ends));
    let state = match server.state() {
        State::New => "new",
        State::Active => "active",
        State::Idle => "idle",
        State::Tested => "tested",
    };
    let mut row = vec!["S".into(), (&*server.user).into(), (&*server.database).into()];
    row.push(replication(client).into());
    row.push(state.into());
    row.extend(addresses(ends, port));
    row.extend([
        moment(server.connected_at),
        moment(server.requested_at()),
        0_u32.into(),
        0_u32.into(),
        server.is_retired().into(),
        pointer(Some(server.id)),
        pointer(server.link()),
        pid.into(),
        ends.tls.as_deref().unwrap_or_default().into(),
        client.map(Client::application_name).as_deref().unwrap_or_default().into(),
        server.prepared().into(),
        server.id.into(),
        server.backend.into(),
    ]);
    row
}

fn replication(client: Option<&Client>) -> &'static str {
    match client.and_then(|client| client.replication) {
        None => "none",
        Some(Replication::Database) => "logical",
        Some(Replication::Physical) => "physical",
    }
}

/// `addr`, `port`, `local_addr`, `local_port`. A Unix socket has the number in
/// its name.
fn addresses(ends: &Ends, port: u16) -> [Value; 4] {
    let parts = |address: Option<SocketAddr>| match address {
        Some(address) => (Value::Text(address.ip().to_string()), u32::from(address.port())),
        None => ("unix".into(), port.into()),
    };
    let ((addr, port), (local_addr, local_port)) = (parts(ends.remote), parts(ends.local));
    [addr, port.into(), local_addr, local_port.into()]
}

/// A connection's number, in the shape of PgBouncer's address in memory.
fn pointer(id: Option<u64>) -> Value {
    id.map(|id| format!("{id:#x}")).unwrap_or_default().into()
}
