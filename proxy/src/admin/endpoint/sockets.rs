//! Where orders come in.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::caller::Caller;
use super::routes;
use crate::config::{AdminListen, Config};
use crate::handover::{Address, Inherited, Listeners};
use crate::life::Phase;
use crate::proxy::Proxy;
use crate::tls::{Acceptor, TlsError};

/// Most connections at a time, of each socket.
const MAX_CONNECTIONS: usize = 64;
/// A connection that says nothing for this long is closed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause after accept failed, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Open, not yet served.
pub(super) struct Sockets {
    unix: Option<UnixSocket>,
    tcp: Vec<StdTcpListener>,
}

/// Its file is removed when this is dropped; without one, nothing is.
struct UnixSocket {
    listener: StdUnixListener,
    path: PathBuf,
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "cannot listen on the admin socket {}: {source}. Write another path to socket in [admin], or \
         socket = \"\" for none", path.display()
    )]
    Unix { path: PathBuf, source: io::Error },
    #[error(
        "cannot listen on {host}:{port} for orders: {source}. Write another address to listen in [admin]"
    )]
    Tcp { host: String, port: u16, source: io::Error },
    #[error("[admin] {0}")]
    Token(String),
    #[error("listen in [admin]: {0}")]
    Tls(#[from] TlsError),
}

// === impl Sockets ===

impl Sockets {
    /// `None`: the configuration wants none.
    pub fn open(config: &Config, inherited: &mut Inherited) -> Result<Option<Self>, OpenError> {
        check(config)?;
        let unix = match config.admin_socket() {
            Some(path) => Some(UnixSocket::open(path, inherited)?),
            None => None,
        };
        let tcp = match &config.admin.listen {
            Some(listen) => open_tcp(listen, inherited)?,
            None => Vec::new(),
        };
        Ok((unix.is_some() || !tcp.is_empty()).then_some(Sockets { unix, tcp }))
    }

    /// Lets others have them: see [`handover`](crate::handover).
    pub fn offer(&self, listeners: &Listeners) -> io::Result<()> {
        if let Some(UnixSocket { listener, path }) = &self.unix {
            listeners.add(Address::Unix(path.clone()), listener)?;
        }
        for listener in &self.tcp {
            listeners.add(Address::Tcp(listener.local_addr()?), listener)?;
        }
        Ok(())
    }

    /// Until `stopped`, or until another process takes the orders.
    pub async fn serve(mut self, proxy: Arc<Proxy>, mut stopped: watch::Receiver<bool>) {
        let mut phase = proxy.life.watch();
        let loops = self.accept(&proxy);
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            _ = phase.wait_for(|phase| *phase == Phase::HandedOver) => {}
        }
        loops.iter().for_each(JoinHandle::abort);
        if let Some(socket) = &mut self.unix {
            // It is the other's now.
            socket.path.clear();
        }
        self.tcp.clear();
        // The other one has more to say.
        let _ = stopped.wait_for(|stop| *stop).await;
    }

    fn accept(&self, proxy: &Arc<Proxy>) -> Vec<JoinHandle<()>> {
        let encrypted = proxy.config().ssl.is_some();
        let router = routes::router(Arc::clone(proxy));
        let mut loops = Vec::new();
        if let Some(socket) = &self.unix {
            let listener = socket.listener.try_clone().and_then(UnixListener::from_std);
            match listener {
                Ok(listener) => loops.push(tokio::spawn(accept_unix(listener, router.clone()))),
                Err(error) => tracing::error!("the admin socket takes no orders: {error}"),
            }
        }
        for listener in &self.tcp {
            match listener.try_clone().and_then(TcpListener::from_std) {
                Ok(listener) => {
                    let proxy = encrypted.then(|| Arc::clone(proxy));
                    loops.push(tokio::spawn(accept_tcp(listener, router.clone(), proxy)));
                }
                Err(error) => tracing::error!("the admin address takes no orders: {error}"),
            }
        }
        loops
    }
}

// === impl UnixSocket ===

