//! The configuration as the rest of Waypool sees it: read, checked, with
//! defaults filled in. Names are those of `waypool.toml`, which are
//! Pgpool-II's where the meaning is the same.
//!
//! Where the file says `0` for "off" or "no limit", the field here is `None`,
//! so that nobody has to remember what zero means.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::overrides::{Database, User};
use super::pattern::Pattern;
use super::public_key::PublicKey;

/// One `waypool.toml`. Made by [`Config::load`](super::Config::load) only, so
/// whoever holds one holds a correct one.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file this was read from.
    pub source: PathBuf,

    // Where clients connect.
    /// TCP port, and the number in the Unix socket's name `.s.PGSQL.<port>`.
    pub port: u16,
    /// Host names and addresses; `*` is every interface; empty is no TCP.
    pub listen_addresses: Vec<String>,
    /// Directories for the Unix sockets; empty is none.
    pub unix_socket_directories: Vec<PathBuf>,
    /// File mode of the Unix sockets, such as `0o777`.
    pub unix_socket_permissions: u32,
    /// `None`: one for every four processors.
    pub worker_threads: Option<usize>,
    /// More clients than this are refused with SQLSTATE 53300.
    pub max_client_conn: usize,
    /// Clients served at the same time; more of them wait. `None`: all are.
    pub num_init_children: Option<usize>,
    /// Refuse, rather than have wait, when no more than so many are left of those.
    pub reserved_connections: usize,
    /// The kernel holds as many times `num_init_children` connections that
    /// nobody has accepted yet.
    pub listen_backlog_multiplier: usize,

    // What stands behind.
    pub backend_clustering_mode: ClusteringMode,
    /// In the order of the file, which gives each its number, from 0. Never empty.
    pub backends: Vec<Backend>,

    // The pool.
    /// Reads run on every server as well.
    pub replicate_select: bool,
    /// INSERT locks its table, so that serial numbers are the same everywhere.
    pub insert_lock: bool,
    /// A server whose answer is of another kind is detached.
    pub replication_stop_on_mismatch: bool,
    /// The same for one that changed another number of rows.
    pub failover_if_affected_tuples_mismatch: bool,
    /// How much longer than the main server the others may take before it is
    /// taken for a deadlock between servers. `None`: for ever.
    pub replication_deadlock_timeout: Option<Duration>,
    /// Where `pgpool_status` lies: which servers are detached.
    pub work_dir: PathBuf,

    pub pool_mode: PoolMode,
    /// In pool modes other than session: what cannot be shared keeps its
    /// session on its server connection. Off: it is refused.
    pub pinning: bool,
    /// In these modes: statements prepared on one server connection. At least 1.
    pub max_prepared_statements: usize,
    /// Most connections to one server for one user and database. At least 1.
    pub default_pool_size: usize,
    /// Most connections to one server for one database, of whichever user.
    /// `None`, here and below: no limit.
    pub max_db_connections: Option<usize>,
    /// The same for one user, in whichever database.
    pub max_user_connections: Option<usize>,
    /// Most clients of one database, and of one user.
    pub max_db_client_connections: Option<usize>,
    pub max_user_client_connections: Option<usize>,
    /// What holds for one database in place of the values here.
    pub databases: BTreeMap<String, Database>,
    /// Times `num_init_children`: most connections to one server. `None`: no such limit.
    pub max_pool: Option<usize>,
    /// So many for one user and database are not closed for being unused.
    pub min_pool_size: usize,
    /// So many more for one user and database, for those who have waited for
    /// `reserve_pool_timeout`.
    pub reserve_pool_size: usize,
    pub reserve_pool_timeout: Duration,
    /// How long a client waits for a server connection. `None`: for ever.
    pub query_wait_timeout: Option<Duration>,
    /// Statements that clean a server connection before its next session.
    pub reset_query_list: Vec<String>,
    /// Keep server connections for the next session.
    pub connection_cache: bool,
    /// Kept connections are closed after this long unused. `None`: never.
    pub connection_life_time: Option<Duration>,
    /// The same; the shorter counts.
    pub child_life_time: Option<Duration>,
    /// A connection is closed when it has been lent so often. `None`: no limit.
    pub child_max_connections: Option<usize>,
    /// A connection older than this is closed when nobody uses it. `None`: never.
    pub server_lifetime: Option<Duration>,

    // Limits in time.
    /// From accept to the end of authentication. `None`: no limit.
    pub authentication_timeout: Option<Duration>,
    /// One attempt to reach a server, authentication included. Never zero.
    pub connect_timeout: Duration,
    /// A client silent for this long is disconnected. `None`: never.
    pub client_idle_limit: Option<Duration>,
    /// The same inside a transaction.
    pub idle_transaction_timeout: Option<Duration>,
    /// From a query to the end of its answer. `None`: no limit.
    pub query_timeout: Option<Duration>,
    /// From the first statement of a transaction to its end. `None`: no limit.
    pub transaction_timeout: Option<Duration>,

    // Knowing the servers.
    /// How often roles and lag are looked up. Never zero.
    pub sr_check_period: Duration,
    /// Whom Waypool is when it asks. Never empty in streaming replication.
    pub sr_check_user: String,
    pub sr_check_password: Option<Secret>,
    pub sr_check_database: String,
    /// How often a server that is down is tried again. Never zero.
    pub health_check_period: Duration,
    /// Standbys further behind than this many bytes are not read from.
    /// `None`: lag does not matter.
    pub delay_threshold: Option<u64>,
    /// The same in time. Where it is set, `delay_threshold` does not count.
    pub delay_threshold_by_time: Option<Duration>,
    pub log_standby_delay: LogStandbyDelay,
    /// A command that says how far behind the standbys are, in place of
    /// asking the servers. `None`: they are asked.
    pub replication_delay_source_cmd: Option<String>,
    /// Most time for that command. Never zero.
    pub replication_delay_source_timeout: Duration,

    /// How a transaction ends on several servers.
    pub commit_mode: CommitMode,
    /// Where decisions are written down with `two_phase`.
    pub two_phase_log_directory: PathBuf,

    // Comparing the servers.
    /// How often a running proxy does. `None`: never.
    pub verify_period: Option<Duration>,
    /// Bytes that are read on each server in a second. `None`: no limit.
    pub verify_rate_limit: Option<u64>,
    pub on_divergence: OnDivergence,

    // Caches.
    /// Catalog facts kept, in entries.
    pub relcache_size: usize,
    /// Catalog facts are looked up anew after this long. `None`: kept until DDL.
    pub relcache_expire: Option<Duration>,
    pub relcache_query_target: RelcacheQueryTarget,
    /// Bytes for the verdicts on statements.
    pub statement_cache_size: usize,

    // Who may come in.
    /// TLS for clients. `None`: `ssl = false`.
    pub ssl: Option<ListenTls>,
    /// Off: `hba` does not count, and clients log in as with Pgpool-II
    /// without `pool_hba.conf`: where the server lets the proxy in without a
    /// password they need none, else the one that the users' secrets know.
    pub enable_pool_hba: bool,
    /// Lines of `pg_hba.conf`, not yet parsed.
    pub hba: Vec<HbaLine>,
    /// A file of users and secrets, in addition to `users`.
    pub auth_file: Option<PathBuf>,
    /// Who looks up the secrets of other users on a server. `None`: nobody.
    pub auth_user: Option<String>,
    /// What it asks, with the user as `$1`.
    pub auth_query: String,
    /// The database it asks in. `None`: the client's.
    pub auth_dbname: Option<String>,
    /// How long the answer holds. Zero: for one login.
    pub auth_query_expire: Duration,
    /// Password, md5 hash or SCRAM secret of each user, and what holds for them
    /// in place of the values here.
    pub users: BTreeMap<String, User>,

    // Log.
    pub log_min_messages: LogLevel,
    pub log_format: LogFormat,
    /// Tell the client, by a NOTICE, which server each statement was sent to.
    pub notice_per_node_statement: bool,
    /// Log which server each statement was sent to.
    pub log_per_node_statement: bool,

    // The admin console: the database `waypool`.
    /// Who may give orders there. Empty: nobody.
    pub admin_users: Vec<String>,
    /// Who may look.
    pub stats_users: Vec<String>,
    /// How far the averages of `SHOW STATS` reach back. Never zero.
    pub stats_period: Duration,

    pub plugins: Plugins,
    pub admin: Admin,
}

