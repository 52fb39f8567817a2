//! The admin console: who may come in, and what SHOW tells.
#![allow(clippy::unwrap_used)]

use waypool_tests::console::{Console, Table};
use waypool_tests::raw::{Raw, value};
use waypool_tests::wire::{self, Message, message};
use waypool_tests::{
    Builder, Database, Proxy, client_with_messages, primary_and_standby, program, psql_error, psql_in,
    python, run, run_async, wait_until,
};

fn builder() -> Builder {
    Proxy::builder(primary_and_standby()).top("admin_users = [\"postgres\"]")
}

// === who comes in ===

#[test]
fn nobody_comes_in_who_is_not_listed() {
    let proxy = Proxy::builder(primary_and_standby()).start();
    let error = psql_error(&proxy, "waypool", "SHOW POOLS");
    assert!(error.contains("user \"postgres\" is not allowed on the admin console"), "{error}");
    assert!(error.contains("admin_users"), "{error}");
    let refused = Raw::try_login(&proxy, &[("database", "waypool")]).unwrap_err();
    assert_eq!(refused.field(b'S').as_deref(), Some("FATAL"));
    assert_eq!(refused.field(b'C').as_deref(), Some("42501"));
    proxy.reconfigure(|builder| builder.top("admin_users = \"alice, postgres\""));
    assert!(psql_in(&proxy, "waypool", "SHOW VERSION").starts_with("Waypool "));
}

#[test]
fn the_password_counts_there_too() {
    let proxy = builder()
        .hba(&["host all all all scram-sha-256"])
        .user("postgres", "secret")
        .user("alice", "other")
        .top("admin_users = [\"postgres\", \"nobody\"]")
        .start();
    let with = |user: &str, password: &str| {
        let mut command = program(&proxy, "psql");
        command.args(["-XAtq", "-d", "waypool", "-U", user, "-c", "SHOW VERSION"]);
        run(command.env("PGPASSWORD", password), "")
    };
    assert!(with("postgres", "secret").ok().starts_with("Waypool"));
    assert!(with("postgres", "wrong").error().contains("password authentication failed"));
    assert!(with("nobody", "secret").error().contains("password authentication failed"));
    assert!(with("alice", "other").error().contains("not allowed on the admin console"));
    // Without rules of our own no server is asked: none has that database.
    proxy.reconfigure(|builder| builder.top("enable_pool_hba = false"));
    assert!(with("postgres", "secret").ok().starts_with("Waypool"));
    assert!(with("postgres", "wrong").error().contains("password authentication failed"));
}

#[test]
fn a_stats_user_looks_and_gives_no_orders() {
    let proxy = builder().top("stats_users = [\"watcher\"]").start();
    let mut watcher = Console::login_as(&proxy, "watcher");
    assert_eq!(watcher.show("STATE").one(&[("key", "active")]).get("value"), "yes");
    for order in ["PAUSE", "RESUME", "KILL", "RELOAD", "SHUTDOWN", "DISABLE x", "RECONNECT", "KILL_CLIENT 1"]
    {
        assert_eq!(watcher.refused(order), ("42501".to_owned(), "admin access needed".to_owned()), "{order}");
    }
    assert_eq!(Console::login(&proxy).show("STATE").one(&[("key", "paused")]).get("value"), "no");
}

#[test]
fn the_console_is_open_when_the_house_is_full() {
    let proxy = builder().top("max_client_conn = 1").start();
    let _one = Raw::login(&proxy);
    assert!(Raw::try_login(&proxy, &[]).is_err());
    let mut console = Console::login(&proxy);
    assert_eq!(console.show("CLIENTS").find(&[("database", "postgres")]).len(), 1);
}

#[test]
fn what_is_no_command_is_an_error_and_the_console_goes_on() {
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let (sqlstate, message) = console.refused("SELECT 1");
    assert_eq!((&*sqlstate, &*message), ("42601", "invalid command 'SELECT 1', use SHOW HELP;"));
    console.refused("SHOW nothing");
    console.refused("PAUSE \"");
    let help = console.raw.query("SHOW HELP");
    assert!(help.iter().any(|message| message.tag == b'N'));
    assert_eq!(console.raw.query("")[0].tag, b'I');
    assert!(value(&console.raw.query("SHOW pool_version")).unwrap().contains("Waypool"));
    assert_eq!(console.show("POOL_NODES").rows().count(), 2);
    console.raw.send(&wire::message(b'Q', &[&vec![b'x'; 70_000]]));
    waypool_tests::raw::expect_fatal(&mut console.raw.wire, "08P01");
}

