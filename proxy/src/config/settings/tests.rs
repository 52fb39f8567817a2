#![allow(clippy::unwrap_used)]

use crate::config::Config;
use crate::config::keys::TOP;

/// Keys that are tables of their own.
const TABLES: [&str; 5] = ["databases", "users", "backend", "plugins", "admin"];

fn parse(top: &str) -> Config {
    Config::parse(&format!("sr_check_user = 'w'\n{top}\n[[backend]]\nhostname = 'a'\n"), "/waypool.toml")
        .unwrap()
}

#[test]
fn every_key_at_the_top_is_shown() {
    let settings = parse("").settings();
    for key in TOP.iter().filter(|key| !TABLES.contains(key)) {
        assert_eq!(settings.iter().filter(|setting| setting.key == *key).count(), 1, "{key}");
    }
    assert!(settings.iter().all(|setting| TOP.contains(&setting.key)));
    let others: Vec<_> = settings.iter().filter(|setting| setting.value != setting.default).collect();
    assert_eq!(others.iter().map(|setting| setting.key).collect::<Vec<_>>(), ["sr_check_user"]);
}

#[test]
fn values_are_written_as_in_the_file() {
    let top = "port = 6432\nlisten_addresses = ['a', 'b']\nunix_socket_permissions = '0700'\n\
               pool_mode = 'transaction'\nquery_wait_timeout = '1500ms'\nrelcache_query_target = 'load_balance_node'\n\
               sr_check_password = 'secret'\nadmin_users = ['alice']";
    let settings = parse(top).settings();
    for (key, value, default, reloadable) in [
        ("port", "6432", "9999", false),
        ("listen_addresses", "a, b", "localhost", false),
        ("unix_socket_permissions", "0700", "0777", false),
        ("pool_mode", "transaction", "session", false),
        ("query_wait_timeout", "1500ms", "2min", true),
        ("client_idle_limit", "0", "0", true),
        ("relcache_query_target", "load_balance_node", "primary", true),
        ("backend_clustering_mode", "streaming_replication", "streaming_replication", false),
        ("sr_check_password", "****", "", false),
        ("admin_users", "alice", "", true),
        ("ssl", "false", "false", true),
    ] {
        let setting = settings.iter().find(|setting| setting.key == key).unwrap();
        assert_eq!((&*setting.value, &*setting.default), (value, default), "{key}");
        assert_eq!(setting.reloadable, reloadable, "{key}");
    }
}
