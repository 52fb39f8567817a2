//! The example and the documentation name every key, and tell the truth about
//! its default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::SHORTEST;
use crate::config::keys::{ADMIN, BACKEND, DATABASE, PLUGIN, PLUGINS, TOP, USER};
use crate::config::{Config, Plugins, SslMode};

/// These are tables, with a section of their own in the documentation.
const TABLES: [&str; 5] = ["databases", "users", "backend", "plugins", "admin"];

/// Commented out in the example for another reason. The socket's default
/// follows from other keys.
const HAS_NO_DEFAULT: [&str; 16] = [
    "auth_file",
    "auth_user",
    // Mistakes without the one before.
    "auth_query",
    "auth_dbname",
    "auth_query_expire",
    "application_name",
    "path",
    "sha256",
    "databases",
    "users",
    "application_names",
    "trusted_keys",
    "socket",
    "listen",
    "token_file",
    "alice",
];

fn project_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(project_file(name)).unwrap()
}

/// `key = value` and `#key = value` of the example, by table; the second
/// part tells whether it was commented out.
fn example_keys() -> BTreeMap<(String, String), (String, bool)> {
    let mut table = String::new();
    let mut keys = BTreeMap::new();
    for line in read("examples/waypool.toml").lines() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned();
        }
        let (line, commented) = match line.strip_prefix('#') {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        // "# a = b" is prose.
        if let Some((key, value)) = line.split_once(" = ")
            && !key.contains(' ')
        {
            keys.insert((table.clone(), key.to_owned()), (value.to_owned(), commented));
        }
    }
    keys
}

/// The rows of the documentation's tables: heading, key, cells.
fn documented_keys() -> BTreeMap<(String, String), Vec<String>> {
    let mut heading = String::new();
    let mut keys = BTreeMap::new();
    for line in read("docs/configuration.md").lines() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text.to_owned();
        }
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let row = row.replace("\\|", "/");
        let cells: Vec<String> = row.split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let key = cells[0].trim_end_matches('`').to_owned();
        keys.insert((heading.clone(), key), cells);
    }
    keys
}

#[test]
fn the_example_is_a_working_streaming_setup() {
    let config = Config::load(project_file("examples/waypool.toml")).unwrap();
    let ports: Vec<u16> = config.backends.iter().map(|backend| backend.port).collect();
    assert_eq!(ports, [5432, 5433]);
    assert_eq!(config.sr_check_user, "waypool");
    assert!(config.users.contains_key("waypool"));
}

#[test]
fn the_shortest_file_of_the_documentation_works() {
    let text = read("docs/configuration.md");
    let toml = text.split("```toml\n").nth(1).unwrap();
    let toml = toml.split("```").next().unwrap();
    assert_eq!(Config::parse(toml, "waypool.toml").unwrap().backends.len(), 2);
}

#[test]
fn the_example_has_every_key() {
    let keys = example_keys();
    let has = |table: &str, key: &str| keys.contains_key(&(table.to_owned(), key.to_owned()));
    for key in TOP.iter().filter(|key| !TABLES.contains(key)) {
        assert!(has("", key), "{key} is missing in the example");
    }
    for key in BACKEND {
        assert!(has("backend", key), "{key} is missing in a [[backend]] of the example");
    }
    for key in PLUGIN.iter().filter(|key| **key != "config") {
        assert!(has("plugins.classify", key), "{key} is missing in [plugins.classify]");
    }
    let text = read("examples/waypool.toml");
    for key in PLUGINS {
        assert!(has("plugins", key), "{key} is missing in [plugins]");
    }
    for key in ADMIN {
        assert!(has("admin", key), "{key} is missing in [admin]");
    }
    for key in DATABASE.iter().chain(USER) {
        // In prose: a table without them has no effect, but is there.
        assert!(text.contains(&format!("\n# {key} = ")), "{key} is missing in the example");
    }
    for plugin in Plugins::OWN {
        assert!(text.contains(&format!("[plugins.{plugin}.config]")), "{plugin}");
    }
}