// === columns ===

const SOCKETS: &str = "type user database replication state addr port local_addr local_port connect_time \
    request_time wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id";
const TOTALS: &str = "server_assignment_count xact_count query_count bytes_received bytes_sent xact_time \
    query_time wait_time client_parse_count server_parse_count bind_count client_login_count";

/// What PgBouncer (1.25) answers with, from its source, and its types: text,
/// int4, numeric; then what is Waypool's.
#[test]
fn every_show_begins_with_the_columns_of_pgbouncer() {
    let proxy = builder().start();
    let mut client = Raw::login(&proxy);
    client.run("SELECT 1");
    let mut console = Console::login(&proxy);
    let stats = "database total_server_assignment_count total_xact_count total_query_count total_received \
        total_sent total_xact_time total_query_time total_wait_time total_client_parse_count \
        total_server_parse_count total_bind_count total_client_login_count avg_server_assignment_count \
        avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time \
        avg_client_parse_count avg_server_parse_count avg_bind_count avg_client_login_count";
    let pools = "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active \
        sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode \
        load_balance_hosts";
    let databases = "name host port database force_user pool_size min_pool_size reserve_pool_size \
        server_lifetime pool_mode load_balance_hosts max_connections current_connections \
        max_client_connections current_client_connections paused disabled";
    let users = "name pool_size reserve_pool_size pool_mode max_user_connections current_connections \
        max_user_client_connections current_client_connections";
    let averages =
        TOTALS.replace(" client_parse", " avg_client_parse").replace(" server_parse", " avg_server_parse");
    let averages = averages.replace(" bind_", " avg_bind_").replace(" client_login", " avg_client_login");
    for (what, pgbouncer, types, more) in [
        ("POOLS", pools.to_owned(), "ssiiiiiiiiiiiiiss", "pinned backend"),
        ("BACKEND_POOLS", pools.to_owned(), "ssiiiiiiiiiiiiiss", "pinned backend"),
        ("CLIENTS", SOCKETS.to_owned(), "ssssssisissiiississi", "id backend"),
        ("SERVERS", SOCKETS.to_owned(), "ssssssisissiiississi", "id backend"),
        ("SOCKETS", SOCKETS.to_owned(), "ssssssisissiiississi", "id backend"),
        ("STATS", stats.to_owned(), "snnnnnnnnnnnnnnnnnnnnnnnn", "backend"),
        ("STATS_TOTALS", format!("database {TOTALS}"), "snnnnnnnnnnnn", "backend"),
        ("STATS_AVERAGES", format!("database {averages}"), "snnnnnnnnnnnn", "backend"),
        ("TOTALS", "name value".to_owned(), "sn", ""),
        ("DATABASES", databases.to_owned(), "ssissiiiissiiiiii", "backend"),
        ("USERS", users.to_owned(), "ssssiiii", ""),
        ("LISTS", "list items".to_owned(), "si", ""),
        ("CONFIG", "key value default changeable".to_owned(), "ssss", ""),
        ("MEM", "name size used free memtotal".to_owned(), "siii", "memtotal"),
        ("STATE", "key value".to_owned(), "ss", ""),
        ("VERSION", "version".to_owned(), "s", ""),
    ] {
        let table = console.show(what);
        let expected: Vec<&str> = pgbouncer.split_whitespace().collect();
        let more: Vec<&str> = more.split_whitespace().filter(|name| !expected.contains(name)).collect();
        assert_eq!(table.columns, [expected, more].concat(), "SHOW {what}");
        let letter = |oid: &u32| match oid {
            25 => 's',
            23 => 'i',
            20 => 'q',
            1700 => 'n',
            other => panic!("SHOW {what}: type {other}"),
        };
        let types_found: String = table.oids.iter().map(letter).collect();
        assert!(types_found.starts_with(types), "SHOW {what}: {types_found}");
        assert!(table.rows().count() > 0, "SHOW {what}");
    }
}

// === what they tell ===

