//! `auth_query`: the secrets of users that are in neither `[users]` nor
//! `auth_file` are looked up on a server, as `auth_user`.
//!
//! What was found, or that there is nothing, holds for `auth_query_expire`.
//! One look-up at a time, on connections of the proxy's own that are kept.

use crate::auth::Secret;
use crate::auth::server::Credentials;
use crate::cluster::Backend;
use crate::pool::{ConnectError, Identity, QueryError, ServerConn};
use crate::protocol::PgError;
use crate::proxy::Proxy;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most answers kept, and the longest name with one (PostgreSQL's own are no
/// longer). Anybody can make up names.
const MOST_KEPT: usize = 10_000;
const LONGEST_NAME: usize = 63;
/// Connections kept, each to another database.
const MOST_CONNECTIONS: usize = 4;
/// After no server could be asked, nobody tries again for this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What has been looked up.
#[derive(Debug, Default)]
pub struct AuthQuery {
    known: Mutex<HashMap<Key, Answer>>,
    looking: tokio::sync::Mutex<Looking>,
}

/// The database asked in, and the user.
type Key = (String, String);

#[derive(Debug, Clone)]
struct Answer {
    /// `None`: there is no such user, or it has no password.
    secret: Option<Secret>,
    /// When the server was asked.
    at: Instant,
}

#[derive(Debug, Default)]
struct Looking {
    connections: Vec<Box<ServerConn>>,
    failed: Option<(Instant, PgError)>,
}

/// Why a server's answer is of no use.
enum Failure {
    /// What the client is told.
    Told(PgError),
    /// The connection was lost: another one may do.
    Lost(String),
}

/// What is asked, as configured now.
struct Question {
    query: String,
    auth_user: String,
    database: String,
    user: String,
    limit: Duration,
}

// === impl AuthQuery ===

impl AuthQuery {
    /// The secret of a user, as a server has told it after `since`. `None`: no
    /// password lets it in, as for any user where `auth_user` is not set.
    pub async fn secret(
        &self,
        proxy: &Proxy,
        database: &str,
        user: &str,
        since: Instant,
    ) -> Result<Option<Secret>, PgError> {
        let Some(question) = Question::new(proxy, database, user) else {
            return Ok(None);
        };
        let key = (question.database.clone(), question.user.clone());
        if let Some(answer) = self.get(&key, since) {
            return Ok(answer.secret);
        }
        let looking = &mut *self.looking.lock().await;
        // Somebody else may have asked for the same while we waited.
        if let Some(answer) = self.get(&key, since) {
            return Ok(answer.secret);
        }
        if let Some((at, error)) = &looking.failed
            && at.elapsed() < RETRY_AFTER
        {
            return Err(error.clone());
        }
        let at = Instant::now();
        let secret = looking.ask(proxy, &question).await?;
        self.keep(key, Answer { secret: secret.clone(), at });
        Ok(secret)
    }

    /// How old an answer may be for a client that comes now.
    pub fn fresh_enough(proxy: &Proxy) -> Instant {
        let now = Instant::now();
        now.checked_sub(proxy.config().auth_query_expire).unwrap_or(now)
    }

    fn get(&self, key: &Key, since: Instant) -> Option<Answer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|answer| answer.at >= since).cloned()
    }

    fn keep(&self, key: Key, answer: Answer) {
        if key.0.len().max(key.1.len()) > LONGEST_NAME {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KEPT {
            known.clear();
        }
        known.insert(key, answer);
    }

    /// The configuration has changed, and with it what is asked.
    pub fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.disconnect();
    }

    /// Closes the connections, unless one is in use.
    pub fn disconnect(&self) {
        if let Ok(mut looking) = self.looking.try_lock() {
            *looking = Looking::default();
        }
    }
}

// === impl Question ===

impl Question {
    /// `None`: nobody is to be asked.
    fn new(proxy: &Proxy, database: &str, user: &str) -> Option<Self> {
        let config = proxy.config();
        Some(Question {
            query: config.auth_query.clone(),
            auth_user: config.auth_user.clone()?,
            database: config.auth_dbname.clone().unwrap_or_else(|| database.to_owned()),
            user: user.to_owned(),
            limit: config.connect_timeout,
        })
    }

    /// What the rows of an answer mean.
    fn read(&self, rows: &[Vec<Option<String>>]) -> Result<Option<Secret>, String> {
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let [name, password] = &row[..] else {
            return Err(format!("it returns {} columns, not two: the user and the secret", row.len()));
        };
        match (name, password) {
            (None, _) | (Some(_), None) => Ok(None),
            (Some(name), Some(_)) if *name != self.user => {
                Err(format!("it returns another user, \"{name}\": its WHERE must compare with $1"))
            }
            (Some(_), Some(password)) => Secret::parse(password).map_err(|error| error.to_string()),
        }
    }