#[test]
fn what_the_example_calls_default_is_the_default() {
    let shortest = Config::parse(SHORTEST, "waypool.toml").unwrap();
    for ((table, key), (value, commented)) in example_keys() {
        let has_no_default =
            value.ends_with(".crt\"") || value.ends_with(".key\"") || HAS_NO_DEFAULT.contains(&key.as_str());
        if !commented || has_no_default {
            continue;
        }
        let line = format!("{key} = {value}\n");
        let text = match table.as_str() {
            "" => format!("{line}{SHORTEST}"),
            "backend" => format!("{SHORTEST}{line}"),
            table => format!("{SHORTEST}[{table}]\n{line}"),
        };
        let config = Config::parse(&text, "waypool.toml").unwrap();
        assert_eq!(config, shortest, "{key} = {value} is not the default");
    }
    assert_eq!(shortest.backends[0].sslmode, SslMode::Prefer);
}

#[test]
fn the_documentation_has_every_key() {
    let documented = documented_keys();
    let has = |heading: &str, key: &str| documented.contains_key(&(heading.to_owned(), key.to_owned()));
    for key in TOP.iter().filter(|key| !TABLES.contains(key)) {
        assert!(has("Keys at the top of the file", key), "{key}");
    }
    for key in BACKEND {
        assert!(has("`[[backend]]`: a server", key), "{key}");
    }
    for key in DATABASE {
        assert!(has("`[databases.NAME]`: what holds for one database", key), "{key}");
    }
    for key in USER {
        assert!(has("`[users]`: who has which secret", key), "{key}");
    }
    for key in PLUGIN {
        assert!(has("`[plugins.NAME]`: policy", key), "{key}");
    }
    for key in PLUGINS {
        assert!(has("`[plugins]`: whose plugins", key), "{key}");
    }
    for key in ADMIN {
        assert!(has("`[admin]`: orders to a running proxy", key), "{key}");
    }
    let tables = [BACKEND, DATABASE, USER, PLUGIN, PLUGINS, ADMIN];
    let known = TOP.len() - TABLES.len() + tables.iter().map(|keys| keys.len()).sum::<usize>();
    assert_eq!(documented.len(), known, "the documentation has keys that do not exist");
}

#[test]
fn the_documentation_has_the_defaults_of_the_example() {
    let example = example_keys();
    for ((heading, key), cells) in documented_keys() {
        let table = match heading.as_str() {
            "`[[backend]]`: a server" => "backend",
            "`[databases.NAME]`: what holds for one database" | "`[users]`: who has which secret" => continue,
            "`[plugins.NAME]`: policy" => "plugins.classify",
            "`[plugins]`: whose plugins" => "plugins",
            "`[admin]`: orders to a running proxy" => "admin",
            _ => "",
        };
        let Some((value, true)) = example.get(&(table.to_owned(), key.clone())) else {
            continue;
        };
        if cells[2] != "none" {
            assert_eq!(cells[2], format!("`{value}`"), "default of {key}");
        }
    }
}

#[test]
fn the_documentation_tells_restart_from_reload() {
    let old = Config::parse(SHORTEST, "waypool.toml").unwrap();
    for ((_, key), cells) in documented_keys() {
        assert!(["restart", "reload"].contains(&cells[3].as_str()), "{key}: {}", cells[3]);
    }
    let other = "port = 1\nlisten_addresses = '*'\nunix_socket_directories = '/'\n\
                 unix_socket_permissions = '0700'\nworker_threads = 3\n\
                 num_init_children = 7\nlisten_backlog_multiplier = 7\n\
                 backend_clustering_mode = 'raw'\nmax_client_conn = 7\npool_mode = 'statement'\n\
                 sr_check_password = 'x'\nsr_check_database = 'd'\nrelcache_size = 7\n\
                 relcache_expire = 7\nstatement_cache_size = '2MB'\nadmin.socket = ''\nwork_dir = '/tmp'\n";
    let shortest = SHORTEST.replace("sr_check_user = \"", "sr_check_user = \"another_");
    assert_ne!(shortest, SHORTEST);
    let new = Config::parse(&format!("{other}{shortest}"), "waypool.toml").unwrap();
    let mut found = Config::reloadable_difference(&old, &new).restart;
    found.sort();
    assert_eq!(found.remove(0), "admin");
    // Servers are compared by number, not by key.
    let documented: Vec<String> = documented_keys()
        .into_iter()
        .filter(|((heading, _), cells)| heading.starts_with("Keys at the top") && cells[3] == "restart")
        .map(|((_, key), _)| key)
        .collect();
    assert_eq!(found, documented);
}
