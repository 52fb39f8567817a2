//! The running proxy's part of two-phase commit: opens the log, looks whether
//! the servers can do it, and ends what was left prepared.

use super::Decisions;
use super::decisions::OpenError;
use super::resolve::{Server, resolve};
use crate::auth::server::Credentials;
use crate::cluster::Backend;
use crate::config::CommitMode;
use crate::pool::connection::Rows;
use crate::pool::{Identity, Pool, QueryError, ServerConn};
use crate::proxy::Proxy;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked whether there is something to do.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that a prepared transaction waits for need not answer at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why two-phase commit cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error(
        "commit_mode = \"two_phase\": backend {backend} ({address}) has max_prepared_transactions = 0. Write \
         max_prepared_transactions = {wanted} into its postgresql.conf, as much as its max_connections, and restart it; \
         or write commit_mode = \"ordered\""
    )]
    CannotPrepare { backend: usize, address: String, wanted: String },
}

/// One of the proxy's servers.
struct Resolved {
    name: String,
    pool: Arc<Pool>,
    user: Arc<str>,
    database: Arc<str>,
    credentials: Credentials,
    conn: Option<Box<ServerConn>>,
}

/// To be called when the servers have been looked at, and before clients come.
pub async fn start(proxy: &Arc<Proxy>) -> Result<(), StartError> {
    let config = proxy.config().clone();
    let replicates = config.backend_clustering_mode.replicates();
    if config.commit_mode != CommitMode::TwoPhase || !replicates {
        return Ok(());
    }
    let decisions = Decisions::open(&config.two_phase_log_directory)?;
    for backend in up(proxy) {
        check(proxy, &backend).await?;
        look(proxy, &decisions, &backend).await;
    }
    // Set once, as it is started once.
    let _ = proxy.decisions.set(decisions);
    Ok(())
}

/// Looks for ever: a server may come back, another process may die, and one that
/// died may have sent a PREPARE TRANSACTION which is carried out only now.
pub async fn run(proxy: Arc<Proxy>) {
    let Some(decisions) = proxy.decisions.get().cloned() else {
        return;
    };
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let due = looked.elapsed() >= proxy.config().sr_check_period;
        if !due && decisions.pending() == 0 {
            continue;
        }
        if let Err(error) = decisions.inherit() {
            tracing::error!("two-phase log: {error}");
        }
        for backend in up(&proxy) {
            look(&proxy, &decisions, &backend).await;
        }
        looked = Instant::now();
    }
}

fn up(proxy: &Proxy) -> Vec<Arc<Backend>> {
    proxy.cluster.backends.iter().filter(|backend| backend.is_up()).cloned().collect()
}

async fn check(proxy: &Proxy, backend: &Backend) -> Result<(), StartError> {
    const QUESTION: &str = "SELECT current_setting('max_prepared_transactions'), \
        current_setting('max_connections'), rolsuper::text FROM pg_catalog.pg_roles WHERE rolname = current_user";
    let mut server = Resolved::of(proxy, backend);
    let rows = match server.ask(None, QUESTION).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(backend = backend.id, "whether it can prepare transactions is not known: {error}");
            return Ok(());
        }
    };
    let Some([Some(prepared), Some(wanted), Some(superuser)]) = rows.first().map(Vec::as_slice) else {
        return Ok(());
    };
    if superuser != "true" {
        tracing::warn!(
            backend = backend.id,
            "sr_check_user is no superuser: it cannot end transactions that others have left prepared"
        );
    }
    match prepared.as_str() {
        "0" => Err(StartError::CannotPrepare {
            backend: backend.id,
            address: backend.address().to_string(),
            wanted: wanted.clone(),
        }),
        _ => Ok(()),
    }
}

async fn look(proxy: &Proxy, decisions: &Decisions, backend: &Backend) {
    let mut server = Resolved::of(proxy, backend);
    let resolved = match tokio::time::timeout(PATIENCE, resolve(decisions, &mut server)).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => {
            return tracing::warn!(
                backend = backend.id,
                "prepared transactions cannot be looked at: {error}"
            );
        }
        Err(_) => {
            return tracing::warn!(
                backend = backend.id,
                "prepared transactions: no answer within {PATIENCE:?}"
            );
        }
    };
    if resolved.strange > 0 {
        tracing::debug!(
            backend = backend.id,
            count = resolved.strange,
            "transactions are prepared that belong to another Waypool, or to a log that is gone"
        );
    }
}

// === impl Resolved ===

impl Resolved {
    fn of(proxy: &Proxy, backend: &Backend) -> Self {
        let config = proxy.config();
        let user = if config.sr_check_user.is_empty() { "postgres" } else { &config.sr_check_user };
        Resolved {
            name: backend.address().to_string(),
            pool: proxy.pools[backend.id].clone(),
            user: user.into(),
            database: config.sr_check_database.as_str().into(),
            credentials: proxy.check_credentials(),
            conn: None,
        }
    }

    async fn conn(&mut self, database: &str) -> Result<&mut ServerConn, QueryError> {
        let kept = self.conn.take().filter(|conn| *conn.identity.database == *database);
        let conn = match kept {
            Some(conn) => conn,
            None => {
                let identity = Arc::new(Identity {
                    user: self.user.clone(),
                    database: database.into(),
                    parameters: vec![("application_name".into(), "waypool resolver".into())],
                });
                let connected = self.pool.connect(&identity, &self.credentials).await;
                connected.map_err(|error| QueryError::Io(io::Error::other(error.to_string())))?
            }
        };
        Ok(self.conn.insert(conn))
    }
}

impl Server for Resolved {
    fn name(&self) -> &str {
        &self.name
    }

    async fn ask(&mut self, database: Option<&str>, sql: &str) -> Result<Rows, QueryError> {
        let database = database.map_or_else(|| self.database.clone(), Into::into);
        self.conn(&database).await?.simple_query(sql).await
    }
}
