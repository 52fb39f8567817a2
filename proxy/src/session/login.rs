//! From an accepted connection to a session.
//!
//! - [`newcomer`]: TLS, cancel requests, the startup packet
//! - [`authenticate`]: the proof of who it is; [`auth_query`]: secrets that a
//!   server knows
//! - [`places`]: how many clients a user and a database may have
//! - here: the rest, up to the first server connection, and the end

pub mod auth_query;
mod authenticate;
mod newcomer;
pub mod places;

use super::links::{LinkError, Links};
use super::positions::Positions;
use super::replication::Replication;
use super::{Client, End, Session, extended};
use crate::auth::hba::Peer;
use crate::auth::server::Credentials;
use crate::life::{Phase, Seat};
use crate::net::stream::Plain;
use crate::net::{Inbox, Outbox, Stream};
use crate::plugin::contract::{Newcomer as Asked, SessionInfo};
use crate::pool::Identity;
use crate::protocol::startup::Startup;
use crate::protocol::{PgError, Severity, backend};
use crate::worker::Worker;
use newcomer::Newcomer;
use places::Place;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

/// How long a client may take to read our last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// A client that has proved who it is.
struct Known {
    startup: Startup,
    credentials: Credentials,
}

/// Serves one connection from accept to close. `stop` tells when the proxy ends.
pub async fn serve(
    worker: Rc<Worker>,
    socket: Plain,
    peer: Peer,
    mut seat: Seat,
    mut stop: watch::Receiver<Phase>,
) {
    let client = Client { stream: Stream::Plain(socket), inbox: Inbox::default(), outbox: Outbox::default() };
    let mut newcomer = Newcomer { client, peer };
    let (known, _place) = match start(&worker, &mut newcomer, &mut seat).await {
        Ok(Some(known)) => known,
        Ok(None) | Err(End::Client | End::Server) => return,
        Err(End::Fatal(error)) => return farewell(&mut newcomer.client, error).await,
    };
    if known.startup.replication.is_some() {
        return Box::pin(replicate(worker, newcomer.client, known, stop)).await;
    }
    let mut session = match Session::begin(worker, newcomer.client, known).await {
        Ok(session) => session,
        Err(refused) => {
            let (mut client, error) = *refused;
            return farewell(&mut client, error).await;
        }
    };
    let end = tokio::select! {
        biased;
        ended = session.run() => ended.err().unwrap_or(End::Client),
        _ = stop.wait_for(|phase| *phase >= Phase::Fast) => End::Fatal(PgError::fatal(
            "57P01",
            "terminating connection due to administrator command",
        )),
    };
    if *stop.borrow() == Phase::Immediate {
        return;
    }
    session.finish(end).await;
}

/// Serves a client that has asked for replication.
async fn replicate(worker: Rc<Worker>, mut client: Client, known: Known, stop: watch::Receiver<Phase>) {
    let Known { startup, credentials } = known;
    let end = match Replication::begin(&worker, &mut client, startup, &credentials).await {
        Ok(replication) => replication.run(&mut client, stop).await,
        Err(error) => Err(error),
    };
    if let Err(error) = end {
        farewell(&mut client, error).await;
    }
}

/// Our last words.
async fn farewell(client: &mut Client, mut error: PgError) {
    error.severity = Severity::Fatal;
    tracing::info!("connection refused or ended: {error}");
    error.write(client.outbox.push());
    let Client { stream, outbox, .. } = client;
    let _ = tokio::time::timeout(FAREWELL, poll_fn(|cx| outbox.poll_flush(cx, stream))).await;
}

