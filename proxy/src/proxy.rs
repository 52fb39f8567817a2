//! What all parts of a running proxy share.

use crate::auth::hba::Rules;
use crate::auth::server::Credentials;
use crate::auth::{Secret, Users};
use crate::census::Census;
use crate::children::Children;
use crate::cluster::{Backend, Cluster, Timing};
use crate::commit::{CommitGate, Decisions};
use crate::config::{self, Config, ConfigErrors, Plugins, RelcacheQueryTarget, SslMode};
use crate::doors::Doors;
use crate::handover::{Listeners, Predecessors};
use crate::life::{Life, Mode, Phase};
use crate::notify::Hub;
use crate::orders::Orders;
use crate::plugin::{By, Observers, Options, Origin, PluginError, PluginHost, PluginSource};
use crate::pool::{Limits, Pool, SharedStatements, Target};
use crate::routing::facts::{Facts, Lookup};
use crate::session::cancel;
use crate::session::greeting::Greetings;
use crate::session::login::auth_query::AuthQuery;
use crate::session::login::places::Places;
use crate::session::positions::UserCommits;
use crate::session::server_rules::Trusted;
use crate::tls;
use crate::verify::background::Checks;
use arc_swap::{ArcSwap, Guard};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Of a server connection that nobody uses, when the proxy is about to end.
const KEPT_AT_THE_END: Duration = Duration::from_secs(5);

/// The built-in plugins, compiled when Waypool was built.
pub(crate) mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// A running proxy.
pub struct Proxy {
    config: ArcSwap<Config>,
    access: ArcSwap<Access>,
    pub cluster: Arc<Cluster>,
    /// By number of the backend.
    pub pools: Vec<Arc<Pool>>,
    pub plugins: Arc<PluginHost>,
    pub observers: Observers,
    pub cancels: Arc<cancel::Registry>,
    /// Prepared statements of clients that share server connections.
    pub statements: SharedStatements,
    /// Sessions that do not share theirs for now.
    pub pinned: Arc<AtomicUsize>,
    /// What clients that share are greeted with.
    pub greetings: Greetings,
    /// Worker threads.
    pub workers: usize,
    /// With `enable_pool_hba = false`: whom the servers trust.
    pub trusted: Trusted,
    /// Secrets that a server knows.
    pub auth_query: AuthQuery,
    /// Client connections, in whatever state.
    pub clients: AtomicUsize,
    /// Those that have logged in.
    pub places: Arc<Places>,
    pub life: Life,
    pub children: Children,
    /// What another process would take over.
    pub listeners: Listeners,
    /// Whom this one has taken over from.
    pub predecessors: Arc<Predecessors>,
    pub census: Census,
    pub doors: Doors,
    pub orders: Orders,
    /// LISTEN for clients that share.
    pub notify: Hub,
    /// What commits on several servers pass.
    pub commit_gate: CommitGate,
    /// With `commit_mode = "two_phase"`.
    pub decisions: OnceLock<Arc<Decisions>>,
    /// What comparing the servers has shown.
    pub verification: Checks,
    lookup: Arc<Lookup>,
    facts: Mutex<HashMap<Arc<str>, Arc<Facts>>>,
    /// By user: what its sessions have committed.
    commits: Mutex<HashMap<String, Arc<UserCommits>>>,
}

/// Who may come in, and how: replaced as a whole by a reload.
pub struct Access {
    pub rules: Rules,
    pub users: Users,
    /// `None`: no TLS for clients.
    pub acceptor: Option<tls::Acceptor>,
}

/// Why a proxy cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error("{0}")]
    Hba(String),
    #[error(transparent)]
    Users(#[from] crate::auth::users::UsersError),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error("sr_check_password: {0}")]
    CheckPassword(crate::auth::password::SecretError),
}

impl Access {
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let rules = Rules::parse(config.hba.iter().map(|line| line.text.as_str())).map_err(|error| {
            // The parser counts rules; people look for a line of the file.
            let place = config.hba.get(error.line.saturating_sub(1)).filter(|line| line.line > 0);
            let source = config.source.display();
            SetupError::Hba(match place {
                Some(line) => format!("{source}:{}: hba: {}", line.line, error.message),
                None => format!("{source}: hba: {error}"),
            })
        })?;
        let mut users = Users::default();
        let table = config
            .users
            .iter()
            .filter_map(|(name, user)| Some((name.as_str(), user.password.as_ref()?.expose())));
        users.add_table(&format!("{} [users]", config.source.display()), table)?;
        if let Some(file) = &config.auth_file {
            users.add_file(file)?;
        }
        let acceptor = match &config.ssl {
            Some(ssl) => Some(tls::Acceptor::new(&ssl.cert, &ssl.key, ssl.ca_cert.as_deref())?),
            None => None,
        };
        Ok(Access { rules, users, acceptor })
    }
}

