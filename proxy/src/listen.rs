//! Accepting clients: the sockets, the worker threads, the end.

use crate::admin::endpoint::{self, Endpoint};
use crate::auth::hba::Peer;
use crate::cluster::monitor::{self, Monitor};
use crate::config::Config;
use crate::net::stream::Plain;
use crate::proxy::Proxy;
use crate::session::login;
use crate::worker::Worker;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Connections beyond `max_client_conn` that are heard out, so that they can
/// be told why they are refused and cancel requests get through.
const HEARD_OUT: usize = 100;
/// How long sessions may take to end when the proxy does.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after accept failed, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 1024;

/// Where clients connect. Unix sockets are removed when this is dropped.
pub struct Sockets {
    tcp: Vec<StdTcpListener>,
    unix: Vec<StdUnixListener>,
    paths: Vec<PathBuf>,
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Tcp { address: String, source: io::Error },
    #[error("cannot listen on the Unix socket {}: {source}{}", path.display(), hint(source))]
    Unix { path: PathBuf, source: io::Error },
    #[error("nowhere to listen: listen_addresses and unix_socket_directories are both empty")]
    Nowhere,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (is Waypool, or another server, running there already? change `port` or stop it)"
        }
        io::ErrorKind::PermissionDenied => {
            " (choose a port above 1023, or a directory that you may write to)"
        }
        _ => "",
    }
}

impl Sockets {
    pub fn open(config: &Config) -> Result<Self, ListenError> {
        let mut sockets = Sockets { tcp: Vec::new(), unix: Vec::new(), paths: Vec::new() };
        for host in &config.listen_addresses {
            sockets.open_tcp(host, config.port)?;
        }
        for directory in &config.unix_socket_directories {
            let path = directory.join(format!(".s.PGSQL.{}", config.port));
            let opened = sockets.open_unix(&path, config.unix_socket_permissions);
            opened.map_err(|source| ListenError::Unix { path, source })?;
        }
        if sockets.tcp.is_empty() && sockets.unix.is_empty() {
            return Err(ListenError::Nowhere);
        }
        Ok(sockets)
    }

    fn open_tcp(&mut self, host: &str, port: u16) -> Result<(), ListenError> {
        let error = |source| ListenError::Tcp { address: format!("{host}:{port}"), source };
        let addresses: Vec<SocketAddr> = match host {
            "*" => vec![SocketAddr::from(([0; 16], port)), SocketAddr::from(([0; 4], port))],
            host => (host, port).to_socket_addrs().map_err(error)?.collect(),
        };
        let mut failure = None;
        let mut opened = false;
        for address in addresses {
            match listen_tcp(address) {
                Ok(listener) => {
                    opened = true;
                    self.tcp.push(listener);
                }
                // Many machines resolve `localhost` to ::1 and have no IPv6.
                Err(source) => failure = Some(source),
            }
        }
        match failure {
            Some(source) if !opened || source.kind() == io::ErrorKind::AddrInUse => Err(error(source)),
            _ => Ok(()),
        }
    }

