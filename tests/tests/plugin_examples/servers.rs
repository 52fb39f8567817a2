//! The servers that all tests here share, and what each asks of them.

use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use waypool_sandbox::{Cluster, Server};
use waypool_tests::raw::{Raw, extended, sqlstate, value};
use waypool_tests::wire::Message;
use waypool_tests::{Builder, Proxy, run, waypool};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/plugins");

/// `wait_for` reads, as far as a proxy can tell, and waits for an advisory lock
/// of the server that it runs on; `busy` takes its time on the server with this
/// port.
const SETUP: &str = "
    CREATE ROLE acme LOGIN SUPERUSER;
    CREATE ROLE globex LOGIN SUPERUSER;
    CREATE ROLE migrator LOGIN SUPERUSER;
    CREATE TABLE orders (id int, tenant text);
    INSERT INTO orders VALUES (1, 'acme'), (2, 'acme'), (3, 'globex');
    CREATE TABLE clients (id int);
    INSERT INTO clients VALUES (7);
    CREATE TABLE things (n int);
    CREATE FUNCTION wait_for(lock bigint) RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_lock_shared(lock); PERFORM pg_advisory_unlock_shared(lock); RETURN inet_server_port(); END';
    CREATE FUNCTION busy(port int) RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN IF inet_server_port() = port THEN PERFORM pg_sleep(0.05); END IF; RETURN inet_server_port(); END';
    ";

fn cluster() -> &'static RwLock<Cluster> {
    static CLUSTER: OnceLock<RwLock<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::builder().standbys(2).start().unwrap_or_else(|error| panic!("{error}"));
        let primary = cluster.primary();
        for sql in [SETUP, "CREATE DATABASE acme_shop"] {
            primary.psql(sql).unwrap_or_else(|error| panic!("{error}"));
        }
        for standby in &cluster.servers()[1..] {
            standby.wait_replay(primary).unwrap_or_else(|error| panic!("{error}"));
        }
        RwLock::new(cluster)
    })
}

/// A primary and two standbys, for tests that do not disturb each other.
pub fn servers() -> RwLockReadGuard<'static, Cluster> {
    cluster().read().unwrap_or_else(PoisonError::into_inner)
}

/// The same for a test that breaks them, and mends them again.
pub fn breakable_servers() -> RwLockWriteGuard<'static, Cluster> {
    cluster().write().unwrap_or_else(PoisonError::into_inner)
}

/// A proxy with an example; reads which it does not decide about go to the
/// servers with a weight.
pub fn with(cluster: &Cluster, plugin: &str, config: &str, weights: [f64; 3]) -> Builder {
    let builder = Proxy::builder(cluster).weights(&weights).top("health_check_period = \"200ms\"");
    add(builder, plugin, config)
}

/// One more example in the same proxy, behind those before.
pub fn add(builder: Builder, plugin: &str, config: &str) -> Builder {
    let path = format!("path = \"{PLUGINS}/{plugin}.wasm\"");
    builder.plugin_entry(plugin, &path).plugin(plugin, config)
}

/// The ways to send a statement.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    Simple,
    Extended,
}

pub const WAYS: [Way; 2] = [Way::Simple, Way::Extended];

impl Way {
    pub fn ask(self, session: &mut Raw, sql: &str) -> Vec<Message> {
        session.send(&self.message(sql));
        session.wire.until_ready()
    }

    pub fn message(self, sql: &str) -> Vec<u8> {
        match self {
            Way::Simple => waypool_tests::wire::query(sql),
            Way::Extended => extended(sql),
        }
    }

    #[track_caller]
    pub fn value(self, session: &mut Raw, sql: &str) -> String {
        let answer = self.ask(session, sql);
        assert_eq!(sqlstate(&answer), None, "{self:?}: {sql}: {answer:?}");
        value(&answer).unwrap_or_else(|| panic!("{self:?}: {sql} has no value"))
    }

    /// The SQLSTATE, the message and the hint of a statement that has to fail.
    #[track_caller]
    pub fn error(self, session: &mut Raw, sql: &str) -> [String; 3] {
        let answer = self.ask(session, sql);
        let error = answer.iter().find(|message| message.tag == b'E');
        let error = error.unwrap_or_else(|| panic!("{self:?}: {sql} should have failed"));
        [b'C', b'M', b'H'].map(|field| error.field(field).unwrap_or_default())
    }

    /// Checks that this server answers. The statement selects `inet_server_port()`.
    #[track_caller]
    pub fn is_answered_by(self, session: &mut Raw, sql: &str, server: &Server) {
        let port = self.value(session, sql);
        assert_eq!(port, server.port().to_string(), "{self:?}: {sql}: not by server {}", server.id());
    }
}

pub const PORT: &str = "SELECT inet_server_port()";

/// What a plugin has counted, or set a gauge to.
pub fn counted(proxy: &Proxy, plugin: &str, name: &str) -> f64 {
    let mut stats = Command::new(waypool());
    stats.args(["plugin", "stats", plugin, "--json", "--config"]).arg(proxy.config_path());
    let told: serde_json::Value = serde_json::from_str(&run(&mut stats, "").ok()).unwrap();
    let of = |what: &str| told["counts"][what][name].as_f64();
    of("counters").or_else(|| of("gauges")).unwrap_or_default()
}

/// Ends the proxy in order; no call of a plugin may have failed.
#[track_caller]
pub fn stop(proxy: &Proxy) {
    assert!(!proxy.log().contains("fault="), "a call failed");
    proxy.stop();
}

/// Holds a lock on a server for as long as it lives: who calls `wait_for` there
/// waits.
pub struct Lock {
    sessions: Vec<Raw>,
}

impl Lock {
    pub fn on<'s>(servers: impl IntoIterator<Item = &'s Server>, number: u32) -> Lock {
        let hold = |server: &Server| {
            let mut session = Raw::direct(server, &[]);
            session.run(&format!("SELECT pg_advisory_lock({number})"));
            session
        };
        Lock { sessions: servers.into_iter().map(hold).collect() }
    }

    pub fn release(self) {
        self.sessions.into_iter().for_each(Raw::leave);
    }
}
