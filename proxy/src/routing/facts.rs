//! What the catalog says of functions and relations, as plugins ask for it.
//!
//! A fact is looked up on the primary, as `sr_check_user`, when a classifier
//! first asks for it; kept for `relcache_expire`; and forgotten when DDL
//! passes through the proxy.

use crate::auth::server::Credentials;
use crate::cluster::{Backend, Cluster};
use crate::plugin::contract::{FunctionFact, RelationFact, RelationFacts, Volatility};
use crate::plugin::{FactKey, FactSource};
use crate::pool::{Identity, Pool, ServerConn};
use std::collections::HashMap;
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
    /// One look-up at a time.
    looking: tokio::sync::Mutex<Looking>,
}

/// What a look-up leaves for the next one.
#[derive(Debug, Default)]
struct Looking {
    conn: Option<ServerConn>,
    failed: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Fact {
    Function(FunctionFact),
    Relation(RelationFact),
}

impl Facts {
    pub fn new(lookup: Arc<Lookup>, database: Arc<str>) -> Self {
        Facts {
            lookup,
            database,
            known: Mutex::default(),
            born: Instant::now(),
            forgotten: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            looking: tokio::sync::Mutex::default(),
        }
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
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    fn get(&self, key: &FactKey) -> Option<Fact> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).copied()
    }

    /// Takes a fact that is known without a look-up.
    pub fn learn_relation(&self, name: &str, facts: RelationFacts) {
        let key = FactKey::Relation { schema: None, name: name.to_owned() };
        self.keep(self.epoch(), vec![(key, Fact::Relation(RelationFact::Found(facts)))]);
    }

    /// Looks facts up on the primary. `false`: they stay unknown for now.
    pub async fn fetch(&self, missing: &[FactKey]) -> bool {
        let looking = &mut *self.looking.lock().await;
        // Somebody else may have asked for the same while we waited.
        let wanted: Vec<_> = missing.iter().filter(|key| self.get(key).is_none()).collect();
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
        kept: &mut Option<ServerConn>,
        wanted: &[&FactKey],
    ) -> Result<Vec<(FactKey, Fact)>, String> {
        // Taken out: after an error, or a time-out, it is closed.
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => self.connect().await?,
        };
        let rows = match conn.simple_query(&query(wanted)).await {
            Ok(rows) => rows,
            // It may have ended since the last look-up.
            Err(_) => {
                conn = self.connect().await?;
                conn.simple_query(&query(wanted)).await.map_err(|error| error.to_string())?
            }
        };
        *kept = Some(conn);
        let rows: Vec<Row> = rows.iter().filter_map(|row| Row::read(row)).collect();
        Ok(wanted.iter().map(|key| ((*key).clone(), Fact::from_rows(key, &rows))).collect())
    }

    /// Closes the connection kept for look-ups, unless one is under way.
    pub fn disconnect(&self) {
        if let Ok(mut looking) = self.looking.try_lock() {
            looking.conn = None;
        }
    }

    /// A standby has the same catalog; it is asked only while there is no
    /// primary, because temporary tables are not in it.
    async fn connect(&self) -> Result<ServerConn, String> {
        let cluster = &self.lookup.cluster;
        let usable = |backend: &&Arc<Backend>| backend.is_usable();
        let others = cluster.backends.iter().filter(usable).filter(|other| !cluster.is_primary(other.id));
        let identity = Arc::new(Identity {
            user: self.lookup.user.clone(),
            database: self.database.clone(),
            parameters: vec![("application_name".into(), "waypool catalog".into())],
        });
        let mut why = "no server is up".to_owned();
        for server in cluster.primary().filter(usable).into_iter().chain(others) {
            let pool = self.lookup.pools.get(server.id).ok_or("no such backend")?;
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
    fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        match self.get(&FactKey::Function { schema: schema.map(str::to_owned), name: name.to_owned() }) {
            Some(Fact::Function(fact)) => fact,
            _ => FunctionFact::Unknown,
        }
    }

    fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        match self.get(&FactKey::Relation { schema: schema.map(str::to_owned), name: name.to_owned() }) {
            Some(Fact::Relation(fact)) => fact,
            _ => RelationFact::Unknown,
        }
    }
}

fn is_function(key: &FactKey) -> bool {
    matches!(key, FactKey::Function { .. })
}

fn name_of(key: &FactKey) -> &str {
    match key {
        FactKey::Function { name, .. } | FactKey::Relation { name, .. } => name,
    }
}

fn schema_of(key: &FactKey) -> Option<&str> {
    match key {
        FactKey::Function { schema, .. } | FactKey::Relation { schema, .. } => schema.as_deref(),
    }
}

fn quoted(text: &str) -> String {
    // E'' so that the meaning does not hang on standard_conforming_strings.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Everything of those names, in any schema: kind, schema, name, what it is.
fn query(wanted: &[&FactKey]) -> String {
    let names = |functions: bool| {
        let names = wanted.iter().filter(|key| is_function(key) == functions);
        let names: Vec<_> = names.map(|key| quoted(name_of(key))).collect();
        if names.is_empty() { "NULL".to_owned() } else { names.join(",") }
    };
    format!(
        "SELECT 'f', n.nspname, p.proname, p.provolatile::text FROM pg_catalog.pg_proc p \
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.proname IN ({}) \
         UNION ALL SELECT 'r', n.nspname, c.relname, c.relpersistence::text || c.relkind::text \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname IN ({})",
        names(true),
        names(false)
    )
}

struct Row<'a> {
    is_function: bool,
    schema: &'a str,
    name: &'a str,
    what: &'a str,
}

impl<'a> Row<'a> {
    fn read(row: &'a [Option<String>]) -> Option<Self> {
        let [Some(kind), Some(schema), Some(name), Some(what)] = row else {
            return None;
        };
        Some(Row { is_function: kind == "f", schema, name, what })
    }

    fn is_meant_by(&self, key: &FactKey) -> bool {
        self.is_function == is_function(key)
            && self.name == name_of(key)
            && schema_of(key).is_none_or(|schema| schema == self.schema)
    }
}

impl Fact {
    fn from_rows(key: &FactKey, rows: &[Row]) -> Fact {
        let mut found = rows.iter().filter(|row| row.is_meant_by(key)).peekable();
        let missing = found.peek().is_none();
        if is_function(key) {
            let volatility = found.fold(Volatility::Immutable, |worst, row| match (row.what, worst) {
                ("v", _) | (_, Volatility::Volatile) => Volatility::Volatile,
                ("s", _) | (_, Volatility::Stable) => Volatility::Stable,
                _ => Volatility::Immutable,
            });
            return Fact::Function(if missing {
                FunctionFact::Missing
            } else {
                FunctionFact::Found(volatility)
            });
        }
        let facts = found.fold(RelationFacts::empty(), |facts, row| {
            let these = [
                (row.what.starts_with('t'), RelationFacts::TEMPORARY),
                (row.what.starts_with('u'), RelationFacts::UNLOGGED),
                (row.schema == "pg_catalog", RelationFacts::CATALOG),
                (row.what.ends_with('v'), RelationFacts::VIEW),
            ];
            these.into_iter().filter(|(holds, _)| *holds).fold(facts, |facts, (_, fact)| facts | fact)
        });
        Fact::Relation(if missing { RelationFact::Missing } else { RelationFact::Found(facts) })
    }
}