impl Proxy {
    /// Makes everything but the sockets. Blocks while plugins are compiled.
    pub fn new(config: Config) -> Result<Arc<Self>, SetupError> {
        let config = Arc::new(config);
        let access = Access::new(&config)?;
        let workers = config.worker_threads.unwrap_or_else(default_workers);
        let cluster = Arc::new(Cluster::new(&config));
        let pools =
            cluster.backends.iter().map(|backend| pool(&config, backend)).collect::<Result<Vec<_>, _>>()?;
        let options = Options { workers: workers + 1, code_cache: code_cache() };
        let plugins = PluginHost::new(sources(&config), options)?;
        let children = Children::new(config.num_init_children);
        let lookup = Arc::new(Lookup {
            cluster: cluster.clone(),
            pools: pools.clone(),
            user: config.sr_check_user.as_str().into(),
            credentials: check_credentials(&config)?,
            from_standby: config.relcache_query_target == RelcacheQueryTarget::LoadBalanceNode,
            size: config.relcache_size,
            expire: config.relcache_expire,
        });
        Ok(Arc::new(Proxy {
            config: ArcSwap::new(config),
            access: ArcSwap::from_pointee(access),
            cluster,
            pools,
            plugins,
            observers: Observers::default(),
            cancels: Arc::default(),
            statements: SharedStatements::default(),
            pinned: Arc::default(),
            greetings: Greetings::default(),
            workers,
            trusted: Trusted::default(),
            auth_query: AuthQuery::default(),
            clients: AtomicUsize::new(0),
            places: Arc::default(),
            life: Life::default(),
            children,
            listeners: Listeners::default(),
            predecessors: Arc::default(),
            census: Census::default(),
            doors: Doors::default(),
            orders: Orders::default(),
            notify: Hub::default(),
            commit_gate: CommitGate::default(),
            decisions: OnceLock::new(),
            verification: Checks::default(),
            lookup,
            facts: Mutex::default(),
            commits: Mutex::default(),
        }))
    }

    pub fn config(&self) -> Guard<Arc<Config>> {
        self.config.load()
    }

    /// What the sessions of this user have committed.
    pub fn commits_of(&self, user: &str) -> Arc<UserCommits> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        match commits.get(user) {
            Some(position) => position.clone(),
            None => commits.entry(user.to_owned()).or_default().clone(),
        }
    }

    pub fn access(&self) -> Arc<Access> {
        self.access.load_full()
    }

    /// Takes a new configuration over, as far as that is possible without a
    /// restart. Plugins whose entry or file changed are swapped.
    pub fn reload(&self, config: Config, by: &By) -> Result<(), SetupError> {
        let config = Arc::new(config);
        let access = Access::new(&config)?;
        self.plugins.reload(sources(&config), by)?;
        for ((backend, pool), new) in self.cluster.backends.iter().zip(&self.pools).zip(&config.backends) {
            backend.set_weight(new.weight);
            pool.set_limits(limits(&config, new));
        }
        self.cluster.set_timing(Timing::of(&config));
        self.access.store(Arc::new(access));
        self.greetings.forget();
        self.config.store(config);
        self.auth_query.forget();
        Ok(())
    }

    /// Ends the proxy. Returns at once; whoever runs it sees to the rest.
    pub fn shutdown(&self, mode: Mode) {
        self.shutdown_within(mode, None);
    }

    /// The same; for `smart`, clients are waited for no longer than `limit`.
    pub fn shutdown_within(&self, mode: Mode, limit: Option<Duration>) {
        tracing::info!(%mode, clients = self.clients.load(Ordering::Relaxed), "shutting down");
        self.life.enter(mode.into(), limit);
        self.wind_down();
    }

    /// Another process serves the newcomers from now on; this one its clients,
    /// until they leave or `limit` is over.
    pub fn hand_over(&self, limit: Option<Duration>) {
        let clients = self.clients.load(Ordering::Relaxed);
        tracing::info!(clients, "another process has taken over: waiting for the clients to leave");
        self.life.enter(Phase::HandedOver, limit);
        self.listeners.close();
        // The other one speaks to them from now on.
        self.predecessors.forget();
        self.wind_down();
    }

    /// Carries a cancel request out, also for a client that an older process serves.
    pub async fn cancel(&self, pid: u32, key: Vec<u8>) {
        if self.cancels.cancel(pid, &key).await {
            return;
        }
        let predecessors = self.predecessors.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let asks = !predecessors.is_empty();
            predecessors.cancel(pid, &key);
            asks
        });
        if !asked.await.unwrap_or(false) {
            tracing::warn!(pid, "cancel request with a wrong key, or for a client that is gone");
        }
    }

    /// What fewer and fewer clients need is not kept for them.
    fn wind_down(&self) {
        let config = self.config();
        for (pool, backend) in self.pools.iter().zip(&config.backends) {
            let limits = limits(&config, backend);
            let life_time = limits.life_time.map_or(KEPT_AT_THE_END, |time| time.min(KEPT_AT_THE_END));
            pool.set_limits(Limits { life_time: Some(life_time), ends: true, ..limits });
            pool.close_idle();
        }
    }

    /// What is known of a database's catalog; shared by all workers.
    pub fn facts(&self, database: &Arc<str>) -> Arc<Facts> {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts
            .entry(database.clone())
            .or_insert_with(|| Arc::new(Facts::new(self.lookup.clone(), database.clone())))
            .clone()
    }

    /// Drops what is known of a database that no worker knows.
    pub fn forget_unused_facts(&self, database: &str) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.get(database).is_some_and(|facts| Arc::strong_count(facts) == 1) {
            facts.remove(database);
        }
    }

    /// Closes every connection that nobody uses now: a database is about to be
    /// dropped, renamed or copied, for which it must be unused.
    pub fn close_unused(&self) {
        for pool in &self.pools {
            pool.close_idle();
        }
        self.auth_query.disconnect();
        for facts in self.facts.lock().unwrap_or_else(PoisonError::into_inner).values() {
            facts.disconnect();
        }
    }

    /// PAUSE: the proxy's own connections to a database, or to any, are closed too.
    pub fn disconnect_own(&self, database: Option<&str>) {
        self.auth_query.disconnect();
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, facts) in facts.iter() {
            if database.is_none_or(|database| *database == **name) {
                facts.disconnect();
            }
        }
    }

    /// How the monitor logs in to servers.
    pub fn check_credentials(&self) -> Credentials {
        self.lookup.credentials.clone()
    }
}

