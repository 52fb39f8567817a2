//! `enable_pool_hba = false`: no rules of our own. Whoever the server lets in
//! without a password comes in; everybody else needs the password that
//! `auth_file` or `[users]` knows, as with Pgpool-II.

use super::End;
use crate::auth::Secret;
use crate::auth::client::Method;
use crate::auth::server::Credentials;
use crate::cluster::Backend;
use crate::pool::{ConnectError, Identity};
use crate::protocol::PgError;
use crate::protocol::startup::Startup;
use crate::proxy::Proxy;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A server that trusted a user is asked again after this long, at the latest.
const TRUST: Duration = Duration::from_secs(10);
/// Users and databases remembered as trusted.
const REMEMBERED: usize = 1000;

/// Whom the servers trust, as last seen.
#[derive(Debug, Default)]
pub struct Trusted(Mutex<HashMap<(String, String), Instant>>);

impl Trusted {
    fn knows(&self, who: &(String, String)) -> bool {
        let trusted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.get(who).is_some_and(|since| since.elapsed() < TRUST)
    }

    /// A server has refused such a login after all.
    pub fn forget(&self, user: &str, database: &str) {
        let mut trusted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.retain(|(one, of), _| one != user || of != database);
    }

    fn add(&self, who: (String, String)) {
        let mut trusted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if trusted.len() >= REMEMBERED {
            trusted.retain(|_, since| since.elapsed() < TRUST);
        }
        if trusted.len() < REMEMBERED {
            trusted.insert(who, Instant::now());
        }
    }
}

/// Whether the servers let this client in without a password.
pub async fn trusts(proxy: &Proxy, startup: &Startup) -> Result<bool, End> {
    // No database has an empty name.
    let who = (startup.user.clone(), startup.wanted().unwrap_or_default().to_owned());
    if proxy.trusted.knows(&who) {
        return Ok(true);
    }
    let trusted = ask(proxy, startup).await?.is_ok();
    if trusted {
        proxy.trusted.add(who);
    }
    Ok(trusted)
}

/// How a client has to prove who it is, if they do not. A user that is not
/// known goes through the motions as well, so that nobody can tell which users
/// there are.
pub fn method(secret: Option<&Secret>) -> Method {
    match secret {
        Some(Secret::Md5(_)) => Method::Md5,
        _ => Method::ScramSha256,
    }
}

/// Logs in to a server without a password. `Err`: it asks for one.
async fn ask(proxy: &Proxy, startup: &Startup) -> Result<Result<(), ConnectError>, End> {
    let mut parameters = vec![("application_name".to_owned(), "waypool login".to_owned())];
    parameters.extend(startup.replication.map(|kind| ("replication".to_owned(), kind.value().to_owned())));
    let identity = Arc::new(Identity {
        user: startup.user.as_str().into(),
        database: startup.database.as_str().into(),
        parameters,
    });
    let cluster = &proxy.cluster;
    let usable = |backend: &&Arc<Backend>| backend.is_usable();
    let others = cluster.backends.iter().filter(|other| !cluster.is_primary(other.id));
    let mut last = None;
    for server in cluster.primary().into_iter().chain(others).filter(usable) {
        let Some(pool) = proxy.pools.get(server.id) else {
            continue;
        };
        match pool.connect(&identity, &Credentials::None).await {
            Ok(_) => return Ok(Ok(())),
            Err(error @ ConnectError::Auth(_)) => return Ok(Err(error)),
            Err(error) if error.is_server_failure() => {
                cluster.report_failure(server.id, &error.to_string());
                last = Some(error.to_client(server));
            }
            Err(error) => return Err(End::Fatal(error.to_client(server))),
        }
    }
    Err(End::Fatal(last.unwrap_or_else(|| {
        PgError::fatal("57P03", "no server is known at the moment that could check the login")
            .with_hint("With enable_pool_hba = false the servers decide who comes in.")
    })))
}
