//! Opening a connection to a server: socket, TLS, login.

use super::Identity;
use super::connection::{invalid_data, next_frame, status_of};
use crate::auth::AuthError;
use crate::auth::server::{Credentials, Reply, ServerAuth};
use crate::cluster::Backend;
use crate::config::{Host, SslMode};
use crate::net::stream::Plain;
use crate::net::{Inbox, Outbox, Stream};
use crate::protocol::backend::{TransactionStatus, parse_key_data, parse_parameter_status};
use crate::protocol::error::ErrorFields;
use crate::protocol::{Frame, HEADER_LEN, PgError, frontend, startup};
use crate::tls;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// Where connections of a pool go, and how.
#[derive(Debug)]
pub struct Target {
    pub backend: Arc<Backend>,
    /// `None`: no TLS to this server.
    pub connector: Option<tls::Connector>,
}

/// What a login yields.
pub(super) struct Parts {
    pub stream: Stream,
    pub inbox: Inbox,
    pub pid: u32,
    pub key: Vec<u8>,
    pub parameters: Vec<(String, String)>,
    pub status: TransactionStatus,
}

/// Why a server could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer within {0:?} (connect_timeout)")]
    Timeout(Duration),
    #[error("the server does not offer TLS, which sslmode asks for")]
    NoTls,
    #[error("TLS: {0}")]
    Tls(String),
    #[error("cannot log in to the server: {0}")]
    Auth(#[from] AuthError),
    /// The server answered with an error, which is passed on as it is.
    #[error("the server says: {message} (SQLSTATE {sqlstate})")]
    Refused { sqlstate: String, message: String },
}

impl ConnectError {
    /// Whether the server is in trouble, rather than this one login.
    pub fn is_server_failure(&self) -> bool {
        match self {
            ConnectError::Io(_) | ConnectError::Timeout(_) => true,
            // cannot_connect_now, admin_shutdown, crash_shutdown
            ConnectError::Refused { sqlstate, .. } => {
                matches!(sqlstate.as_str(), "57P03" | "57P01" | "57P02")
            }
            _ => false,
        }
    }

    pub fn to_client(&self, backend: &Backend) -> PgError {
        if let ConnectError::Refused { sqlstate, message } = self {
            return PgError::error(sqlstate.clone(), message.clone()).with_detail(format!(
                "Backend {} ({}) said this.",
                backend.id,
                backend.address()
            ));
        }
        let sqlstate = match self {
            ConnectError::Auth(_) => "28000",
            _ => "08006",
        };
        let message = format!("could not connect to backend {} ({}): {self}", backend.id, backend.address());
        PgError::error(sqlstate, message)
            .with_hint("Look at the server's log; SHOW pool_nodes tells what Waypool knows of it.")
    }
}

/// Connects and logs in within `limit`.
pub(super) async fn connect(
    target: &Target,
    identity: &Identity,
    credentials: &Credentials,
    limit: Duration,
) -> Result<Parts, ConnectError> {
    let attempt = async {
        let stream = open(target).await?;
        login(stream, identity, credentials).await
    };
    tokio::time::timeout(limit, attempt).await.unwrap_or(Err(ConnectError::Timeout(limit)))
}

async fn open_plain(backend: &Backend) -> io::Result<Plain> {
    let config = &backend.config;
    match &config.hostname {
        Host::Tcp(host) => {
            let stream = TcpStream::connect((host.as_str(), config.port)).await?;
            stream.set_nodelay(true)?;
            Ok(Plain::Tcp(stream))
        }
        Host::Unix(directory) => {
            let path = directory.join(format!(".s.PGSQL.{}", config.port));
            Ok(Plain::Unix(UnixStream::connect(path).await?))
        }
    }
}

async fn open(target: &Target) -> Result<Stream, ConnectError> {
    let mut plain = open_plain(&target.backend).await?;
    let Some(connector) = &target.connector else {
        return Ok(Stream::Plain(plain));
    };
    let mut request = Vec::with_capacity(8);
    startup::write_ssl_request(&mut request);
    plain.write_all(&request).await?;
    // One byte and no more: anything behind it belongs to the handshake.
    match plain.read_u8().await? {
        b'S' => {
            let host = target.backend.config.hostname.to_string();
            let stream = connector
                .connect(plain, &host)
                .await
                .map_err(|error| ConnectError::Tls(error.to_string()))?;
            Ok(Stream::Connected(Box::new(stream)))
        }
        b'N' if target.backend.config.sslmode == SslMode::Prefer => Ok(Stream::Plain(plain)),
        b'N' => Err(ConnectError::NoTls),
        _ => Err(invalid_data("the answer to SSLRequest is neither S nor N").into()),
    }
}

