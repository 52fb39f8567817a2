//! What the admin console tells about clients that come and go on connections.

use super::connections;
use waypool_tests::console::Console;
use waypool_tests::raw::Raw;
use waypool_tests::wait_until;

/// The pool's `sv_active`, `sv_idle` and `pinned`.
fn pool(console: &mut Console) -> [u64; 3] {
    let pools = console.show("POOLS");
    let row = pools.one(&[("database", "postgres"), ("user", "postgres")]);
    assert_eq!(row.get("pool_mode"), "transaction");
    ["sv_active", "sv_idle", "pinned"].map(|column| row.number(column))
}

#[test]
fn a_pinned_client_is_shown_with_its_connection() {
    let proxy = connections(2).weights(&[1.0, 0.0]).top("admin_users = [\"postgres\"]").start();
    let mut console = Console::login(&proxy);
    let mut pinned = Raw::login_with(&proxy, &[("application_name", "pinned")]);
    let mut free = Raw::login_with(&proxy, &[("application_name", "free")]);
    pinned.run("CREATE TEMP TABLE console_pinned (n int)");
    free.run("SELECT 1");
    let pid = pinned.backend_pid();
    wait_until("one is pinned, the other one given back", || pool(&mut console) == [1, 1, 1]);
    let (clients, servers) = (console.show("CLIENTS"), console.show("SERVERS"));
    let (client, server) =
        (clients.one(&[("application_name", "pinned")]), servers.one(&[("remote_pid", &pid)]));
    assert_eq!((client.get("state"), server.get("state")), ("active", "active"));
    assert_eq!((client.get("link"), server.get("link")), (server.get("ptr"), client.get("ptr")));
    let client = clients.one(&[("application_name", "free")]);
    assert_eq!((client.get("state"), client.get("link")), ("idle", ""));
    pinned.run("DROP TABLE console_pinned");
    wait_until("nobody is pinned", || pool(&mut console) == [0, 2, 0]);
    let clients = console.show("CLIENTS");
    assert_eq!(clients.one(&[("application_name", "pinned")]).get("link"), "");
    // In the middle of a transaction it is linked, and not pinned.
    free.run("BEGIN");
    assert_eq!(pool(&mut console), [1, 1, 0]);
    free.run("COMMIT");
    proxy.stop();
}
