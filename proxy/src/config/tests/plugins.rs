//! `[plugins]` and `[admin]`: the chain, and where orders are taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SHORTEST;
use crate::config::{Admin, AdminListen, AdminSocket, Config, OnError, Plugins};

/// A folder with files of these names.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    folder
}

fn parse_in(folder: &Path, lines: &str) -> Result<Config, String> {
    let config = Config::parse(&format!("{SHORTEST}{lines}"), folder.join("waypool.toml"));
    config.map_err(|errors| errors.to_string())
}

fn names(plugins: &Plugins) -> Vec<&str> {
    plugins.entries.iter().map(|plugin| plugin.name.as_str()).collect()
}

const OWN: [&str; 3] = Plugins::OWN;

#[test]
fn all_keys() {
    let folder = folder(&["mine.wasm"]);
    let pin = "AB".repeat(32);
    let lines = format!(
        r#"
        [plugins.balance]
        deadline = 5
        memory_limit = "1GB"
        on_error = "reject"
        allow_writes_on_standby = true
        [plugins.balance.config]
        load_balance_mode = false
        list = ["a", 1, 2.5, {{ since = 2026-01-02 }}]
        [plugins.mine]
        path = "mine.wasm"
        sha256 = "{pin}"
        databases = ["shop", "/^app_[0-9]+$"]
        users = ["alice"]
        application_names = ["/psql"]
    "#
    );
    let plugins = parse_in(folder.path(), &lines).unwrap().plugins;
    let balance = plugins.get("balance").unwrap();
    assert_eq!(balance.deadline, Duration::from_millis(5));
    assert_eq!(balance.memory_limit, 1 << 30);
    assert_eq!(balance.on_error, OnError::Reject);
    assert!(balance.allow_writes_on_standby);
    assert_eq!(
        balance.config,
        serde_json::json!({
            "load_balance_mode": false,
            "list": ["a", 1, 2.5, { "since": "2026-01-02" }],
        })
    );
    let mine = plugins.get("mine").unwrap();
    assert_eq!(mine.path, Some(folder.path().join("mine.wasm")));
    assert_eq!(mine.sha256, Some(pin.to_lowercase()));
    assert!(mine.applies_to("shop", "alice", "psql"));
    assert!(mine.applies_to("app_12", "alice", "my psql 17"));
    assert!(!mine.applies_to("my_app_12", "alice", "psql"));
    assert!(!mine.applies_to("shop", "bob", "psql"));
    assert!(!mine.applies_to("shop", "alice", ""));
}

/// However the tables are written, their order is that of the text.
#[test]
fn the_chain_has_the_order_of_the_file() {
    let folder = folder(&["p.wasm"]);
    let chain = |lines: &str| {
        let plugins = parse_in(folder.path(), lines).unwrap().plugins;
        names(&plugins).join(" ")
    };
    let own = OWN.join(" ");
    let path = "path = \"p.wasm\"\n";
    let headers =
        format!("[plugins.z]\n{path}[plugins.balance]\n{path}[plugins.m-1]\n{path}[plugins.a_2]\n{path}");
    assert_eq!(chain(&headers), format!("z m-1 a_2 {own}"));
    let dotted = "[plugins]\nz.path = \"p.wasm\"\na.path = \"p.wasm\"\nz.deadline = 5\nm.path = \"p.wasm\"\n";
    assert_eq!(chain(dotted), format!("z a m {own}"));
    let inline = "[plugins]\nz = { path = 'p.wasm' }\nrewrite = {}\na = { path = 'p.wasm' }\n";
    assert_eq!(chain(inline), format!("z a {own}"));
    let config_first =
        format!("[plugins.z.config]\nx = 1\n[plugins.a]\n{path}[plugins.m]\n{path}[plugins.z]\n{path}");
    // Its own header counts, not that of its configuration.
    assert_eq!(chain(&config_first), format!("a m z {own}"));
    let scattered = format!("[plugins.z]\n{path}[plugins.a]\n{path}[plugins.a.config]\n[plugins.z.config]\n");
    assert_eq!(chain(&scattered), format!("z a {own}"));

    let text = format!("plugins = {{ z = {{ path = 'p.wasm' }}, a = {{ path = 'p.wasm' }} }}\n{SHORTEST}");
    let config = Config::parse(&text, folder.path().join("waypool.toml")).unwrap();
    assert_eq!(names(&config.plugins).join(" "), format!("z a {own}"));
}