/// A CancelRequest on a connection of its own. Returns when the server has
/// closed it, which it does after it has signalled the process.
pub(super) async fn cancel(
    target: &Target,
    pid: u32,
    key: &[u8],
    limit: Duration,
) -> Result<(), ConnectError> {
    let attempt = async {
        let mut stream = open(target).await?;
        let mut request = Outbox::default();
        startup::write_cancel_request(request.push(), pid, key);
        poll_fn(|cx| request.poll_flush(cx, &mut stream)).await?;
        let _ = stream.read(&mut [0; 1]).await;
        Ok(())
    };
    tokio::time::timeout(limit, attempt).await.unwrap_or(Err(ConnectError::Timeout(limit)))
}

/// A login in progress.
struct Login {
    stream: Stream,
    inbox: Inbox,
    outbox: Outbox,
}

async fn login(
    stream: Stream,
    identity: &Identity,
    credentials: &Credentials,
) -> Result<Parts, ConnectError> {
    let endpoint = match &stream {
        Stream::Connected(tls) => tls::peer_end_point_hash(tls),
        _ => None,
    };
    let mut login = Login { stream, inbox: Inbox::default(), outbox: Outbox::default() };
    let identity_parameters = [("user", &*identity.user), ("database", &*identity.database)];
    let parameters = identity.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    startup::write_startup(login.outbox.push(), identity_parameters.into_iter().chain(parameters));
    login.flush().await?;
    login.authenticate(ServerAuth::new(&identity.user, credentials.clone(), endpoint)).await?;
    login.finish().await
}

impl Login {
    async fn flush(&mut self) -> io::Result<()> {
        let Login { stream, outbox, .. } = self;
        poll_fn(|cx| outbox.poll_flush(cx, stream)).await
    }

    async fn next(&mut self) -> Result<Frame, ConnectError> {
        let frame = next_frame(&mut self.stream, &mut self.inbox).await?;
        if frame.tag != b'E' {
            return Ok(frame);
        }
        let fields = ErrorFields::parse(&self.inbox.bytes()[HEADER_LEN..frame.len]);
        Err(ConnectError::Refused {
            sqlstate: fields.sqlstate.to_owned(),
            message: fields.message.to_owned(),
        })
    }

    async fn authenticate(&mut self, mut auth: ServerAuth) -> Result<(), ConnectError> {
        loop {
            let frame = self.next().await?;
            if frame.tag != b'R' {
                self.inbox.consume(frame.len);
                continue;
            }
            let reply = auth.on_message(&self.inbox.bytes()[HEADER_LEN..frame.len])?;
            self.inbox.consume(frame.len);
            match reply {
                Reply::Send(body) => {
                    frontend::password(self.outbox.push(), &body);
                    self.flush().await?;
                }
                Reply::Wait => {}
                Reply::Done => return Ok(()),
            }
        }
    }

    /// Reads ParameterStatus and BackendKeyData up to ReadyForQuery.
    async fn finish(mut self) -> Result<Parts, ConnectError> {
        let (mut pid, mut key, mut parameters) = (0, Vec::new(), Vec::new());
        loop {
            let frame = self.next().await?;
            let body = &self.inbox.bytes()[HEADER_LEN..frame.len];
            match frame.tag {
                b'S' => {
                    parameters.extend(parse_parameter_status(body).map(|(n, v)| (n.to_owned(), v.to_owned())))
                }
                b'K' => {
                    let (its_pid, its_key) =
                        parse_key_data(body).ok_or_else(|| invalid_data("BackendKeyData is too short"))?;
                    (pid, key) = (its_pid, its_key.to_vec());
                }
                b'Z' => {
                    let status = status_of(body)?;
                    self.inbox.consume(frame.len);
                    return Ok(Parts {
                        stream: self.stream,
                        inbox: self.inbox,
                        pid,
                        key,
                        parameters,
                        status,
                    });
                }
                _ => {}
            }
            self.inbox.consume(frame.len);
        }
    }
}
