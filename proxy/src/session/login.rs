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

use super::fanout::Fanout;
use super::greeting::split;
use super::links::{LinkError, Links};
use super::positions::Positions;
use super::replication::Replication;
use super::settings::Settings;
use super::sharing::Sharing;
use super::{Client, End, Session, extended};
use crate::admin::console;
use crate::auth::hba::Peer;
use crate::auth::server::Credentials;
use crate::census;
use crate::config::ClusteringMode;
use crate::life::{Phase, Seat};
use crate::net::stream::Plain;
use crate::net::{Ends, Inbox, Outbox, Stream};
use crate::plugin::contract::{Newcomer as Asked, SessionInfo};
use crate::pool::{Identity, Parameters};
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

/// Who has come in.
enum Arrived {
    Client(Known, Place),
    /// Of the admin console: no plugin is asked, and no limit holds.
    Console(Startup),
}

/// A client whose session has begun.
struct Guest {
    session: Box<Session>,
    /// Tells when the proxy ends.
    stop: watch::Receiver<Phase>,
    _place: Place,
    _seat: Seat,
}

/// Serves one connection from accept to close. `stop` tells when the proxy ends.
pub fn serve(
    worker: Rc<Worker>,
    socket: Plain,
    peer: Peer,
    seat: Seat,
    stop: watch::Receiver<Phase>,
) -> impl Future<Output = ()> {
    // A task is as large as the largest thing it ever does, and idle clients are
    // many: what happens once is boxed, and nothing of it is left behind.
    let arrival = Box::pin(arrive(worker, socket, peer, seat, stop));
    async move {
        let Some(mut guest) = arrival.await else {
            return;
        };
        let end = guest.stay().await;
        if *guest.stop.borrow() != Phase::Immediate {
            Box::pin(guest.session.finish(end)).await;
        }
    }
}

/// Everything up to the client's first statement; `None`: it was not to have a
/// session, or has gone.
async fn arrive(
    worker: Rc<Worker>,
    socket: Plain,
    peer: Peer,
    mut seat: Seat,
    stop: watch::Receiver<Phase>,
) -> Option<Guest> {
    let client = Client { stream: Stream::Plain(socket), inbox: Inbox::default(), outbox: Outbox::default() };
    let mut newcomer = Newcomer { client, peer };
    let arrived = Box::pin(start(&worker, &mut newcomer, &mut seat)).await;
    let mut client = newcomer.client;
    let error = match arrived {
        Ok(Some(Arrived::Client(known, _place))) if known.startup.replication.is_some() => {
            Box::pin(replicate(worker, client, known, stop)).await;
            return None;
        }
        Ok(Some(Arrived::Client(known, place))) => {
            match Box::pin(Session::begin(worker, client, known, &place)).await {
                Ok(session) => return Some(Guest { session, stop, _place: place, _seat: seat }),
                Err(refused) => {
                    let error;
                    (client, error) = *refused;
                    error
                }
            }
        }
        Ok(Some(Arrived::Console(startup))) => {
            Box::pin(console::serve(worker, client, startup, stop)).await;
            return None;
        }
        Ok(None) | Err(End::Client | End::Server) => return None,
        Err(End::Fatal(error)) => error,
    };
    Box::pin(farewell(&mut client, error)).await;
    None
}

impl Guest {
    /// Until the session ends, for whatever reason.
    async fn stay(&mut self) -> End {
        let Guest { session, stop, .. } = self;
        let member = session.member.clone();
        tokio::select! {
            biased;
            ended = session.run() => ended.err().unwrap_or(End::Client),
            () = member.kill.wait() => session.killed(),
            _ = stop.wait_for(|phase| *phase >= Phase::Fast) => End::Fatal(PgError::fatal(
                "57P01",
                "terminating connection due to administrator command",
            )),
        }
    }
}

/// Serves a client that has asked for replication.
async fn replicate(worker: Rc<Worker>, mut client: Client, known: Known, stop: watch::Receiver<Phase>) {
    let Known { startup, credentials } = known;
    let (user, database) = (startup.user.as_str().into(), startup.database.as_str().into());
    let mut entry =
        census::Client::new(user, database, &application_name(&startup), Ends::of(&client.stream));
    entry.replication = startup.replication;
    let member = worker.proxy.census.clients.enter(entry);
    let begun = tokio::select! {
        biased;
        begun = Replication::begin(&worker, &mut client, startup, &credentials, &member) => begun,
        () = member.kill.wait() => Err(killed()),
    };
    let end = match begun {
        Ok(replication) => replication.run(&mut client, stop, &member).await,
        Err(error) => Err(error),
    };
    if let Err(error) = end {
        farewell(&mut client, error).await;
    }
}

