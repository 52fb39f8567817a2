//! What proxy is wanted: its `waypool.toml`, piece by piece.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use waypool_sandbox::Cluster;

use crate::Proxy;

/// A proxy to be, see [`Proxy::builder`]; also the configuration of one that
/// runs, see [`Proxy::reconfigure`].
#[derive(Debug, Clone)]
pub struct Builder {
    /// Keys of the first part of the file, with their values as TOML.
    top: BTreeMap<String, String>,
    backends: Vec<Backend>,
    users: BTreeMap<String, String>,
    /// Tables with their lines, at the end of the file.
    tables: Vec<String>,
    /// In the order in which they are asked.
    plugins: Vec<Plugin>,
    environment: Vec<(String, String)>,
    /// What the file is made of instead: a pgpool.conf.
    pgpool_conf: Option<String>,
}

/// A `[plugins.NAME]`.
#[derive(Debug, Clone)]
struct Plugin {
    name: String,
    entry: Vec<String>,
    /// Of `[plugins.NAME.config]`.
    config: Vec<String>,
}

/// The keys of a `[[backend]]`, with their values as TOML.
type Backend = BTreeMap<String, String>;

impl Builder {
    /// One backend for each server of the cluster, everybody let in.
    pub(crate) fn new(cluster: &Cluster) -> Builder {
        let mut builder = Builder {
            top: BTreeMap::new(),
            backends: Vec::new(),
            users: BTreeMap::new(),
            tables: Vec::new(),
            plugins: Vec::new(),
            environment: Vec::new(),
            pgpool_conf: None,
        };
        for server in cluster.servers() {
            builder = builder.extra_backend("127.0.0.1", server.port());
            let name = format!("application_name = \"server{}\"", server.id());
            builder = builder.backend(server.id(), &name);
        }
        builder
            .hba(&["local all all trust", "host all all all trust"])
            .top("sr_check_user = \"postgres\"")
            .top("log_format = \"human\"")
            .top("log_min_messages = \"debug1\"")
    }

    /// Lines `key = value` of the first part of the file. They replace lines of
    /// the same key.
    pub fn top(mut self, lines: &str) -> Builder {
        self.top.extend(lines.lines().filter_map(assignment));
        self
    }

    /// The host-based rules, in place of the harness's, which trust everybody.
    pub fn hba(self, rules: &[&str]) -> Builder {
        self.top(&format!("hba = {rules:?}"))
    }

    /// Lines `key = value` of one `[[backend]]`; they replace those of the same key.
    pub fn backend(mut self, id: usize, lines: &str) -> Builder {
        self.backends[id].extend(lines.lines().filter_map(assignment));
        self
    }

    /// One more backend, behind those of the cluster.
    pub fn extra_backend(mut self, host: &str, port: u16) -> Builder {
        self.backends.push(BTreeMap::new());
        let lines = format!("hostname = {host:?}\nport = {port}");
        let last = self.backends.len() - 1;
        self.backend(last, &lines)
    }

    /// `weight` of the backends, in order.
    pub fn weights(mut self, weights: &[f64]) -> Builder {
        for (id, weight) in weights.iter().enumerate() {
            self = self.backend(id, &format!("weight = {weight:?}"));
        }
        self
    }

    /// Reaches the servers through their Unix sockets.
    pub fn over_unix_sockets(mut self, cluster: &Cluster) -> Builder {
        for server in cluster.servers() {
            let line = format!("hostname = {:?}", server.socket_dir());
            self = self.backend(server.id(), &line);
        }
        self
    }

    /// An entry of `[users]`.
    pub fn user(mut self, name: &str, secret: &str) -> Builder {
        self.users.insert(name.to_owned(), secret.to_owned());
        self
    }

    /// A table such as `databases.shop`, with its lines.
    pub fn table(mut self, name: &str, lines: &str) -> Builder {
        self.tables.push(format!("[{name}]\n{lines}\n"));
        self
    }

    /// Lines of `[plugins.NAME.config]`.
    pub fn plugin(mut self, name: &str, lines: &str) -> Builder {
        self.plugin_named(name).config.push(lines.to_owned());
        self
    }

    /// Lines of `[plugins.NAME]`: `path`, `on_error`, … Plugins are asked in the
    /// order in which they are first mentioned; Waypool's own stand last.
    pub fn plugin_entry(mut self, name: &str, lines: &str) -> Builder {
        self.plugin_named(name).entry.push(lines.to_owned());
        self
    }