#[test]
fn mistakes_of_lists_and_pins() {
    let folder = folder(&["p.wasm"]);
    let mistake = |lines: &str| {
        let wrong = parse_in(folder.path(), &format!("[plugins.p]\npath = 'p.wasm'\n{lines}")).unwrap_err();
        wrong.rsplit_once("waypool.toml:").unwrap().1.to_owned()
    };
    assert_eq!(
        mistake("databases = []"),
        "6:13: databases is empty, so that the plugin is never asked: remove the line"
    );
    assert_eq!(
        mistake("users = ['a', '/b[']"),
        "6:9: users: \"/b[\" is no regular expression: unclosed character class"
    );
    assert_eq!(
        mistake("sha256 = 'abc'"),
        "6:10: sha256 must be 64 hexadecimal digits: waypool plugin inspect FILE prints them"
    );
    let long = "x".repeat(64);
    assert_eq!(
        mistake(&format!("[plugins.{long}]\npath = 'p.wasm'")),
        format!("6:1: a plugin cannot be called \"{long}\": take 1 to 63 of a-z, 0-9, _ and -")
    );
}

#[test]
fn push_directory() {
    let at = |lines| parse_in(Path::new("/etc/waypool"), lines).unwrap().plugins.push_directory;
    assert_eq!(at(""), Path::new("/etc/waypool/plugins.pushed"));
    assert_eq!(at("[plugins]\npush_directory = '/var/lib/waypool'"), Path::new("/var/lib/waypool"));
    assert_eq!(at("[plugins]\npush_directory = 'mine'"), Path::new("/etc/waypool/mine"));
}

#[test]
fn admin_socket() {
    let socket = |top: &str, end: &str| {
        let text = format!("{top}\n{SHORTEST}{end}");
        Config::parse(&text, "/etc/waypool/waypool.toml").unwrap().admin_socket()
    };
    let at = |path: &str| Some(PathBuf::from(path));
    assert_eq!(socket("", ""), at("/tmp/.s.WAYPOOL.9999"));
    assert_eq!(socket("port = 7\nunix_socket_directories = ['/', '/tmp']", ""), at("/.s.WAYPOOL.7"));
    assert_eq!(socket("unix_socket_directories = []", ""), None);
    assert_eq!(socket("", "[admin]\nsocket = ''"), None);
    assert_eq!(socket("", "[admin]\nsocket = 'a.sock'"), at("/etc/waypool/a.sock"));
}

#[test]
fn admin_listen() {
    let folder = folder(&["token", "c.crt", "c.key"]);
    let token_file = folder.path().join("token");
    let admin =
        |lines: &str| parse_in(folder.path(), &format!("[admin]\n{lines}")).map(|config| config.admin);
    let listen = |host: &str, port| {
        let listen = AdminListen { host: host.to_owned(), port, token_file: token_file.clone() };
        Admin { socket: AdminSocket::Default, listen: Some(listen) }
    };
    assert_eq!(admin("listen = '127.0.0.1:7'\ntoken_file = 'token'").unwrap(), listen("127.0.0.1", 7));
    assert_eq!(admin("listen = '[::1]:7'\ntoken_file = 'token'").unwrap(), listen("::1", 7));
    let wrong = |lines| admin(lines).unwrap_err().rsplit_once("toml:").unwrap().1.to_owned();
    assert!(wrong("listen = '127.0.0.1:7'").starts_with("5:10: listen needs token_file"));
    assert!(
        wrong("listen = '127.0.0.1'\ntoken_file = 'token'").starts_with("5:10: listen must be host:port")
    );
    assert!(wrong("token_file = 'token'").starts_with("5:14: token_file is for listen, which is missing"));
    let open = "listen = '0.0.0.0:7'\ntoken_file = 'token'";
    assert!(
        wrong(open).starts_with("5:10: without TLS, listen must be a loopback address"),
        "{}",
        wrong(open)
    );

    let text = format!("ssl = true\nssl_cert = 'c.crt'\nssl_key = 'c.key'\n{SHORTEST}[admin]\n{open}");
    let config = Config::parse(&text, folder.path().join("waypool.toml")).unwrap();
    assert_eq!(config.admin, listen("0.0.0.0", 7));
}

#[test]
fn the_rewriter_is_told_of_a_mode_in_which_every_server_writes() {
    use crate::config::ClusteringMode::{LogicalReplication, NativeReplication, Raw, StreamingReplication};
    use crate::config::read_plugin::{repeating_mode, tell_mode};
    assert_eq!(repeating_mode(NativeReplication), Some("native_replication"));
    assert!(
        [StreamingReplication, LogicalReplication, Raw]
            .into_iter()
            .all(|mode| repeating_mode(mode).is_none())
    );
    let folder = folder(&[]);
    let told = |lines: &str| {
        let mut plugins = parse_in(folder.path(), lines).unwrap().plugins;
        tell_mode(&mut plugins, "native_replication");
        plugins.entries.into_iter().find(|entry| entry.name == "rewrite").unwrap()
    };
    let rewrite = told("");
    assert_eq!(rewrite.config["backend_clustering_mode"], "native_replication");
    assert_eq!(rewrite.on_error, OnError::Reject, "what it cannot look at would part the servers");
    let rewrite =
        told("[plugins.rewrite.config]\non_nondeterministic = 'allow'\nbackend_clustering_mode = 'raw'");
    assert_eq!(rewrite.config["backend_clustering_mode"], "raw");
    assert_eq!(rewrite.config["on_nondeterministic"], "allow");
}
