//! `SHOW LISTS`, `SHOW MEM`, `SHOW STATE`: the proxy as a whole.

use super::super::table::{Table, Value, int, long, text};
use super::{databases, pools, users};
use crate::census::{Client, Server};
use crate::pool::ServerConn;
use crate::proxy::Proxy;
use crate::session::Session;
use std::sync::atomic::Ordering;

pub(super) fn lists(proxy: &Proxy) -> Table {
    let clients = proxy.census.clients.list().len();
    let connected = proxy.clients.load(Ordering::Relaxed);
    let servers: usize = proxy.pools.iter().map(|pool| pool.servers.list().len()).sum();
    let notify = proxy.notify.count();
    let mut table = Table::new(&[text("list"), int("items")]);
    for (list, items) in [
        ("databases", databases::names(proxy).len() + 1),
        ("users", users::names(proxy).len()),
        ("peers", 0),
        ("pools", pools::pools(proxy).rows.len()),
        ("peer_pools", 0),
        ("free_clients", 0),
        ("used_clients", clients),
        ("login_clients", connected.saturating_sub(clients)),
        ("free_servers", 0),
        ("used_servers", servers),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
        // Waypool's own: connections that LISTEN, and for how many clients.
        ("listening_servers", notify.connections),
        ("listening_clients", notify.clients),
    ] {
        table.rows.push(vec![list.into(), items.into()]);
    }
    table
}

/// What a client and a server connection take at rest, and all that the
/// process has in RAM, in pages.
pub(super) fn mem(proxy: &Proxy) -> Table {
    let clients = proxy.census.clients.list().len();
    let servers: usize = proxy.pools.iter().map(|pool| pool.servers.list().len()).sum();
    let page = 4096;
    let mut table = Table::new(&[text("name"), int("size"), int("used"), int("free"), long("memtotal")]);
    for (name, size, used) in [
        ("client_cache", size_of::<Session>() + size_of::<Client>(), clients),
        ("server_cache", size_of::<ServerConn>() + size_of::<Server>(), servers),
        ("resident_pages", page, resident() / page),
    ] {
        table.rows.push(vec![name.into(), size.into(), used.into(), 0_u32.into(), (size * used).into()]);
    }
    table
}

/// Bytes of this process in RAM; zero where the kernel does not tell.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1024
}

pub(super) fn state(proxy: &Proxy) -> Table {
    let paused = proxy.doors.all_paused();
    let word = |is: bool| Value::from(if is { "yes" } else { "no" });
    let mut table = Table::new(&[text("key"), text("value")]);
    table.rows = vec![
        vec!["active".into(), word(!paused)],
        vec!["paused".into(), word(paused)],
        vec!["suspended".into(), word(false)],
    ];
    table
}
