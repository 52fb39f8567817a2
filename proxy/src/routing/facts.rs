//! What the catalog says of functions and relations, as plugins ask for it.
//!
//! A fact is looked up on the primary, as `sr_check_user`, when a plugin
//! first asks for it; kept for `relcache_expire`; and forgotten when DDL
//! passes through the proxy.

use super::catalog::{self, Fact};
use crate::auth::server::Credentials;
use crate::cluster::{Backend, Cluster};
use crate::plugin::contract::{ColumnsFact, FunctionFact, RelationFact, RelationFacts, Volatility};
use crate::plugin::{FactKey, FactRef, FactSource};
use crate::pool::{Identity, Pool, ServerConn};
use hashbrown::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After a look-up failed, this long nobody tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A look-up that takes longer leaves the statement to the primary.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// How facts are looked up.
#[derive(Debug)]
pub struct Lookup {
    pub cluster: Arc<Cluster>,
    pub pools: Vec<Arc<Pool>>,
    pub user: Arc<str>,
    pub credentials: Credentials,
    /// `relcache_query_target`: a standby is asked first.
    pub from_standby: bool,
    /// `relcache_size`: facts kept per database.
    pub size: usize,
    /// `relcache_expire`
    pub expire: Option<Duration>,
}

/// The facts of one database.
#[derive(Debug)]
pub struct Facts {
    lookup: Arc<Lookup>,
    database: Arc<str>,
    known: Mutex<HashMap<FactKey, Fact>>,
    /// When facts were last forgotten, in seconds since `born`.
    born: Instant,
    forgotten: AtomicU64,
    /// Moves when facts are forgotten: verdicts made before do not hold.
    epoch: AtomicU64,
    /// Those of one transaction, which asks by itself.
    own: bool,
    /// One look-up at a time.
    looking: tokio::sync::Mutex<Looking>,
}

/// What a look-up leaves for the next one.
#[derive(Debug, Default)]
struct Looking {
    conn: Option<Box<ServerConn>>,
    failed: Option<Instant>,
}

/// No two epochs are the same, of whatever database. Zero is nobody's.
fn next_epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::AcqRel) + 1
}

impl Facts {
    pub fn new(lookup: Arc<Lookup>, database: Arc<str>) -> Self {
        Facts {
            lookup,
            database,
            known: Mutex::default(),
            born: Instant::now(),
            forgotten: AtomicU64::new(0),
            epoch: AtomicU64::new(next_epoch()),
            own: false,
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// For a transaction that has changed the catalog, which it alone sees.
    pub fn of_transaction(&self) -> Self {
        Facts { own: true, ..Facts::new(self.lookup.clone(), self.database.clone()) }
    }

    /// What a transaction asks for these facts …
    pub fn question(wanted: &[FactKey]) -> String {
        catalog::query(&wanted.iter().collect::<Vec<_>>())
    }

    /// … and what it has been told.
    pub fn learn(&self, wanted: &[FactKey], rows: &[Vec<Option<String>>]) {
        let wanted: Vec<_> = wanted.iter().collect();
        self.keep(self.epoch(), catalog::facts(&wanted, rows));
    }

    /// Verdicts hold for one epoch.
    pub fn epoch(&self) -> u64 {
        if let Some(limit) = self.lookup.expire {
            let age = self.born.elapsed().as_secs().saturating_sub(self.forgotten.load(Ordering::Relaxed));
            if age >= limit.as_secs().max(1) {
                self.forget();
            }
        }
        self.epoch.load(Ordering::Acquire)
    }

    /// DDL has passed: nothing known before holds.
    pub fn forget(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        self.forgotten.store(self.born.elapsed().as_secs(), Ordering::Relaxed);
        self.epoch.store(next_epoch(), Ordering::Release);
    }

    fn get(&self, key: FactRef) -> Option<Fact> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).cloned()
    }

    /// Takes a fact that is known without a look-up.
    pub fn learn_operator(&self, name: &str, volatility: Volatility) {
        let key = FactKey::Operator { name: name.to_owned() };
        self.keep(self.epoch(), vec![(key, Fact::Function(FunctionFact::Found(volatility)))]);
    }

    /// Takes a fact that is known without a look-up.
    pub fn learn_relation(&self, name: &str, facts: RelationFacts) {
        let key = FactKey::Relation { schema: None, name: name.to_owned() };
        self.keep(self.epoch(), vec![(key, Fact::Relation(RelationFact::Found(facts)))]);
    }