/// Everything up to the proof of who the client is, within
/// `authentication_timeout`. `None`: it was a cancel request.
async fn start(
    worker: &Rc<Worker>,
    newcomer: &mut Newcomer,
    seat: &mut Seat,
) -> Result<Option<(Known, Place)>, End> {
    let proxy = &worker.proxy;
    let limit = proxy.config().authentication_timeout.unwrap_or(Duration::MAX);
    let began = Instant::now();
    let Some(startup) = within(limit, newcomer.greet(worker)).await? else {
        return Ok(None);
    };
    if proxy.life.phase() == Phase::Smart {
        // cannot_connect_now, as PostgreSQL says it
        return Err(End::Fatal(PgError::fatal("57P03", "the database system is shutting down")));
    }
    if seat.number > proxy.config().max_client_conn {
        return Err(End::Fatal(
            PgError::fatal("53300", "sorry, too many clients already")
                .with_hint("Raise max_client_conn in waypool.toml, or use fewer clients."),
        ));
    }
    let left = limit.saturating_sub(began.elapsed());
    let config = proxy.config().clone();
    seat.child = tokio::select! {
        child = proxy.children.take(&config) => child.map_err(End::Fatal)?,
        end = newcomer.gone() => return Err(end),
    };
    let credentials = within(left, newcomer.authenticate(worker, &startup)).await?;
    admit(worker, &newcomer.peer, Known { startup, credentials }).map(Some).map_err(End::Fatal)
}

async fn within<T>(limit: Duration, step: impl Future<Output = Result<T, End>>) -> Result<T, End> {
    match tokio::time::timeout(limit, step).await {
        Ok(result) => result,
        Err(_) => Err(End::Fatal(PgError::fatal("57014", "canceling authentication due to timeout"))),
    }
}

fn application_name(startup: &Startup) -> String {
    let given = startup.parameters.iter().find(|(name, _)| name == "application_name");
    given.map_or_else(String::new, |(_, value)| value.clone())
}

/// What the gates make of a client that has proved who it is, if there is a
/// place for it.
fn admit(worker: &Worker, peer: &Peer, known: Known) -> Result<(Known, Place), PgError> {
    let Known { mut startup, credentials } = known;
    let admitted = worker.router.borrow_mut().admit(Asked {
        database: startup.database.clone(),
        user: startup.user.clone(),
        application_name: application_name(&startup),
        address: peer.address.map(|address| address.to_string()),
        tls: peer.tls,
    })?;
    startup.database = admitted.database;
    for (name, value) in admitted.parameters {
        startup.parameters.retain(|(known, _)| *known != name);
        startup.parameters.push((name, value));
    }
    let credentials = match admitted.user {
        Some(user) => {
            let credentials = Credentials::from_secret(worker.proxy.access().users.secret(&user));
            startup.user = user;
            credentials
        }
        None => credentials,
    };
    let proxy = &worker.proxy;
    let place = proxy.places.take(&proxy.config(), &startup.database, &startup.user)?;
    Ok((Known { startup, credentials }, place))
}

impl Session {
    /// Connects the new session to a server and greets the client.
    async fn begin(
        worker: Rc<Worker>,
        client: Client,
        Known { startup, credentials }: Known,
    ) -> Result<Session, Box<(Client, PgError)>> {
        let database = worker.database(&startup.database);
        let info = SessionInfo {
            database: startup.database.clone(),
            user: startup.user.clone(),
            application_name: application_name(&startup),
        };
        let scope = worker.router.borrow_mut().scope(&database, &info);
        let (plan, state) = worker.router.borrow_mut().plan_session(&scope);
        let commits = worker.proxy.commits_of(&startup.user);
        let key_len = if startup.minor >= 2 { 32 } else { 4 };
        let mut session = Session {
            client,
            cancel: worker.proxy.cancels.enter(key_len),
            clock: worker.clocks.enter(),
            links: Links::new(worker.proxy.cluster.backends.len()),
            worker,
            identity: Arc::new(Identity {
                user: startup.user.into(),
                database: database.name.clone(),
                parameters: startup.parameters,
            }),
            scope,
            credentials,
            lead: 0,
            cycle: extended::Cycle::default(),
            transaction: Default::default(),
            settings: Default::default(),
            prepared: Default::default(),
            pending: Vec::new(),
            state,
            words: Default::default(),
            positions: Positions::new(&plan, commits),
            sticky: false,
            passing: 0,
            copying: false,
            blocked: false,
            progress: false,
            retry: Vec::new(),
            reading: Vec::new(),
            ready_held: None,
            sent: 0,
            answered: 0,
            ahead: None,
            watched: Default::default(),
            notices: Vec::new(),
            held: Vec::new(),
            batch: Default::default(),
        };
        match session.greet().await {
            Ok(()) => Ok(session),
            Err(error) => {
                let Session { client, worker, scope, identity, .. } = session;
                worker.proxy.trusted.forget(&identity.user, &identity.database);
                let name = scope.database.name.clone();
                worker.router.borrow_mut().forget_scope(scope);
                // Or it would count as being in use.
                drop(database);
                worker.forget_unused(&name);
                Err(Box::new((client, error)))
            }
        }
    }

