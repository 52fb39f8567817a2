//! PAUSE, RESUME and the like: what is done, and waited for.

use super::DATABASE;
use super::command::{Command, Shutdown};
use crate::census::{Client, Server};
use crate::life::Mode;
use crate::orders::{NobodyThere, Order};
use crate::protocol::PgError;
use crate::proxy::Proxy;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long KILL waits for clients that do not read their last words.
const KILLED: Duration = Duration::from_secs(10);

/// Returns the tag of what was done.
pub async fn carry_out(proxy: &Proxy, command: Command) -> Result<&'static str, PgError> {
    match command {
        Command::Pause(database) => pause(proxy, database.as_deref()).await,
        Command::Resume(database) => resume(proxy, database.as_deref()),
        Command::Reconnect(database) => {
            proxy.pools.iter().for_each(|pool| pool.retire(database.as_deref()));
            Ok("RECONNECT")
        }
        Command::WaitClose(database) => {
            let waits = |server: &Server| server.is_retired() && is_of(&server.database, database.as_deref());
            wait_closed(proxy, waits).await;
            Ok("WAIT_CLOSE")
        }
        Command::Disable(database) => {
            proxy.doors.disable(&database);
            Ok("DISABLE")
        }
        Command::Enable(database) => {
            proxy.doors.enable(&database);
            Ok("ENABLE")
        }
        Command::Kill(database) => kill(proxy, database.as_deref()).await,
        Command::KillClient(id) => kill_client(proxy, id).await,
        Command::Reload => reload(proxy).await,
        Command::Shutdown(how) => Ok(shutdown(proxy, how).await),
        // Answered without anything being done.
        Command::Empty | Command::Show(_) | Command::Ignored(_) => Ok(""),
    }
}

/// A cancel request came while this was being done: ^C on a PAUSE resumes, as
/// in PgBouncer.
pub fn take_back(proxy: &Proxy, command: &Command) {
    let paused = match command {
        Command::Pause(database) => database.as_deref(),
        Command::Shutdown(Shutdown::WaitForServers) => None,
        _ => return,
    };
    let _ = resume(proxy, paused);
}

fn is_of(name: &str, database: Option<&str>) -> bool {
    database.is_none_or(|database| name == database)
}

async fn wait_closed(proxy: &Proxy, predicate: impl Fn(&Server) -> bool) {
    for pool in &proxy.pools {
        pool.servers.wait_closed(&predicate).await;
    }
}

/// Nobody gets a server connection any more; returns when none is open.
async fn pause(proxy: &Proxy, database: Option<&str>) -> Result<&'static str, PgError> {
    if proxy.doors.all_paused() || !proxy.doors.pause(database) {
        return Err(PgError::error("55000", "already suspended/paused"));
    }
    close_doors(proxy, database);
    wait_closed(proxy, |server| is_of(&server.database, database)).await;
    Ok("PAUSE")
}

fn close_doors(proxy: &Proxy, database: Option<&str>) {
    proxy.pools.iter().for_each(|pool| pool.pause(database));
    proxy.disconnect_own(database);
}

fn resume(proxy: &Proxy, database: Option<&str>) -> Result<&'static str, PgError> {
    // Who waits at the doors finds the pools open.
    proxy.pools.iter().for_each(|pool| pool.resume(database));
    match (proxy.doors.resume(database), database) {
        (true, _) => Ok("RESUME"),
        (false, Some(database)) => Err(PgError::error("55000", format!("database {database} is not paused"))),
        (false, None) => Err(PgError::error("55000", "pooler is not paused/suspended")
            .with_hint("A database that was paused by name is resumed by name: SHOW DATABASES tells.")),
    }
}

/// Clients and server connections end now, and new ones wait for RESUME.
async fn kill(proxy: &Proxy, database: Option<&str>) -> Result<&'static str, PgError> {
    if proxy.doors.all_paused() {
        return Err(PgError::error("55000", "already suspended/paused"));
    }
    proxy.doors.pause(database);
    close_doors(proxy, database);
    let theirs = |client: &Client| *client.database != *DATABASE && is_of(&client.database, database);
    let clients = proxy.census.clients.list();
    let killed: Vec<_> = clients.iter().filter(|client| theirs(client)).collect();
    killed.iter().for_each(|client| client.kill.raise());
    wait_gone(proxy, |client| client.kill.is_raised() && theirs(client)).await;
    Ok("KILL")
}

async fn kill_client(proxy: &Proxy, id: u64) -> Result<&'static str, PgError> {
    let Some(client) = proxy.census.clients.get(id) else {
        return Err(PgError::error("22023", "client not found")
            .with_hint("KILL_CLIENT takes a number from the column id of SHOW CLIENTS."));
    };
    client.kill.raise();
    // A console can kill itself, but not wait for that.
    if *client.database != *DATABASE {
        wait_gone(proxy, |client| client.id == id).await;
    }
    Ok("KILL_CLIENT")
}

async fn wait_gone(proxy: &Proxy, predicate: impl Fn(&Client) -> bool) {
    let gone = proxy.census.clients.wait_gone(predicate);
    if tokio::time::timeout(KILLED, gone).await.is_err() {
        tracing::warn!("killed clients have not ended within {KILLED:?}");
    }
}

async fn reload(proxy: &Proxy) -> Result<&'static str, PgError> {
    let (answer, answered) = oneshot::channel();
    proxy.orders.give(Order::Reload(answer)).map_err(refused)?;
    match answered.await {
        Ok(Ok(())) => Ok("RELOAD"),
        Ok(Err(mistakes)) => Err(PgError::error("F0000", "RELOAD failed, see logs for additional details")
            .with_detail(mistakes)
            .with_hint("waypool check tells the same before it matters.")),
        Err(_) => Err(refused(NobodyThere)),
    }
}

async fn shutdown(proxy: &Proxy, how: Shutdown) -> &'static str {
    match how {
        Shutdown::Now => {}
        // One that is taken back ends nothing.
        Shutdown::WaitForServers => {
            proxy.doors.pause(None);
            close_doors(proxy, None);
            wait_closed(proxy, |_| true).await;
        }
        Shutdown::WaitForClients => {
            // It would wait for those who gave the order, too.
            proxy.shutdown(Mode::Smart);
            proxy.census.clients.wait_gone(|client| *client.database != *DATABASE).await;
        }
    }
    proxy.shutdown(Mode::Fast);
    "SHUTDOWN"
}

fn refused(error: NobodyThere) -> PgError {
    PgError::error("55000", error.to_string())
}