    /// What a client is told when its secret cannot be known; the log has why.
    fn failed(&self, sqlstate: &'static str, why: &str) -> PgError {
        tracing::warn!(user = self.user, database = self.database, "auth_query failed: {why}");
        PgError::fatal(sqlstate, format!("could not look up the password of user \"{}\"", self.user))
            .with_hint("Waypool's log tells why auth_query failed.")
    }
}

// === impl Looking ===

impl Looking {
    async fn ask(&mut self, proxy: &Proxy, question: &Question) -> Result<Option<Secret>, PgError> {
        if let Some(conn) = self.take(question) {
            match self.ask_on(conn, question).await {
                Err(Failure::Lost(why)) => tracing::debug!("auth_query goes over another connection: {why}"),
                Err(Failure::Told(error)) => return Err(error),
                Ok(secret) => return Ok(secret),
            }
        }
        let conn = self.connect(proxy, question).await?;
        match self.ask_on(conn, question).await {
            Ok(secret) => Ok(secret),
            Err(Failure::Told(error)) => Err(error),
            Err(Failure::Lost(why)) => Err(self.unreachable(question, &why)),
        }
    }

    /// The kept connection for this question.
    fn take(&mut self, question: &Question) -> Option<Box<ServerConn>> {
        let fits = |conn: &ServerConn| {
            *conn.identity.database == *question.database && *conn.identity.user == *question.auth_user
        };
        let at = self.connections.iter().position(|conn| fits(conn))?;
        Some(self.connections.remove(at)).filter(|conn| conn.is_alive())
    }

    async fn ask_on(
        &mut self,
        mut conn: Box<ServerConn>,
        question: &Question,
    ) -> Result<Option<Secret>, Failure> {
        let values = [&*question.user];
        let asked = conn.query_with(&question.query, &values);
        let rows = match tokio::time::timeout(question.limit, asked).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(QueryError::Io(error))) => return Err(Failure::Lost(error.to_string())),
            // The server goes down, or somebody has ended the connection.
            Ok(Err(QueryError::Server { sqlstate, message })) if sqlstate.starts_with("57P") => {
                return Err(Failure::Lost(message));
            }
            Ok(Err(error @ QueryError::Server { .. })) => {
                return Err(Failure::Told(question.failed("F0000", &error.to_string())));
            }
            Err(_) => {
                conn.broken = true;
                let why = format!("no answer within {:?} (connect_timeout)", question.limit);
                return Err(Failure::Told(self.unreachable(question, &why)));
            }
        };
        self.connections.push(conn);
        if self.connections.len() > MOST_CONNECTIONS {
            self.connections.remove(0);
        }
        question.read(&rows).map_err(|why| Failure::Told(question.failed("F0000", &why)))
    }

    /// The primary, else a server that can be read from.
    async fn connect(&mut self, proxy: &Proxy, question: &Question) -> Result<Box<ServerConn>, PgError> {
        let identity = Arc::new(Identity {
            user: question.auth_user.as_str().into(),
            database: question.database.as_str().into(),
            parameters: vec![("application_name".into(), "waypool auth_query".into())],
        });
        let credentials = Credentials::from_secret(proxy.access().users.secret(&question.auth_user));
        let cluster = &proxy.cluster;
        let usable = |backend: &&Arc<Backend>| backend.is_usable();
        let others = cluster.backends.iter().filter(|other| !cluster.is_primary(other.id));
        let mut why = "no server is up".to_owned();
        for server in cluster.primary().into_iter().chain(others).filter(usable) {
            let Some(pool) = proxy.pools.get(server.id) else {
                continue;
            };
            match pool.connect(&identity, &credentials).await {
                Ok(conn) => return Ok(conn),
                // As without a look-up: there is no such database.
                Err(error) if matches!(&error, ConnectError::Refused { sqlstate, .. } if sqlstate == "3D000") =>
                {
                    return Err(error.to_client(server));
                }
                Err(error) if error.is_server_failure() => {
                    cluster.report_failure(server.id, &error.to_string());
                    why = error.to_string();
                }
                Err(error) => return Err(question.failed("F0000", &error.to_string())),
            }
        }
        Err(self.unreachable(question, &why))
    }

    fn unreachable(&mut self, question: &Question, why: &str) -> PgError {
        let error = question.failed("57P03", why);
        self.failed = Some((Instant::now(), error.clone()));
        error
    }
}