    fn open_unix(&mut self, path: &Path, permissions: u32) -> io::Result<()> {
        // One that nobody answers on was left behind by a crash.
        if path.exists() && StdUnixStream::connect(path).is_err() {
            fs::remove_file(path)?;
        }
        let listener = StdUnixListener::bind(path)?;
        self.paths.push(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
        listener.set_nonblocking(true)?;
        self.unix.push(listener);
        Ok(())
    }

    /// Handles for one more thread to accept on.
    fn share(&self) -> io::Result<(Vec<TcpListener>, Vec<UnixListener>)> {
        let tcp = self.tcp.iter().map(|listener| TcpListener::from_std(listener.try_clone()?));
        let unix = self.unix.iter().map(|listener| UnixListener::from_std(listener.try_clone()?));
        Ok((tcp.collect::<io::Result<_>>()?, unix.collect::<io::Result<_>>()?))
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = fs::remove_file(path);
        }
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<StdTcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A proxy that serves clients on threads of its own.
pub struct Running {
    pub proxy: Arc<Proxy>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    /// The monitors' runtime.
    monitors: Option<Runtime>,
    _admin: Option<Endpoint>,
    _sockets: Sockets,
}

impl Running {
    /// Looks at all servers once, then opens for clients.
    pub fn start(proxy: Arc<Proxy>) -> Result<Self, StartError> {
        let sockets = Sockets::open(&proxy.config())?;
        let admin = Endpoint::start(&proxy)?;
        let monitors = start_monitors(&proxy)?;
        let (stop, stopped) = watch::channel(false);
        let threads = (0..proxy.workers).map(|number| {
            let (proxy, stopped, listeners) = (proxy.clone(), stopped.clone(), &sockets);
            start_worker(number, proxy, listeners, stopped)
        });
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        Ok(Running { proxy, stop, threads, monitors: Some(monitors), _admin: admin, _sockets: sockets })
    }

    /// Ends every session and waits until the threads have.
    pub fn stop(mut self) {
        self.stop_threads();
    }

    fn stop_threads(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        for pool in &self.proxy.pools {
            pool.close_idle();
        }
        if let Some(monitors) = self.monitors.take() {
            monitors.shutdown_background();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

/// Why a proxy could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Admin(#[from] endpoint::StartError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

fn start_monitors(proxy: &Arc<Proxy>) -> io::Result<Runtime> {
    let runtime =
        Builder::new_multi_thread().worker_threads(1).thread_name("waypool-monitor").enable_all().build()?;
    let monitors =
        monitor::monitors(&proxy.cluster, &proxy.pools, &proxy.config(), &proxy.check_credentials());
    let mut monitors = runtime.block_on(async {
        let looks = monitors.into_iter().map(|mut monitor| {
            tokio::spawn(async move {
                monitor.look().await;
                monitor
            })
        });
        let looks: Vec<_> = looks.collect();
        let mut looked: Vec<Monitor> = Vec::new();
        for look in looks {
            looked.extend(look.await.ok());
        }
        looked
    });
    if proxy.cluster.primary().is_none() {
        tracing::warn!("no primary found: writes are refused until there is one");
    }
    for monitor in monitors.drain(..) {
        runtime.spawn(monitor.run());
    }
    runtime.spawn(count_periods(proxy.clone()));
    Ok(runtime)
}

/// Ends a period of the averages now and then.
async fn count_periods(proxy: Arc<Proxy>) {
    loop {
        let period = proxy.config().stats_period;
        tokio::time::sleep(period).await;
        proxy.census.next_period(proxy.pools.iter().map(|pool| &pool.servers));
    }
}

fn start_worker(
    number: usize,
    proxy: Arc<Proxy>,
    sockets: &Sockets,
    stopped: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (tcp, unix) = {
        let _context = runtime.enter();
        sockets.share()?
    };
    thread::Builder::new().name(format!("waypool-{number}")).spawn(move || {
        let local = LocalSet::new();
        let worker = Worker::new(proxy);
        for listener in tcp {
            local.spawn_local(accept_tcp(worker.clone(), listener, stopped.clone()));
        }
        for listener in unix {
            local.spawn_local(accept_unix(worker.clone(), listener, stopped.clone()));
        }
        drop(worker);
        runtime.block_on(async {
            let mut stop = stopped.clone();
            local.run_until(async { stop.wait_for(|stop| *stop).await.map(|_| ()) }).await.ok();
            drop((stop, stopped));
            // Sessions say goodbye; those which take too long are cut off.
            let _ = tokio::time::timeout(GRACE, local).await;
        });
    })
}

async fn accept_tcp(worker: Rc<Worker>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let _ = socket2::SockRef::from(&stream).set_keepalive(true);
                let local = stream.local_addr().ok().map(|address| address.ip());
                serve(&worker, Plain::Tcp(stream), login::tcp_peer(peer.ip(), local), &stop);
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

async fn accept_unix(worker: Rc<Worker>, listener: UnixListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => serve(&worker, Plain::Unix(stream), login::unix_peer(), &stop),
            Err(error) => accept_failed(&error).await,
        }
    }
}

async fn accept_failed(error: &io::Error) {
    tracing::error!("cannot accept a client: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn serve(worker: &Rc<Worker>, socket: Plain, peer: Peer, stop: &watch::Receiver<bool>) {
    let clients = worker.proxy.clients.load(std::sync::atomic::Ordering::Relaxed);
    if clients > worker.proxy.config().max_client_conn + HEARD_OUT {
        tracing::warn!("connection closed unheard: far more than max_client_conn clients");
        return;
    }
    tokio::task::spawn_local(login::serve(worker.clone(), socket, peer, stop.clone()));
}