    /// Looks facts up on the primary. `false`: they stay unknown for now.
    pub async fn fetch(&self, missing: &[FactKey]) -> bool {
        if self.own {
            return false;
        }
        let looking = &mut *self.looking.lock().await;
        // Somebody else may have asked for the same while we waited.
        let wanted: Vec<_> = missing.iter().filter(|key| self.get(FactRef::from(*key)).is_none()).collect();
        if wanted.is_empty() {
            return true;
        }
        if looking.failed.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return false;
        }
        let epoch = self.epoch();
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.ask(&mut looking.conn, &wanted)).await {
            Ok(Ok(facts)) => {
                looking.failed = None;
                self.keep(epoch, facts);
                true
            }
            Ok(Err(why)) => {
                looking.failed = Some(Instant::now());
                tracing::warn!(database = %self.database, "cannot look up catalog facts, reads go to the primary: {why}");
                false
            }
            Err(_) => {
                looking.failed = Some(Instant::now());
                tracing::warn!(database = %self.database, "looking up catalog facts took longer than 2 s, reads go to the primary");
                false
            }
        }
    }

    fn keep(&self, epoch: u64, facts: Vec<(FactKey, Fact)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // DDL passed while we looked: what we saw may be from before it.
        if self.epoch.load(Ordering::Acquire) != epoch {
            return;
        }
        if known.len() + facts.len() > self.lookup.size {
            known.clear();
        }
        known.extend(facts);
    }

    async fn ask(
        &self,
        kept: &mut Option<Box<ServerConn>>,
        wanted: &[&FactKey],
    ) -> Result<Vec<(FactKey, Fact)>, String> {
        // Taken out: after an error, or a time-out, it is closed.
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => self.connect().await?,
        };
        let query = catalog::query(wanted);
        let rows = match conn.simple_query(&query).await {
            Ok(rows) => rows,
            // It may have ended since the last look-up.
            Err(_) => {
                conn = self.connect().await?;
                conn.simple_query(&query).await.map_err(|error| error.to_string())?
            }
        };
        *kept = Some(conn);
        Ok(catalog::facts(wanted, &rows))
    }

    /// Closes the connection kept for look-ups, unless one is under way.
    pub fn disconnect(&self) {
        if let Ok(mut looking) = self.looking.try_lock() {
            looking.conn = None;
        }
    }

    /// A standby has the same catalog; it is asked only while there is no
    /// primary, because temporary tables are not in it.
    async fn connect(&self) -> Result<Box<ServerConn>, String> {
        let cluster = &self.lookup.cluster;
        let usable = |backend: &&Arc<Backend>| backend.is_usable();
        let others = cluster.backends.iter().filter(usable).filter(|other| !cluster.is_primary(other.id));
        let identity = Arc::new(Identity {
            user: self.lookup.user.clone(),
            database: self.database.clone(),
            parameters: vec![
                ("application_name".into(), "waypool catalog".into()),
                // So that defaults are shown with the schemas of what they name.
                ("search_path".into(), "pg_catalog".into()),
            ],
        });
        let mut why = "no server is up".to_owned();
        let primary = cluster.primary().filter(usable).into_iter();
        let order: Vec<_> = match self.lookup.from_standby {
            true => others.chain(primary).collect(),
            false => primary.chain(others).collect(),
        };
        for server in order {
            let pool = self.lookup.pools.get(server.id).ok_or("no such backend")?;
            if pool.is_paused(&self.database) {
                return Err("the database is paused".to_owned());
            }
            match pool.connect(&identity, &self.lookup.credentials).await {
                Ok(conn) => return Ok(conn),
                Err(error) => {
                    why = error.to_string();
                    if !error.is_server_failure() {
                        break;
                    }
                    cluster.report_failure(server.id, &why);
                }
            }
        }
        Err(why)
    }
}

impl FactSource for Facts {
    fn epoch(&self) -> u64 {
        Facts::epoch(self)
    }

    fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        match self.get(FactRef::Function { schema, name }) {
            Some(Fact::Function(fact)) => fact,
            _ => FunctionFact::Unknown,
        }
    }

    fn operator_fact(&self, name: &str) -> FunctionFact {
        match self.get(FactRef::Operator { name }) {
            Some(Fact::Function(fact)) => fact,
            _ => FunctionFact::Unknown,
        }
    }

    fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        match self.get(FactRef::Relation { schema, name }) {
            Some(Fact::Relation(fact)) => fact,
            _ => RelationFact::Unknown,
        }
    }

    fn columns_fact(&self, schema: Option<&str>, name: &str) -> ColumnsFact {
        match self.get(FactRef::Columns { schema, name }) {
            Some(Fact::Columns(fact)) => (*fact).clone(),
            _ => ColumnsFact::Unknown,
        }
    }
}