/// `backend_clustering_mode`: who keeps the servers alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusteringMode {
    /// PostgreSQL does: one primary, the others follow it.
    StreamingReplication,
    /// PostgreSQL does, for some tables: routed as in streaming replication,
    /// but lag is not looked at and no server is asked for its role. The
    /// primary is the one with `ALWAYS_PRIMARY`, else the first that is up.
    LogicalReplication,
    /// The proxy does: what writes runs on every server.
    NativeReplication,
    /// The same, and a transaction's snapshot is taken on all servers while
    /// nothing is committed: all of them show it the same.
    SnapshotIsolation,
    /// Nobody: everything goes to the first server that is up.
    Raw,
}

impl ClusteringMode {
    /// What writes runs on every server: the proxy replicates.
    pub fn replicates(self) -> bool {
        matches!(self, ClusteringMode::NativeReplication | ClusteringMode::SnapshotIsolation)
    }
}

/// `commit_mode`: with native replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitMode {
    /// The others first, and then the main server.
    Ordered,
    /// All of them prepare it; when that is decided, all commit it.
    TwoPhase,
}

/// `on_divergence`: what becomes of a server that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDivergence {
    Report,
    /// Those that are fewer; of two halves, the one without the main server.
    Detach,
}

/// `pool_mode`: how long a client keeps a server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// Until it disconnects, as Pgpool-II does.
    Session,
    /// Until its transaction ends.
    Transaction,
    /// Until its statement ends; transactions of several are refused.
    Statement,
}