#[test]
fn clients_and_servers_name_each_other() {
    let proxy = builder().weights(&[1.0, 0.0]).start();
    let mut console = Console::login(&proxy);
    let mut client = Raw::login_with(&proxy, &[("application_name", "first")]);
    let pid = client.backend_pid();
    client.run("SET application_name = 'second'");
    let (clients, servers) = (console.show("CLIENTS"), console.show("SERVERS"));
    let (client_row, server) =
        (clients.one(&[("application_name", "second")]), servers.one(&[("remote_pid", &pid)]));
    assert_eq!((client_row.get("type"), server.get("type")), ("C", "S"));
    assert_eq!((client_row.get("state"), server.get("state")), ("active", "active"));
    assert_eq!(client_row.get("link"), server.get("ptr"));
    assert_eq!(server.get("link"), client_row.get("ptr"));
    assert_eq!(server.get("application_name"), "second");
    assert_eq!((client_row.get("user"), client_row.get("database")), ("postgres", "postgres"));
    assert_eq!(
        (client_row.get("addr"), client_row.get("local_port")),
        ("127.0.0.1", &*proxy.port().to_string())
    );
    assert_eq!(client_row.number("port"), u64::from(client.wire.stream.local_addr().unwrap().port()));
    assert_eq!(server.number("port"), u64::from(primary_and_standby().primary().port()));
    assert_eq!((client_row.get("backend"), server.get("backend")), ("0", "0"));
    assert!(client_row.get("connect_time").ends_with(" UTC"), "{}", client_row.get("connect_time"));
    client.leave();
    wait_until("the connection is kept", || {
        console.show("SERVERS").one(&[("remote_pid", &pid)]).get("state") == "idle"
    });
    assert_eq!(console.show("CLIENTS").find(&[("database", "postgres")]).len(), 0);
    let own = console.show("CLIENTS");
    assert_eq!(own.one(&[("database", "waypool")]).get("application_name"), "console test");
}

#[test]
fn who_waits_is_shown_with_the_time() {
    let proxy = builder().top("default_pool_size = 1").start();
    let mut console = Console::login(&proxy);
    let holder = Raw::login(&proxy);
    let waiting = Raw::begin_login(&proxy, &[("application_name", "waits")]);
    wait_until("it waits, and for some time", || {
        let clients = console.show("CLIENTS");
        let row = clients.find(&[("application_name", "waits"), ("state", "waiting")]);
        row.first().is_some_and(|row| row.number("wait") * 1_000_000 + row.number("wait_us") > 50_000)
    });
    let pools = console.show("POOLS");
    let pool = pools.one(&[("database", "postgres"), ("user", "postgres")]);
    assert_eq!((pool.get("cl_active"), pool.get("cl_waiting")), ("1", "1"));
    assert!(pool.number("maxwait") * 1_000_000 + pool.number("maxwait_us") > 50_000);
    assert_eq!((pool.get("sv_active"), pool.get("pool_mode"), pool.get("pinned")), ("1", "session", "0"));
    holder.leave();
    let served = waiting.finish().unwrap();
    let stats = console.show("STATS_TOTALS");
    assert!(stats.one(&[("database", "postgres")]).number("wait_time") > 50_000);
    let pools = console.show("POOLS");
    let pool = pools.one(&[("database", "postgres"), ("user", "postgres")]);
    assert_eq!((pool.get("cl_waiting"), pool.get("maxwait_us")), ("0", "0"));
    served.leave();
}