    async fn greet(&mut self) -> Result<(), PgError> {
        let first = self.first_server().await?;
        let mut out = Vec::with_capacity(1024);
        backend::authentication_ok(&mut out);
        if let Some(link) = self.links.get(first) {
            for (name, value) in &link.conn.parameters {
                backend::parameter_status(&mut out, name, value);
            }
        }
        backend::backend_key_data(&mut out, self.cancel.pid, self.cancel.key());
        backend::ready_for_query(&mut out, self.transaction.status);
        self.client.send(&out).map_err(|error| PgError::fatal("08006", error.to_string()))
    }

    /// The primary, or while it is away a server that can be read from: a
    /// session can begin, and read, without a primary.
    async fn first_server(&mut self) -> Result<usize, PgError> {
        let cluster = self.worker.proxy.cluster.clone();
        let primary = cluster.primary().map(|primary| primary.id);
        let mut refusal = super::links::no_primary();
        let readable =
            cluster.backends.iter().map(|backend| backend.id).filter(|id| cluster.is_readable(*id));
        let home = self.state.home as usize;
        let candidates = primary.into_iter().chain(cluster.is_readable(home).then_some(home)).chain(readable);
        for id in candidates {
            match self.link(id).await {
                Ok(()) => return Ok(id),
                Err(LinkError::Statement(error)) => {
                    // It is not the server's fault: another one says the same.
                    let server_failed = error.sqlstate == "08006" || error.sqlstate.starts_with("57P");
                    refusal = error;
                    if !server_failed {
                        break;
                    }
                }
                Err(LinkError::End(_)) => break,
            }
        }
        Err(refusal)
    }

    /// The session is over: last words, and the connections go back.
    async fn finish(mut self, end: End) {
        // In the middle of a row our words would be read as its rest.
        let mid_row = self.links.get(self.lead).is_some_and(|link| link.replies.is_mid_frame());
        match end {
            End::Client => {}
            End::Fatal(error) if mid_row => {
                tracing::info!("connection ended in the middle of a row: {error}")
            }
            End::Fatal(error) => farewell(&mut self.client, error).await,
            End::Server => {
                let Client { stream, outbox, .. } = &mut self.client;
                let _ = tokio::time::timeout(FAREWELL, poll_fn(|cx| outbox.poll_flush(cx, stream))).await;
            }
        }
        // Whatever was under way is over.
        self.tell_end(false);
        let reset_query_list = self.worker.proxy.config().reset_query_list.clone();
        // The client need not wait for the clean-up.
        if let Stream::Plain(Plain::Tcp(stream)) = &mut self.client.stream {
            let _ = stream.shutdown().await;
        }
        self.release_links(&reset_query_list).await;
    }
}

/// Where a TCP client comes from, and to which address of ours.
pub fn tcp_peer(peer: IpAddr, local: Option<IpAddr>) -> Peer {
    Peer { address: Some(peer), local, tls: false }
}

/// A client on a Unix socket.
pub fn unix_peer() -> Peer {
    Peer { address: None, local: None, tls: false }
}
