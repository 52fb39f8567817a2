//! Are the servers equal? Compares what they hold: rows, sequences, large
//! objects, definitions; once (`waypool verify`) or again and again in a
//! running proxy ([`background`]).
//!
//! Two servers are never at the same moment by themselves. So a comparison is
//! made at a *point*: the proxy lets no commit pass for the moment in which a
//! snapshot is taken on each server ([`Gate`]); whatever is committed then is
//! not seen. Where nobody keeps a gate, what differs is looked at again, and
//! counts only if it differs in the same way.
//!
//! - `sessions`: a connection to each server, and points.
//! - `catalog`: which databases and tables there are.
//! - `checksum`: a table's rows and their sum, worked out by the server.
//! - `scan`: reads tables, no faster than is allowed.
//! - `rows`: from a sum that differs to the rows that do.
//! - `table`: both of them, until the answer can be trusted.
//! - `schema`, `sequences`: what is no row.
//! - `report`: what is said of it.

pub mod background;
pub mod catalog;
mod checksum;
mod report;
mod rows;
mod scan;
mod schema;
mod sequences;
mod sessions;
mod table;
#[cfg(test)]
mod tests;

pub use report::{DatabaseReport, Difference, Outcome, Report, TableReport, Verdict};
pub use sessions::{Servers, Sessions};

use crate::commit::CommitGate;
use crate::config::ClusteringMode;
use catalog::Table;
use std::time::{Duration, Instant};

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("cannot connect to backend {backend}: {source}")]
    Connect { backend: usize, source: crate::pool::ConnectError },
    #[error("backend {backend}: {source}")]
    Query { backend: usize, source: crate::pool::QueryError },
    #[error("{0}")]
    Point(String),
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The server has said no to one statement; it can go on with others.
    fn is_refusal(&self) -> bool {
        matches!(self, Failure::Query { source: crate::pool::QueryError::Server { .. }, .. })
    }
}

/// Keeps commits back for a moment.
pub trait Gate: Sync {
    type Hold: Send;
    /// Whether what is seen at a point is the same on all servers for sure.
    const EXACT: bool;

    /// From here on no transaction is between the servers.
    fn close(&self) -> impl Future<Output = Result<Self::Hold, String>> + Send;

    /// Returns whether that was so until now.
    fn open(&self, hold: Self::Hold) -> impl Future<Output = bool> + Send;
}

/// Nobody keeps commits back.
#[derive(Debug, Clone, Copy)]
pub struct NoGate;

impl Gate for NoGate {
    type Hold = ();
    const EXACT: bool = false;

    async fn close(&self) -> Result<(), String> {
        Ok(())
    }

    async fn open(&self, (): ()) -> bool {
        true
    }
}

/// The gate of this process.
impl Gate for CommitGate {
    type Hold = crate::commit::Inside;
    const EXACT: bool = true;

    async fn close(&self) -> Result<Self::Hold, String> {
        /// A commit that waits for a dead server must not stop all others.
        const PATIENCE: Duration = Duration::from_secs(2);
        let closed = CommitGate::close(self, PATIENCE).await;
        closed.ok_or_else(|| format!("a commit took longer than {PATIENCE:?}: no moment between commits"))
    }

    async fn open(&self, hold: Self::Hold) -> bool {
        drop(hold);
        true
    }
}

/// What is to be compared, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Empty: all that clients could use.
    pub databases: Vec<String>,
    /// `schema.table`. Empty: all.
    pub tables: Vec<String>,
    /// Bytes a second on each server. `None`: as fast as they can.
    pub rate: Option<u64>,
    /// Rows that differ are named up to this number, for each table.
    pub rows: usize,
}

/// What the servers keep equal, according to how they are clustered.
#[derive(Debug, Clone, Copy)]
struct Scope {
    schema: bool,
    sequences: bool,
    large_objects: bool,
}

impl Scope {
    fn of(mode: ClusteringMode) -> Self {
        match mode {
            // A standby's sequences are up to 32 values ahead.
            ClusteringMode::StreamingReplication => {
                Scope { schema: true, sequences: false, large_objects: true }
            }
            ClusteringMode::LogicalReplication => {
                Scope { schema: false, sequences: false, large_objects: false }
            }
            _ => Scope { schema: true, sequences: true, large_objects: true },
        }
    }
}

/// A point this old is not used for another table: it keeps the servers from
/// cleaning up.
const OLDEST_POINT: Duration = Duration::from_secs(10);

/// Compares everything; `each` hears of each database when it is done.
pub async fn verify<G: Gate>(
    servers: &Servers,
    gate: &G,
    options: &Options,
    mut each: impl FnMut(&DatabaseReport),
) -> Result<Report, Failure> {
    let mut report = Report { servers: servers.ids(), databases: Vec::new(), differences: Vec::new() };
    let mut sessions = servers.open(servers.first_database()).await?;
    let all = catalog::databases(&mut sessions).await?;
    if Scope::of(servers.mode).schema {
        report.differences = schema::roles(&mut sessions).await?;
        report.differences.extend(all.missing);
    }
    drop(sessions);
    let wanted = match options.databases.is_empty() {
        true => all.common,
        false => options.databases.clone(),
    };
    for name in wanted {
        let database = database(servers, gate, options, &name).await?;
        each(&database);
        report.databases.push(database);
    }
    Ok(report)
}

async fn database<G: Gate>(
    servers: &Servers,
    gate: &G,
    options: &Options,
    name: &str,
) -> Result<DatabaseReport, Failure> {
    let scope = Scope::of(servers.mode);
    let mut sessions = servers.open(name).await?;
    let mut report = DatabaseReport::new(name);
    sessions.point(gate).await?;
    let tables = catalog::tables(&mut sessions, scope.large_objects).await?;
    if scope.schema && options.tables.is_empty() {
        let compared = schema::definitions(&mut sessions).await;
        report.take("definitions", compared)?;
    }
    if scope.sequences && options.tables.is_empty() {
        // At another point, as the transaction may have failed.
        sessions.point(gate).await?;
        let compared = sequences::compare(&mut sessions).await;
        report.take("sequences", compared)?;
        sessions.point(gate).await?;
    }
    let wanted = |table: &&Table| options.tables.is_empty() || options.tables.contains(&table.name);
    let mut since = Instant::now();
    for table in tables.iter().filter(wanted) {
        if since.elapsed() > OLDEST_POINT {
            sessions.point(gate).await?;
            since = Instant::now();
        }
        let compared = table::compare(&mut sessions, gate, options, table).await?;
        if !matches!(compared.verdict, Verdict::Equal) {
            sessions.point(gate).await?;
            since = Instant::now();
        }
        report.tables.push(compared);
    }
    for missing in options.tables.iter().filter(|name| !tables.iter().any(|table| table.name == **name)) {
        report.tables.push(TableReport::failed(missing, "there is no such table on any server"));
    }
    Ok(report)
}