/// One `[[backend]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    pub hostname: Host,
    pub port: u16,
    /// Share of the reads, relative to the others. Zero or more, finite.
    pub weight: f64,
    pub flag: BackendFlag,
    /// The standby's `application_name` in `primary_conninfo`, which is how
    /// `pg_stat_replication` of the primary names it.
    pub application_name: Option<String>,
    /// `Disable` for a Unix socket, always.
    pub sslmode: SslMode,
    /// Certificates trusted to sign the server's. Present exactly for
    /// `VerifyCa` and `VerifyFull`.
    pub sslrootcert: Option<PathBuf>,
    /// All connections to this server together. `None`: no limit.
    pub max_connections: Option<usize>,
}

/// `hostname` of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A host name or an IP address.
    Tcp(String),
    /// The directory of a Unix socket.
    Unix(PathBuf),
}

/// `flag` of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendFlag {
    /// Off (`DISALLOW_TO_FAILOVER`): the server is never detached.
    pub allow_to_failover: bool,
    /// Taken for the primary without asking it. At most one server has it.
    pub always_primary: bool,
}

/// `sslmode` of a backend, as in libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    /// TLS if the server offers it; the certificate is not checked.
    Prefer,
    /// TLS or nothing; the certificate is not checked.
    Require,
    /// The certificate must come from `sslrootcert`.
    VerifyCa,
    /// And must name the host.
    VerifyFull,
}

/// TLS towards clients: `ssl = true` and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTls {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Certificates that sign those of clients, for `cert` in hba lines.
    pub ca_cert: Option<PathBuf>,
}

/// One element of `hba`.
#[derive(Debug, Clone)]
pub struct HbaLine {
    pub text: String,
    /// Line of the configuration file, from 1. Zero: one of the defaults.
    pub line: usize,
}

/// Moving a line of the file changes no rule.
impl PartialEq for HbaLine {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// `log_standby_delay`: when a standby's lag is written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStandbyDelay {
    None,
    /// When it is above the threshold.
    IfOverThreshold,
    /// Each time that it is looked up.
    Always,
}

/// `relcache_query_target`: whom catalog facts are looked up from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelcacheQueryTarget {
    Primary,
    /// The server that the session's reads go to.
    LoadBalanceNode,
}