/// One thread serves many thousand statements a second, and each further one
/// makes all of them dearer (wake-ups across threads): one for four processors.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(4))
}

pub(crate) fn pool(config: &Arc<Config>, backend: &Arc<Backend>) -> Result<Arc<Pool>, SetupError> {
    let roots = match &backend.config.sslrootcert {
        Some(file) => tls::RootCertificates::File(file.clone()),
        None => tls::RootCertificates::System,
    };
    let mode = match backend.config.sslmode {
        SslMode::Disable => tls::SslMode::Disable,
        SslMode::Prefer => tls::SslMode::Prefer,
        SslMode::Require => tls::SslMode::Require,
        SslMode::VerifyCa => tls::SslMode::VerifyCa,
        SslMode::VerifyFull => tls::SslMode::VerifyFull,
    };
    let target = Target { backend: backend.clone(), connector: tls::Connector::new(mode, &roots)? };
    Ok(Pool::new(target, limits(config, &backend.config)))
}

fn limits(config: &Arc<Config>, backend: &config::Backend) -> Limits {
    // As Pgpool-II's: each of its processes keeps so many.
    let of_children = config.num_init_children.zip(config.max_pool);
    let of_children = of_children.map(|(children, each)| children.saturating_mul(each));
    Limits {
        config: config.clone(),
        in_all: backend.max_connections.into_iter().chain(of_children).min().unwrap_or(usize::MAX),
        reserve_timeout: config.reserve_pool_timeout,
        ends: false,
        queue_timeout: config.query_wait_timeout,
        connect_timeout: config.connect_timeout,
        keep: config.connection_cache,
        life_time: config.connection_life_time.into_iter().chain(config.child_life_time).min(),
        most_age: config.server_lifetime,
        most_uses: config.child_max_connections,
    }
}

pub(crate) fn check_credentials(config: &Config) -> Result<Credentials, SetupError> {
    let secret = match &config.sr_check_password {
        Some(password) => Secret::parse(password.expose()).map_err(SetupError::CheckPassword)?,
        None => None,
    };
    Ok(Credentials::from_secret(secret.as_ref()))
}

/// The plugins that a configuration asks for, in their order.
pub fn sources(config: &Config) -> Vec<PluginSource> {
    let rules = Arc::new(config.plugins.clone());
    rules.entries.iter().map(|entry| source(entry, &rules)).collect()
}

fn source(entry: &config::Plugin, rules: &Arc<Plugins>) -> PluginSource {
    let own = match entry.name.as_str() {
        "classify" => embedded::CLASSIFY,
        "balance" => embedded::BALANCE,
        _ => embedded::REWRITE,
    };
    let origin = match &entry.path {
        Some(path) => Origin::File(path.clone()),
        // Only Waypool's own can do without a path.
        None => Origin::Embedded { wasm: own.0, precompiled: own.1 },
    };
    PluginSource { entry: entry.clone(), origin, rules: rules.clone() }
}

/// `$XDG_CACHE_HOME/waypool`, or `~/.cache/waypool`.
fn code_cache() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("waypool"))
}