    fn plugin_named(&mut self, name: &str) -> &mut Plugin {
        let at = self.plugins.iter().position(|plugin| plugin.name == name).unwrap_or_else(|| {
            let (entry, config) = (Vec::new(), Vec::new());
            self.plugins.push(Plugin { name: name.to_owned(), entry, config });
            self.plugins.len() - 1
        });
        &mut self.plugins[at]
    }

    /// Takes what `waypool import` makes of Pgpool-II's configuration for
    /// these servers and weights, with these lines in addition; nothing else
    /// that was said counts.
    pub fn import(mut self, lines: &str) -> Builder {
        let mut conf = String::from("sr_check_user = 'postgres'\nenable_pool_hba = off\n");
        for (id, backend) in self.backends.iter().enumerate() {
            let key = |name: &str| backend.get(name).map(|value| value.replace('"', "'"));
            for name in ["hostname", "port", "weight"] {
                if let Some(value) = key(name) {
                    let _ = writeln!(conf, "backend_{name}{id} = {value}");
                }
            }
        }
        self.pgpool_conf = Some(conf + lines);
        self
    }

    /// An environment variable of the proxy's process.
    pub fn environment(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the proxy and returns when it accepts clients.
    #[track_caller]
    pub fn start(self) -> Proxy {
        Proxy::start(self).unwrap_or_else(|log| panic!("waypool did not start; its log:\n{log}"))
    }

    /// What it logs when it refuses to start; panics when it starts.
    #[track_caller]
    pub fn start_error(self) -> String {
        match Proxy::start(self) {
            Ok(_) => panic!("waypool started with a configuration that it should refuse"),
            Err(log) => log,
        }
    }

    pub(crate) fn environment_variables(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The text of `waypool.toml`.
    pub(crate) fn text(&self, port: u16, folder: &Path) -> String {
        if let Some(conf) = &self.pgpool_conf {
            return imported(conf, port, folder);
        }
        let mut text = format!("port = {port}\n");
        let mut top = self.top.clone();
        let mut default = |key: &str, value: String| {
            top.entry(key.to_owned()).or_insert(value);
        };
        default("listen_addresses", "[\"127.0.0.1\"]".to_owned());
        default("unix_socket_directories", format!("[{folder:?}]"));
        append(&mut text, &top);
        for backend in &self.backends {
            text.push_str("\n[[backend]]\n");
            append(&mut text, backend);
        }
        text.push_str("\n[users]\n");
        for (name, secret) in &self.users {
            let _ = writeln!(text, "{name:?} = {secret:?}");
        }
        for table in &self.tables {
            text.push_str(table);
        }
        for Plugin { name, entry, config } in &self.plugins {
            let (entry, config) = (entry.join("\n"), config.join("\n"));
            let _ = write!(text, "\n[plugins.{name}]\n{entry}\n");
            let _ = write!(text, "\n[plugins.{name}.config]\n{config}\n");
        }
        text
    }
}

fn imported(conf: &str, port: u16, folder: &Path) -> String {
    let file = folder.join("pgpool.conf");
    let socket = folder.display();
    let conf =
        format!("{conf}\nport = {port}\nunix_socket_directories = '{socket}'\nlog_min_messages = debug1\n");
    std::fs::write(&file, conf).expect("pgpool.conf can be written");
    let made = std::process::Command::new(waypool()).arg("import").arg(&file).output().expect("waypool runs");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "waypool import: {said}");
    String::from_utf8(made.stdout).expect("waypool writes UTF-8")
}

fn append(text: &mut String, keys: &BTreeMap<String, String>) {
    for (key, value) in keys {
        let _ = writeln!(text, "{key} = {value}");
    }
}

fn assignment(line: &str) -> Option<(String, String)> {
    if line.trim().is_empty() {
        return None;
    }
    let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("not a line `key = value`: {line}"));
    Some((key.trim().to_owned(), value.trim().to_owned()))
}

/// The program under test.
pub fn waypool() -> PathBuf {
    let path = match std::env::var_os("WAYPOOL_BIN") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/waypool"),
    };
    assert!(path.exists(), "{} is missing: `make build` makes it, or set WAYPOOL_BIN", path.display());
    path
}