impl UnixSocket {
    fn open(path: PathBuf, inherited: &mut Inherited) -> Result<Self, OpenError> {
        if let Some(socket) = inherited.take(&Address::Unix(path.clone())) {
            return Ok(UnixSocket { listener: socket.into(), path });
        }
        match bind(&path) {
            Ok(listener) => Ok(UnixSocket { listener, path }),
            Err(source) => Err(OpenError::Unix { path, source }),
        }
    }
}

fn bind(path: &Path) -> io::Result<StdUnixListener> {
    // One that nobody answers on was left behind by a crash.
    if path.exists() && StdUnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = StdUnixListener::bind(path)?;
    // Until here others could connect: who they are is asked in any case.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the token and the certificate can be used: better asked now than at
/// the first order.
pub fn check(config: &Config) -> Result<(), OpenError> {
    let Some(listen) = &config.admin.listen else {
        return Ok(());
    };
    super::caller::token(&listen.token_file).map_err(OpenError::Token)?;
    if let Some(tls) = &config.ssl {
        Acceptor::https(&tls.cert, &tls.key)?;
    }
    Ok(())
}

fn open_tcp(listen: &AdminListen, inherited: &mut Inherited) -> Result<Vec<StdTcpListener>, OpenError> {
    let mut bind = |address: SocketAddr| {
        if let Some(socket) = inherited.take(&Address::Tcp(address)) {
            return Ok(socket.into());
        }
        let listener = StdTcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let (host, port) = (listen.host.clone(), listen.port);
    let error = |source| OpenError::Tcp { host: host.clone(), port, source };
    let addresses = (host.as_str(), port).to_socket_addrs().map_err(error)?;
    let (mut listeners, mut failure) = (Vec::new(), None);
    for address in addresses {
        match bind(address) {
            Ok(listener) => listeners.push(listener),
            // Many machines resolve `localhost` to ::1 and have no IPv6.
            Err(source) => failure = Some(source),
        }
    }
    match failure {
        Some(source) if listeners.is_empty() => Err(error(source)),
        _ => Ok(listeners),
    }
}

async fn accept_unix(listener: UnixListener, router: Router) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    match stream.peer_cred() {
                        Ok(peer) => converse(stream, router, Caller::Unix { uid: peer.uid() }).await,
                        Err(error) => tracing::warn!("an order refused, nobody knows whose it is: {error}"),
                    }
                    drop(place);
                });
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

/// With TLS if there is a `proxy`, whose certificate is read anew for each
/// connection: they are few, and it may have been renewed.
async fn accept_tcp(listener: TcpListener, router: Router, proxy: Option<Arc<Proxy>>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (router, proxy) = (router.clone(), proxy.clone());
                tokio::spawn(async move {
                    let address = peer.ip().to_canonical();
                    let caller = Caller::Tcp { address, encrypted: proxy.is_some() };
                    match proxy {
                        None => converse(stream, router, caller).await,
                        Some(proxy) => encrypt_and_converse(stream, router, caller, &proxy).await,
                    }
                    drop(place);
                });
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

async fn accept_failed(error: &io::Error) {
    tracing::error!("cannot accept a connection for orders: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn encrypt_and_converse(stream: TcpStream, router: Router, caller: Caller, proxy: &Proxy) {
    let acceptor = {
        let config = proxy.config();
        match &config.ssl {
            Some(tls) => Acceptor::https(&tls.cert, &tls.key),
            // It was switched off by a reload: `listen` changes with a restart.
            None => return tracing::error!("an order refused: ssl is off, but was on at the start"),
        }
    };
    let acceptor = match acceptor {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!("an order refused: {error}"),
    };
    match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, router, caller).await,
        Ok(Err(error)) => tracing::debug!("TLS handshake for orders failed: {error}"),
        Err(_) => tracing::debug!("TLS handshake for orders took too long"),
    }
}

/// One connection's requests, one after the other.
async fn converse<S>(stream: S, router: Router, caller: Caller)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.layer(Extension(caller)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!("a connection for orders broke: {error}");
    }
}