/// `log_min_messages`, in PostgreSQL's names, from chatty to silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Debug5,
    Debug4,
    Debug3,
    Debug2,
    Debug1,
    Info,
    Notice,
    Warning,
    Error,
    Log,
    Fatal,
    Panic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}

/// `[admin]`: where the commands `waypool plugin …` find the running proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// See [`Config::admin_socket`].
    pub socket: AdminSocket,
    /// HTTP over TCP. `None`: there is none.
    pub listen: Option<AdminListen>,
}

/// `socket` of `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminSocket {
    /// `.s.WAYPOOL.<port>` in the first of `unix_socket_directories`, if there is one.
    Default,
    Path(PathBuf),
    None,
}

/// `listen` of `[admin]`: with TLS if clients of the database have it (`ssl`),
/// which may be missing on a loopback address only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminListen {
    pub host: String,
    pub port: u16,
    /// The first line of this file is what a client has to know.
    pub token_file: PathBuf,
}

/// `[plugins]`: the chain, and whose plugins are trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugins {
    /// In the order in which they are asked: that of the file, and then
    /// Waypool's own, [`Plugins::OWN`], which are always there.
    pub entries: Vec<Plugin>,
    /// If there are any, every plugin from a file must be signed by one of them.
    pub trusted_keys: Vec<PublicKey>,
    /// Take a plugin's file over when it changes, without being told.
    pub watch_files: bool,
    /// Where `waypool plugin push` puts files. Made when it is needed.
    pub push_directory: PathBuf,
}

/// One `[plugins.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Up to 63 of a-z, 0-9, `_` and `-`. No two have the same.
    pub name: String,
    /// The component's file. `None`: the built-in one, for Waypool's own only.
    pub path: Option<PathBuf>,
    /// What the file's SHA-256 has to be: 64 hexadecimal digits, lower case.
    pub sha256: Option<String>,
    /// Most time for one call. Never zero.
    pub deadline: Duration,
    /// Most memory of one instance, in bytes.
    pub memory_limit: usize,
    pub on_error: OnError,
    /// Trust it when it sends a writing statement to a standby.
    pub allow_writes_on_standby: bool,
    /// It is asked for sessions of these only. `None`: of all. Never empty.
    pub databases: Option<Vec<Pattern>>,
    pub users: Option<Vec<Pattern>>,
    pub application_names: Option<Vec<Pattern>>,
    /// `[plugins.NAME.config]` for the plugin's `init`. Always a JSON object.
    pub config: serde_json::Value,
}

/// What happens to a statement whose plugin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It goes to the primary.
    Primary,
    /// The client gets an error.
    Reject,
}

/// A password, or what stands for it. Debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

// === impl Config ===

impl Config {
    /// The Unix socket that takes orders. `None`: there is none.
    pub fn admin_socket(&self) -> Option<PathBuf> {
        match &self.admin.socket {
            AdminSocket::Default => {
                let folder = self.unix_socket_directories.first()?;
                Some(folder.join(format!(".s.WAYPOOL.{}", self.port)))
            }
            AdminSocket::Path(path) => Some(path.clone()),
            AdminSocket::None => None,
        }
    }
}

// === impl Plugins ===

impl Plugins {
    /// The names of Waypool's own plugins, which stand last, in this order.
    pub const OWN: [&str; 3] = ["classify", "balance", "rewrite"];

    pub fn get(&self, name: &str) -> Option<&Plugin> {
        self.entries.iter().find(|plugin| plugin.name == name)
    }
}

// === impl Plugin ===

impl Plugin {
    /// Is it asked for a session of these?
    pub fn applies_to(&self, database: &str, user: &str, application_name: &str) -> bool {
        let fits = |patterns: &Option<Vec<Pattern>>, name: &str| match patterns {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        };
        fits(&self.databases, database)
            && fits(&self.users, user)
            && fits(&self.application_names, application_name)
    }
}

// === impl Host ===

/// As it stands in the file.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(name) => f.write_str(name),
            Self::Unix(directory) => write!(f, "{}", directory.display()),
        }
    }
}

// === impl Secret ===

impl Secret {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. Named so that each use of it can be found.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