#[test]
fn statements_are_counted_on_the_server_that_answered_them() {
    let database = Database::create("console_counts", "CREATE TABLE t (n int)");
    let proxy = builder().weights(&[0.0, 1.0]).start();
    let mut console = Console::login(&proxy);
    let mut client = Raw::login_with(&proxy, &[("database", database.name)]);
    for _ in 0..10 {
        client.run("INSERT INTO t VALUES (1)");
    }
    for _ in 0..20 {
        client.run("SELECT count(*) FROM t");
    }
    client.run("BEGIN; INSERT INTO t VALUES (2)");
    client.run("INSERT INTO t VALUES (3)");
    client.run("SELECT pg_sleep(0.2) FROM random()");
    client.run("COMMIT");
    for _ in 0..5 {
        client.send(&waypool_tests::raw::extended("INSERT INTO t VALUES (4)"));
        client.wire.until_ready();
    }
    let stats = console.show("BACKEND_STATS");
    let of = |backend| stats.one(&[("database", "console_counts"), ("backend", backend)]);
    let (primary, standby) = (of("0"), of("1"));
    let counts = |row: &waypool_tests::console::Row<'_>| {
        (row.number("total_query_count"), row.number("total_xact_count"))
    };
    assert_eq!((counts(&primary), counts(&standby)), ((19, 16), (20, 20)));
    assert_eq!(primary.get("user"), "postgres");
    assert_eq!((primary.number("total_client_parse_count"), primary.number("total_bind_count")), (5, 5));
    assert_eq!(primary.number("total_client_login_count"), 1);
    // A Query of 25 characters has 30 bytes.
    assert!(primary.number("total_received") >= 10 * 30, "{}", primary.number("total_received"));
    assert!(standby.number("total_sent") >= 20 * 50, "{}", standby.number("total_sent"));
    let (xact, query) = (primary.number("total_xact_time"), primary.number("total_query_time"));
    assert!(query >= 200_000 && xact >= query, "{query} µs of queries, {xact} µs of transactions");
    let table = console.show("STATS_TOTALS");
    let both = table.one(&[("database", "console_counts")]);
    assert_eq!((both.get("query_count"), both.get("xact_count"), both.get("backend")), ("39", "36", "0,1"));
    // And what was counted stays when the connections are gone.
    client.leave();
    console.order("RECONNECT console_counts");
    console.order("WAIT_CLOSE console_counts");
    assert_eq!(console.show("SERVERS").find(&[("database", "console_counts")]).len(), 0);
    let table = console.show("STATS_TOTALS");
    assert_eq!(table.one(&[("database", "console_counts")]).get("query_count"), "39");
}

#[test]
fn averages_follow_the_period() {
    let proxy = builder().top("stats_period = \"200ms\"").start();
    let mut console = Console::login(&proxy);
    let mut client = Raw::login(&proxy);
    wait_until("there is an average", || {
        client.run("SELECT 1");
        console.show("STATS").one(&[("database", "postgres")]).number("avg_query_count") > 0
    });
    wait_until("it is over", || {
        console.show("STATS_AVERAGES").one(&[("database", "postgres")]).number("query_count") == 0
    });
    assert!(console.show("STATS").one(&[("database", "postgres")]).number("total_query_count") > 0);
}

#[test]
fn the_rest_tells_what_is_configured_and_there() {
    let shop = Database::create("console_shop", "");
    let proxy = builder()
        .user("alice", "secret")
        .top("default_pool_size = 7\nmin_pool_size = 2\nreserve_pool_size = 1\nserver_lifetime = \"1h\"")
        .table("databases.console_shop", "pool_size = 6\nmin_pool_size = 3\nreserve_pool_size = 4")
        .start();
    let mut console = Console::login(&proxy);
    let _client = Raw::login(&proxy);
    let _in_shop = Raw::login_with(&proxy, &[("database", shop.name)]);
    let databases = console.show("DATABASES");
    for backend in ["0", "1"] {
        let row = databases.one(&[("name", "postgres"), ("backend", backend)]);
        let server = primary_and_standby().server(backend.parse().unwrap());
        assert_eq!((row.number("port"), row.number("pool_size")), (u64::from(server.port()), 7));
        assert_eq!((row.get("paused"), row.get("disabled")), ("0", "0"));
    }
    assert_eq!(databases.one(&[("name", "waypool")]).get("current_client_connections"), "1");
    let of_shop = databases.one(&[("name", "console_shop"), ("backend", "0")]);
    let sizes = ["pool_size", "min_pool_size", "reserve_pool_size"];
    assert_eq!(sizes.map(|size| of_shop.number(size)), [6, 3, 4]);
    let row = databases.one(&[("name", "postgres"), ("backend", "0")]);
    assert_eq!(sizes.map(|size| row.number(size)), [7, 2, 1]);
    assert_eq!(row.number("server_lifetime"), 3600);
    let users = console.show("USERS");
    assert_eq!(users.one(&[("name", "alice")]).get("current_client_connections"), "0");
    assert_eq!(users.one(&[("name", "postgres")]).get("current_client_connections"), "3");
    let lists = console.show("LISTS");
    assert_eq!(lists.one(&[("list", "used_clients")]).get("items"), "3");
    assert_eq!(lists.one(&[("list", "databases")]).get("items"), "3");
    let config = console.show("CONFIG");
    let pool_size = config.one(&[("key", "default_pool_size")]);
    assert_eq!(
        (pool_size.get("value"), pool_size.get("default"), pool_size.get("changeable")),
        ("7", "90", "yes")
    );
    assert!(config.rows().all(|row| !row.get("value").contains("secret")));
    let mem = console.show("MEM");
    assert_eq!(mem.one(&[("name", "client_cache")]).get("used"), "3");
    assert!(mem.one(&[("name", "resident_pages")]).number("memtotal") > 1 << 20);
}

