//! A connection to each server, all in the same database.

use super::{Failure, Gate};
use crate::auth::server::Credentials;
use crate::commit::join_all;
use crate::config::{ClusteringMode, Config};
use crate::pool::connection::Rows;
use crate::pool::{Identity, Pool, ServerConn};
use std::sync::Arc;
use std::time::Duration;

/// What makes equal values equal texts, whatever the server's settings are.
const SETTINGS: &[(&str, &str)] = &[
    ("application_name", "waypool verify"),
    ("client_encoding", "UTF8"),
    ("search_path", "pg_catalog"),
    ("extra_float_digits", "3"),
    ("datestyle", "ISO, YMD"),
    ("timezone", "UTC"),
    ("intervalstyle", "postgres"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    ("lc_monetary", "C"),
    ("standard_conforming_strings", "on"),
    // An error in place of an answer without the rows that a policy hides.
    ("row_security", "off"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("lock_timeout", "5s"),
    ("default_transaction_isolation", "repeatable read"),
];

/// How long a standby may need to get to where the primary was.
const REPLAY: Duration = Duration::from_secs(30);
const REPLAY_PAUSE: Duration = Duration::from_millis(100);
/// Points that were lost because the gate opened too early.
const ATTEMPTS: usize = 3;

/// Which servers, and how to log in there.
#[derive(Debug, Clone)]
pub struct Servers {
    /// With their numbers.
    pub pools: Vec<(usize, Arc<Pool>)>,
    pub user: Arc<str>,
    pub credentials: Credentials,
    /// Where to ask which databases there are.
    pub database: Arc<str>,
    pub mode: ClusteringMode,
}

#[derive(Debug)]
struct Session {
    backend: usize,
    conn: Box<ServerConn>,
    /// As in 150004.
    version: u32,
    in_recovery: bool,
}

#[derive(Debug)]
pub struct Sessions {
    all: Vec<Session>,
    streaming: bool,
}

// === impl Servers ===

impl Servers {
    pub fn new(config: &Config, pools: Vec<(usize, Arc<Pool>)>, credentials: Credentials) -> Self {
        let user = if config.sr_check_user.is_empty() { "postgres" } else { &config.sr_check_user };
        Servers {
            pools,
            user: user.into(),
            credentials,
            database: config.sr_check_database.as_str().into(),
            mode: config.backend_clustering_mode,
        }
    }

    pub fn ids(&self) -> Vec<usize> {
        self.pools.iter().map(|(id, _)| *id).collect()
    }

    /// Whether it is the proxy that commits on all of them.
    pub fn commits_here(&self) -> bool {
        self.mode.replicates()
    }

    pub(super) fn first_database(&self) -> &str {
        &self.database
    }

    pub(super) async fn open(&self, database: &str) -> Result<Sessions, Failure> {
        let parameters = SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let identity = Arc::new(Identity {
            user: self.user.clone(),
            database: database.into(),
            parameters: parameters.collect(),
        });
        let opened = self.pools.iter().map(|(id, pool)| self.open_one(*id, pool, &identity));
        let all: Result<Vec<_>, _> = join_all(opened).await.into_iter().collect();
        let streaming = self.mode == ClusteringMode::StreamingReplication;
        Ok(Sessions { all: all?, streaming })
    }

    async fn open_one(
        &self,
        backend: usize,
        pool: &Arc<Pool>,
        identity: &Arc<Identity>,
    ) -> Result<Session, Failure> {
        const ABOUT: &str = "SELECT current_setting('server_version_num'), pg_is_in_recovery()::text";
        let connected = pool.connect(identity, &self.credentials).await;
        let mut conn = connected.map_err(|source| Failure::Connect { backend, source })?;
        let rows = conn.simple_query(ABOUT).await.map_err(|source| Failure::Query { backend, source })?;
        let Some([Some(version), Some(recovery)]) = rows.first().map(Vec::as_slice) else {
            return Err(Failure::Other(format!("backend {backend} does not tell its version")));
        };
        let version = version.parse().unwrap_or(0);
        Ok(Session { backend, conn, version, in_recovery: recovery == "true" })
    }
}

// === impl Sessions ===

impl Sessions {
    pub fn ids(&self) -> impl Iterator<Item = usize> {
        self.all.iter().map(|session| session.backend)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether all of them are at least this version.
    pub fn have_version(&self, version: u32) -> bool {
        self.all.iter().all(|session| session.version >= version)
    }

    pub fn any_in_recovery(&self) -> bool {
        self.all.iter().any(|session| session.in_recovery)
    }

    /// Asks all servers the same at the same time.
    pub async fn ask(&mut self, sql: &str) -> Result<Vec<Rows>, Failure> {
        let asked = self.all.iter_mut().map(|session| session.ask(sql));
        join_all(asked).await.into_iter().collect()
    }

    /// Asks each server what is for it; whom nothing is for gets no rows.
    pub async fn ask_each(&mut self, sql: &[Option<String>]) -> Result<Vec<Rows>, Failure> {
        let asked = self.all.iter_mut().zip(sql).map(|(session, sql)| async move {
            match sql {
                Some(sql) => session.ask(sql).await,
                None => Ok(Rows::new()),
            }
        });
        join_all(asked).await.into_iter().collect()
    }

    /// Asks one of them, by its place.
    pub async fn ask_one(&mut self, place: usize, sql: &str) -> Result<Rows, Failure> {
        match self.all.get_mut(place) {
            Some(session) => session.ask(sql).await,
            None => Ok(Rows::new()),
        }
    }

    /// From here on all of them show what was there at one moment.
    pub async fn point<G: Gate>(&mut self, gate: &G) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            self.ask("ROLLBACK").await?;
            self.catch_up().await?;
            self.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let hold = gate.close().await.map_err(Failure::Point)?;
            // The first statement takes the snapshot.
            let taken = self.ask("SELECT 1").await;
            let in_time = gate.open(hold).await;
            taken?;
            if in_time {
                return Ok(());
            }
        }
        Err(Failure::Point(
            "the servers took too long to take their snapshots while commits were kept back".to_owned(),
        ))
    }

    /// Standbys get to where the primary is now.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        if !self.streaming || !self.any_in_recovery() {
            return Ok(());
        }
        let Some(primary) = self.all.iter_mut().find(|session| !session.in_recovery) else {
            return Ok(());
        };
        let rows = primary.ask("SELECT pg_current_wal_lsn()::text").await?;
        let Some(Some(position)) = rows.into_iter().next().and_then(|row| row.into_iter().next()) else {
            return Ok(());
        };
        let question = format!("SELECT (pg_last_wal_replay_lsn() >= '{position}'::pg_lsn)::text");
        let begun = tokio::time::Instant::now();
        for session in self.all.iter_mut().filter(|session| session.in_recovery) {
            while session.ask(&question).await?.concat() != [Some("true".to_owned())] {
                if begun.elapsed() > REPLAY {
                    return Err(Failure::Other(format!(
                        "backend {} has not replayed {position} within {REPLAY:?}: compare when it has caught up",
                        session.backend
                    )));
                }
                tokio::time::sleep(REPLAY_PAUSE).await;
            }
        }
        Ok(())
    }
}

impl Session {
    async fn ask(&mut self, sql: &str) -> Result<Rows, Failure> {
        let backend = self.backend;
        self.conn.simple_query(sql).await.map_err(|source| Failure::Query { backend, source })
    }
}