/// Our last words.
pub(crate) async fn farewell(client: &mut Client, mut error: PgError) {
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
) -> Result<Option<Arrived>, End> {
    let proxy = &worker.proxy;
    let limit = proxy.config().authentication_timeout.unwrap_or(Duration::MAX);
    let began = Instant::now();
    let Some(startup) = within(limit, Box::pin(newcomer.greet(worker))).await? else {
        return Ok(None);
    };
    if proxy.life.phase() == Phase::Smart {
        // cannot_connect_now, as PostgreSQL says it
        return Err(End::Fatal(PgError::fatal("57P03", "the database system is shutting down")));
    }
    if console::is_meant(&startup) {
        // Those who could do something about it come in, however many there are.
        let left = limit.saturating_sub(began.elapsed());
        within(left, Box::pin(newcomer.authenticate(worker, &startup))).await?;
        return Ok(Some(Arrived::Console(startup)));
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
    let credentials = within(left, Box::pin(newcomer.authenticate(worker, &startup))).await?;
    let admitted = admit(worker, &newcomer.peer, Known { startup, credentials });
    let (known, place) = admitted.map_err(End::Fatal)?;
    Ok(Some(Arrived::Client(known, place)))
}

async fn within<T>(limit: Duration, step: impl Future<Output = Result<T, End>>) -> Result<T, End> {
    match tokio::time::timeout(limit, step).await {
        Ok(result) => result,
        Err(_) => Err(End::Fatal(PgError::fatal("57014", "canceling authentication due to timeout"))),
    }
}

/// With snapshot_isolation a transaction has one snapshot, unless it asks for another
/// level.
fn isolated(mode: ClusteringMode, mut parameters: Vec<(String, String)>) -> Vec<(String, String)> {
    const LEVEL: &str = "default_transaction_isolation";
    let given = |(name, value): &(String, String)| {
        name.eq_ignore_ascii_case(LEVEL) || name == "options" && value.contains(LEVEL)
    };
    if mode == ClusteringMode::SnapshotIsolation && !parameters.iter().any(given) {
        parameters.push((LEVEL.to_owned(), "repeatable read".to_owned()));
    }
    parameters
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
    if proxy.doors.is_disabled(&startup.database) {
        return Err(disabled(&startup.database));
    }
    let place = proxy.places.take(&proxy.config(), &startup.database, &startup.user)?;
    Ok((Known { startup, credentials }, place))
}

impl Session {
    /// Connects the new session to a server and greets the client.
    async fn begin(
        worker: Rc<Worker>,
        client: Client,
        Known { startup, credentials }: Known,
        place: &Place,
    ) -> Result<Box<Session>, Box<(Client, PgError)>> {
        let database = worker.database(&startup.database);
        let info = SessionInfo {
            database: startup.database.clone(),
            user: startup.user.clone(),
            application_name: application_name(&startup),
        };
        let scope = worker.router.borrow_mut().scope(&database, &info);
        let (plan, state) = worker.router.borrow_mut().plan_session(&scope);
        let commits = worker.proxy.commits_of(&startup.user);
        let sharing = Sharing::new(worker.proxy.config().pool_mode(&startup.database, &startup.user));
        // What clients share is no one's own: it is set when they get it.
        let (parameters, settings) = match sharing.is_on() {
            true => {
                let (parameters, settings) = split(startup.parameters);
                (parameters, Settings::starting_with(settings))
            }
            false => (isolated(worker.proxy.cluster.mode, startup.parameters), Settings::default()),
        };
        let user = place.user();
        let ends = Ends::of(&client.stream);
        let entry = census::Client::new(user.clone(), database.name.clone(), &info.application_name, ends);
        let key_len = if startup.minor >= 2 { 32 } else { 4 };
        let fanout = Fanout::of(&worker);
        let mut session = Box::new(Session {
            client,
            cancel: worker.proxy.cancels.enter(key_len),
            clock: worker.clocks.enter(),
            member: worker.proxy.census.clients.enter(entry),
            login_counted: false,
            links: Links::new(worker.proxy.cluster.backends.len()),
            worker,
            identity: Arc::new(Identity { user, database: database.name.clone(), parameters }),
            scope,
            credentials,
            lead: 0,
            cycle: extended::Cycle::default(),
            transaction: Default::default(),
            settings,
            sharing,
            listening: None,
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
            heals: false,
            healed: false,
            reading: Vec::new(),
            ready_held: None,
            asked: None,
            sent: 0,
            answered: 0,
            ahead: None,
            watched: Default::default(),
            notices: Vec::new(),
            held: Vec::new(),
            batch: Default::default(),
            fanout,
        });
        let member = session.member.clone();
        let greeted = tokio::select! {
            biased;
            greeted = session.greet() => greeted,
            // Perhaps while it waits for a server connection.
            () = member.kill.wait() => Err(killed()),
        };
        match greeted {
            Ok(()) => Ok(session),
            Err(error) => {
                let Session { client, worker, scope, identity, .. } = *session;
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
        let parameters = self.first_parameters().await?;
        let mut out = Vec::with_capacity(1024);
        backend::authentication_ok(&mut out);
        for (name, value) in parameters.iter() {
            backend::parameter_status(&mut out, name, value);
        }
        backend::backend_key_data(&mut out, self.cancel.pid, self.cancel.key());
        backend::ready_for_query(&mut out, self.transaction.status);
        self.client.send(&out).map_err(|error| PgError::fatal("08006", error.to_string()))
    }

    /// What a server tells of its parameters, now or a moment ago.
    async fn first_parameters(&mut self) -> Result<Parameters, PgError> {
        let greetings = &self.worker.proxy.greetings;
        if self.sharing.is_on()
            && let Some(known) = greetings.get(&self.identity, self.settings.now())
        {
            // Its own are the same again.
            self.settings = Settings::starting_with(known.settings);
            if *self.identity == *known.identity {
                self.identity = known.identity;
            }
            self.sharing.shown = known.parameters.clone();
            return Ok(known.parameters);
        }
        let first = self.first_server().await?;
        let conn = self.links.get(first).map(|link| &link.conn);
        let parameters = conn.map(|conn| conn.parameters.clone()).unwrap_or_default();
        if let Some(conn) = conn.filter(|_| !self.sharing.is_on()) {
            self.cancel.take_pid(conn.pid);
        }
        if self.sharing.is_on() {
            self.notices.clear();
            self.sharing.shown = parameters.clone();
            if self.primary() == Some(first) {
                self.worker.proxy.greetings.add(&self.identity, self.settings.now(), &parameters);
            }
        }
        Ok(parameters)
    }

    /// The primary, or while it is away a server that can be read from: a
    /// session can begin, and read, without a primary.
    async fn first_server(&mut self) -> Result<usize, PgError> {
        if let Err(LinkError::Statement(error)) = self.wait_resumed().await {
            return Err(error);
        }
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

    /// KILL, KILL_CLIENT: its server connections end with it.
    fn killed(&mut self) -> End {
        self.links.iter_mut().for_each(|(_, link)| link.conn.meter.server.retire());
        End::Fatal(killed())
    }

    /// The session is over: last words, and the connections go back.
    async fn finish(mut self: Box<Self>, end: End) {
        self.finish_commit().await;
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
        let reset_query_list = match self.sharing.is_on() {
            // What the next client gets has to be clean, whatever else is wished.
            true => vec!["ABORT".to_owned(), "DISCARD ALL".to_owned()],
            false => self.worker.proxy.config().reset_query_list.clone(),
        };
        // The client need not wait for the clean-up.
        if let Stream::Plain(Plain::Tcp(stream)) = &mut self.client.stream {
            let _ = stream.shutdown().await;
        }
        self.release_links(&reset_query_list).await;
    }
}

/// KILL, KILL_CLIENT.
pub(super) fn killed() -> PgError {
    PgError::fatal("57P01", "admin forced disconnect")
}

/// SQLSTATE 08004: the server rejected the connection.
fn disabled(database: &str) -> PgError {
    PgError::fatal("08004", format!("database \"{database}\" is disabled"))
        .with_hint(format!("ENABLE {database} on the admin console lets clients in again."))
}

/// Where a TCP client comes from, and to which address of ours.
pub fn tcp_peer(peer: IpAddr, local: Option<IpAddr>) -> Peer {
    Peer { address: Some(peer), local, tls: false }
}

/// A client on a Unix socket.
pub fn unix_peer() -> Peer {
    Peer { address: None, local: None, tls: false }
}