/// Idle clients must stay small: the entry of one is part of it.
#[test]
fn a_clients_entry_is_a_few_hundred_bytes() {
    assert!(size_of::<waypool::census::Client>() <= 300, "{}", size_of::<waypool::census::Client>());
}

// === drivers ===

#[test]
fn psql_shows_it_and_leaves() {
    let proxy = builder().start();
    let shown = psql_in(&proxy, "waypool", "SHOW LISTS;\nSHOW STATE;");
    assert!(shown.contains("used_clients|1") && shown.contains("active|yes"), "{shown}");
}

#[test]
fn a_driver_that_prepares_everything_gets_typed_rows() {
    let proxy = builder().weights(&[0.0, 1.0]).start();
    let mut client = Raw::login(&proxy);
    client.run("SELECT 1");
    run_async(async {
        let (console, _) = client_with_messages(&proxy, "dbname=waypool").await;
        let rows = console.query("SHOW POOLS", &[]).await.unwrap();
        let row = rows.iter().find(|row| row.get::<_, &str>("database") == "postgres").unwrap();
        assert_eq!((row.get::<_, i32>("cl_active"), row.get::<_, i32>("sv_active")), (1, 2));
        assert_eq!(row.get::<_, Option<&str>>("load_balance_hosts"), None);
        let statement = console.prepare("SHOW CLIENTS").await.unwrap();
        for _ in 0..3 {
            let rows = console.query(&statement, &[]).await.unwrap();
            assert!(rows.iter().all(|row| row.get::<_, i64>("id") > 0));
        }
        let error = console.query("SHOW NOTHING", &[]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42601");
        assert_eq!(console.execute("PAUSE template1", &[]).await.unwrap(), 0);
        assert_eq!(console.execute("RESUME template1", &[]).await.unwrap(), 0);
        let simple = console.simple_query("SHOW STATE").await.unwrap();
        assert_eq!(simple.len(), 5);
    });
}

#[test]
fn portals_are_suspended_and_errors_skip_to_sync() {
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let shown = |answer: &[Message]| waypool_tests::raw::tags(answer);
    console.raw.send(
        &[
            wire::parse("s", "SHOW STATE"),
            wire::describe(b'S', "s"),
            wire::bind("p", "s", &[]),
            wire::describe(b'P', "p"),
            wire::execute("p", 2),
            wire::execute("p", 2),
            wire::close(b'P', "p"),
            wire::sync(),
        ]
        .concat(),
    );
    let answer = console.raw.wire.until_ready();
    assert_eq!(shown(&answer), "1tT2TDDsDC3Z");
    assert_eq!(Table::of(&answer).columns, ["key", "value"]);
    console.raw.send(
        &[
            wire::bind("", "unknown", &[]),
            wire::execute("", 0),
            wire::sync(),
            wire::parse("s", "SHOW STATE"),
            wire::sync(),
            message(b'B', &[&[0, 0, 0, 9]]),
            wire::sync(),
            wire::sync(),
        ]
        .concat(),
    );
    for expected in ["26000", "42P05", "08P01", ""] {
        let answer = console.raw.wire.until_ready();
        assert_eq!(waypool_tests::raw::sqlstate(&answer).unwrap_or_default(), expected);
    }
}

#[test]
fn psycopg_reads_it_with_and_without_transactions() {
    let proxy = builder().start();
    let shown = run(&mut python(&proxy, "console.py"), "").ok();
    assert_eq!(shown.trim(), "ok");
}

/// The console must not pile up answers for somebody who does not read them.
#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let proxy = builder().start();
    let mut console = Console::login(&proxy);
    let sent = waypool_tests::raw::flood(&mut console.raw.wire, &wire::query("SHOW CONFIG"), 20_000_000);
    assert!(sent < 20_000_000, "all of it was taken");
    assert_eq!(Console::login(&proxy).show("STATE").rows().count(), 3);
}
