//! From an accepted connection to a session: TLS, cancel requests, the
//! startup packet, authentication, and the first server connection.

use super::links::{LinkError, Links};
use super::positions::Positions;
use super::{Client, End, Session, extended, server_rules};
use crate::admin::console;
use crate::auth::client::{self, Step};
use crate::auth::hba::Peer;
use crate::auth::server::Credentials;
use crate::auth::{AuthError, MAX_PASSWORD_MESSAGE};
use crate::census::{self, Counter};
use crate::net::stream::Plain;
use crate::net::{Ends, Inbox, Outbox, Stream};
use crate::plugin::contract::{Newcomer as Asked, SessionInfo};
use crate::pool::Identity;
use crate::protocol::startup::{self, NEWEST_MINOR, Request, Startup};
use crate::protocol::{Frame, HEADER_LEN, PgError, Severity, backend};
use crate::worker::Worker;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

/// How long a client may take to read our last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// One of the clients that `max_client_conn` counts.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client that has not said yet who it is.
struct Newcomer {
    client: Client,
    peer: Peer,
}

/// A client that has proved who it is.
struct Known {
    startup: Startup,
    credentials: Credentials,
}

/// Serves one connection from accept to close. `stop` becomes true when the
/// proxy ends.
pub async fn serve(worker: Rc<Worker>, socket: Plain, peer: Peer, mut stop: watch::Receiver<bool>) {
    let proxy = worker.proxy.clone();
    let count = proxy.clients.fetch_add(1, Ordering::Relaxed) + 1;
    let _counted = Counted(&proxy.clients);
    let crowded = count > proxy.config().max_client_conn;
    let client = Client { stream: Stream::Plain(socket), inbox: Inbox::default(), outbox: Outbox::default() };
    let mut newcomer = Newcomer { client, peer };
    let session = match start(&worker, &mut newcomer, crowded).await {
        Ok(Some(Known { startup, .. })) if startup.database == console::DATABASE => {
            return console::serve(worker, newcomer.client, startup, stop).await;
        }
        Ok(Some(known)) => Session::begin(worker, newcomer, known).await,
        Ok(None) | Err(End::Client | End::Server) => return,
        Err(End::Fatal(error)) => return farewell(&mut newcomer.client, error).await,
    };
    let mut session = match session {
        Ok(session) => session,
        Err(refused) => {
            let (mut client, error) = *refused;
            return farewell(&mut client, error).await;
        }
    };
    let member = session.member.clone();
    let end = tokio::select! {
        biased;
        ended = session.run() => ended.err().unwrap_or(End::Client),
        () = member.kill.wait() => session.killed(),
        _ = stop.wait_for(|stop| *stop) => End::Fatal(PgError::fatal(
            "57P01",
            "terminating connection due to administrator command",
        )),
    };
    session.finish(end).await;
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
async fn start(worker: &Rc<Worker>, newcomer: &mut Newcomer, crowded: bool) -> Result<Option<Known>, End> {
    let limit = worker.proxy.config().authentication_timeout.unwrap_or(Duration::MAX);
    let login = async {
        let Some(startup) = newcomer.greet(worker).await? else {
            return Ok(None);
        };
        // Those who could do something about it come in nevertheless.
        if crowded && startup.database != console::DATABASE {
            return Err(End::Fatal(
                PgError::fatal("53300", "sorry, too many clients already")
                    .with_hint("Raise max_client_conn in waypool.toml, or use fewer clients."),
            ));
        }
        let credentials = newcomer.authenticate(worker, &startup).await?;
        Ok(Some(Known { startup, credentials }))
    };
    match tokio::time::timeout(limit, login).await {
        Ok(result) => result,
        Err(_) => Err(End::Fatal(PgError::fatal("57014", "canceling authentication due to timeout"))),
    }
}

impl Newcomer {
    /// Reads packets until the startup packet, and does what they ask.
    async fn greet(&mut self, worker: &Rc<Worker>) -> Result<Option<Startup>, End> {
        let (mut ssl_asked, mut gss_asked) = (false, false);
        loop {
            match self.read_request().await? {
                Request::Ssl if !ssl_asked && !self.client.stream.is_tls() => {
                    ssl_asked = true;
                    self.answer_ssl(worker).await?;
                }
                Request::GssEnc if !gss_asked && !self.client.stream.is_tls() => {
                    gss_asked = true;
                    self.refuse_early_data("GSSAPI encryption")?;
                    self.send(b"N").await?;
                }
                Request::Cancel { pid, key } => {
                    worker.proxy.cancels.cancel(pid, &key).await;
                    return Ok(None);
                }
                Request::Startup(startup) => {
                    self.negotiate(&startup).await?;
                    return Ok(Some(startup));
                }
                Request::Ssl | Request::GssEnc => {
                    let error = "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2";
                    return Err(End::Fatal(PgError::fatal("0A000", error)));
                }
            }
        }
    }

    async fn read_request(&mut self) -> Result<Request, End> {
        loop {
            let read = startup::read(self.client.inbox.bytes())
                .map_err(|error| End::Fatal(PgError::fatal(error.sqlstate(), error.to_string())))?;
            if let Some((request, len)) = read {
                self.client.inbox.consume(len);
                return Ok(request);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), End> {
        let Client { stream, inbox, .. } = &mut self.client;
        match poll_fn(|cx| inbox.poll_fill(cx, stream)).await {
            Ok(0) | Err(_) => Err(End::Client),
            Ok(_) => Ok(()),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.client.outbox.push().extend_from_slice(bytes);
        let Client { stream, outbox, .. } = &mut self.client;
        poll_fn(|cx| outbox.poll_flush(cx, stream)).await.map_err(|_| End::Client)
    }

    /// Bytes sent before the handshake could be an attacker's, who would have
    /// them taken for the client's own (CVE-2021-23214).
    fn refuse_early_data(&self, what: &str) -> Result<(), End> {
        if self.client.inbox.is_empty() {
            return Ok(());
        }
        let error = PgError::fatal("08P01", format!("received unencrypted data after {what} request"))
            .with_detail("This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.");
        Err(End::Fatal(error))
    }

    async fn answer_ssl(&mut self, worker: &Rc<Worker>) -> Result<(), End> {
        self.refuse_early_data("SSL")?;
        let access = worker.proxy.access();
        // PostgreSQL offers no TLS on Unix sockets either.
        let Some(acceptor) = access.acceptor.as_ref().filter(|_| self.peer.address.is_some()) else {
            return self.send(b"N").await;
        };
        self.send(b"S").await?;
        let Stream::Plain(plain) = std::mem::replace(&mut self.client.stream, Stream::Gone) else {
            return Err(End::Client);
        };
        let accepted = acceptor.accept(plain).await.map_err(|error| {
            tracing::info!("TLS handshake with a client failed: {error}");
            End::Client
        })?;
        self.client.stream = Stream::Accepted(Box::new(accepted));
        self.peer.tls = true;
        Ok(())
    }

    /// Tells a client which asks for more than we speak what we speak.
    async fn negotiate(&mut self, startup: &Startup) -> Result<(), End> {
        if startup.minor <= NEWEST_MINOR && startup.protocol_options.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        backend::negotiate_protocol_version(
            &mut out,
            startup.minor.min(NEWEST_MINOR),
            &startup.protocol_options,
        );
        self.send(&out).await
    }

    async fn authenticate(&mut self, worker: &Rc<Worker>, startup: &Startup) -> Result<Credentials, End> {
        let access = worker.proxy.access();
        let secret = access.users.secret(&startup.user).cloned();
        // No server has the console's database.
        let by_our_rules = worker.proxy.config().enable_pool_hba || startup.database == console::DATABASE;
        let method = match by_our_rules {
            true => access.rules.method(&self.peer, &startup.database, &startup.user).map_err(refused)?,
            false => server_rules::method(&worker.proxy, startup, secret.as_ref()).await?,
        };
        let acceptor = access.acceptor.as_ref().filter(|_| self.peer.tls);
        let end_point = acceptor.and_then(|acceptor| acceptor.end_point_hash()).cloned();
        let mut step = client::start(method, &startup.user, secret.clone(), end_point);
        loop {
            step = match step {
                Step::Continue { send, next } => {
                    self.send_authentication(&send).await?;
                    let frame = self.read_password().await?;
                    let step = next.on_message(&self.client.inbox.bytes()[HEADER_LEN..frame.len]);
                    self.client.inbox.consume(frame.len);
                    step
                }
                Step::Done { send, proof } => {
                    if let Some(last) = send {
                        self.send_authentication(&last).await?;
                    }
                    return Ok(Credentials::new(secret.as_ref(), &proof));
                }
                Step::Fail(error) => return Err(refused(error)),
            }
        }
    }

    async fn send_authentication(&mut self, body: &[u8]) -> Result<(), End> {
        let mut out = Vec::with_capacity(body.len() + HEADER_LEN);
        backend::authentication(&mut out, body);
        self.send(&out).await
    }

    async fn read_password(&mut self) -> Result<Frame, End> {
        let invalid = |message: &str| End::Fatal(PgError::fatal("08P01", message.to_owned()));
        loop {
            match Frame::from_client(self.client.inbox.bytes()) {
                Ok(Some(frame)) if frame.tag != b'p' => {
                    return Err(invalid("expected password response, got another message"));
                }
                Ok(Some(frame)) if frame.len > MAX_PASSWORD_MESSAGE => {
                    return Err(invalid("invalid message length"));
                }
                Ok(Some(frame)) if self.client.inbox.len() >= frame.len => return Ok(frame),
                Ok(Some(frame)) => self.client.inbox.reserve(frame.len),
                Ok(None) => {}
                Err(_) => return Err(invalid("expected password response, got another message")),
            }
            self.fill().await?;
        }
    }
}

fn refused(error: AuthError) -> End {
    if let Some(reason) = &error.log {
        tracing::info!("login failed: {reason}");
    }
    let fatal = PgError::fatal(error.sqlstate, error.message);
    End::Fatal(match error.detail {
        Some(detail) => fatal.with_detail(detail),
        None => fatal,
    })
}

fn application_name(startup: &Startup) -> String {
    let given = startup.parameters.iter().find(|(name, _)| name == "application_name");
    given.map_or_else(String::new, |(_, value)| value.clone())
}

/// What the gates make of a client that has proved who it is.
fn admit(worker: &Worker, peer: &Peer, known: Known) -> Result<Known, PgError> {
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
    Ok(Known { startup, credentials })
}

impl Session {
    /// Connects the new session to a server and greets the client.
    async fn begin(
        worker: Rc<Worker>,
        newcomer: Newcomer,
        known: Known,
    ) -> Result<Session, Box<(Client, PgError)>> {
        let Newcomer { client, peer } = newcomer;
        let Known { startup, credentials } = match admit(&worker, &peer, known) {
            Ok(known) => known,
            Err(error) => return Err(Box::new((client, error))),
        };
        if worker.proxy.doors.is_disabled(&startup.database) {
            return Err(Box::new((client, disabled(&startup.database))));
        }
        let database = worker.database(&startup.database);
        let info = SessionInfo {
            database: startup.database.clone(),
            user: startup.user.clone(),
            application_name: application_name(&startup),
        };
        let scope = worker.router.borrow_mut().scope(&database, &info);
        let (plan, state) = worker.router.borrow_mut().plan_session(&scope);
        let commits = worker.proxy.commits_of(&startup.user);
        let user: Arc<str> = startup.user.into();
        let ends = Ends::of(&client.stream);
        let entry = census::Client::new(user.clone(), database.name.clone(), &info.application_name, ends);
        let key_len = if startup.minor >= 2 { 32 } else { 4 };
        let mut session = Session {
            client,
            cancel: worker.proxy.cancels.enter(key_len),
            member: worker.proxy.census.clients.enter(entry),
            links: Links::new(worker.proxy.cluster.backends.len()),
            worker,
            identity: Arc::new(Identity {
                user,
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
                let Session { client, worker, scope, identity, .. } = session;
                worker.proxy.trusted.forget(&identity.user, &identity.database);
                let name = scope.database.name.clone();
                worker.router.borrow_mut().forget_scope(scope);
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
            link.conn.meter.count(Counter::Logins);
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

fn killed() -> PgError {
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
