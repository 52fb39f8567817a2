//! Ends what was left prepared by a proxy or a server that died in between:
//! commits what was decided, rolls back what was not.

use super::decisions::{Decisions, PREFIX, Verdict};
use super::two_phase::is_unknown;
use crate::pool::QueryError;
use crate::pool::connection::Rows;

/// A server, without a transaction open.
pub trait Server: Send {
    fn name(&self) -> &str;

    /// Asks it in this database; `None`: in any.
    fn ask(
        &mut self,
        database: Option<&str>,
        sql: &str,
    ) -> impl Future<Output = Result<Rows, QueryError>> + Send;
}

/// What was found on a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resolved {
    pub committed: usize,
    pub rolled_back: usize,
    /// Somebody is at them, or could not be ended now.
    pub left: usize,
    /// Of other instances of Waypool.
    pub strange: usize,
}

/// To be repeated: a server may finish a PREPARE TRANSACTION after its client
/// has died.
pub async fn resolve<S: Server>(decisions: &Decisions, server: &mut S) -> Result<Resolved, QueryError> {
    // Before the list is made: what is missing in it then is committed.
    let pending = decisions.pending_on(server.name());
    let sql = format!(
        "SELECT gid, database FROM pg_catalog.pg_prepared_xacts WHERE pg_catalog.starts_with(gid, '{PREFIX}')"
    );
    let rows = server.ask(None, &sql).await?;
    let prepared: Vec<(String, String)> = rows.into_iter().filter_map(gid_and_database).collect();
    for gid in pending.iter().filter(|gid| !prepared.iter().any(|(there, _)| there == *gid)) {
        decisions.committed_on(gid, server.name());
    }
    let mut resolved = Resolved::default();
    for (gid, database) in &prepared {
        if !gid.starts_with(&decisions.prefix()) {
            resolved.strange += 1;
            continue;
        }
        let verb = match decisions.verdict(gid) {
            Verdict::Commit => "COMMIT",
            Verdict::Rollback => "ROLLBACK",
            Verdict::Leave => {
                resolved.left += 1;
                continue;
            }
        };
        let ended =
            server.ask(Some(database), &format!("{verb} PREPARED '{}'", gid.replace('\'', "''"))).await;
        match ended {
            Err(error) if !is_unknown(&error) => {
                tracing::warn!(server = server.name(), gid, "{verb} PREPARED: {error}");
                resolved.left += 1;
                continue;
            }
            _ => tracing::info!(server = server.name(), gid, "{verb} PREPARED: it was left behind"),
        }
        match verb {
            "COMMIT" => {
                decisions.committed_on(gid, server.name());
                resolved.committed += 1;
            }
            _ => resolved.rolled_back += 1,
        }
    }
    Ok(resolved)
}

fn gid_and_database(row: Vec<Option<String>>) -> Option<(String, String)> {
    let mut values = row.into_iter().flatten();
    Some((values.next()?, values.next()?))
}
