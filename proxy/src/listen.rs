//! Accepting clients: the sockets, the worker threads, the end.

use crate::admin::endpoint::{self, Endpoint};
use crate::auth::hba::Peer;
use crate::cluster::monitor::{self, Monitor};
use crate::commit::resolver;
use crate::config::Config;
use crate::handover::{Address, Inherited, take::TakeoverError};
use crate::life::{Acceptor, Phase, Seat};
use crate::net::stream::Plain;
use crate::proxy::Proxy;
use crate::session::{clock, login};
use crate::verify;
use crate::worker::Worker;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
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

/// Where clients connect. Unix sockets are removed when this is dropped, unless
/// they are somebody else's.
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
    /// Those that are open already are taken as they are.
    pub fn open(config: &Config, inherited: &mut Inherited) -> Result<Self, ListenError> {
        let mut sockets = Sockets { tcp: Vec::new(), unix: Vec::new(), paths: Vec::new() };
        for (address, socket) in inherited.take_all() {
            match address {
                Address::Tcp(_) => sockets.tcp.push(socket.into()),
                Address::Unix(_) => sockets.unix.push(socket.into()),
            }
        }
        if !sockets.tcp.is_empty() || !sockets.unix.is_empty() {
            return Ok(sockets);
        }
        for host in &config.listen_addresses {
            sockets.open_tcp(host, config.port, inherited)?;
        }
        for directory in &config.unix_socket_directories {
            let path = directory.join(format!(".s.PGSQL.{}", config.port));
            let opened = sockets.open_unix(&path, config.unix_socket_permissions, inherited);
            opened.map_err(|source| ListenError::Unix { path, source })?;
        }
        if sockets.tcp.is_empty() && sockets.unix.is_empty() {
            return Err(ListenError::Nowhere);
        }
        sockets.set_backlog(config);
        Ok(sockets)
    }

    fn open_tcp(&mut self, host: &str, port: u16, inherited: &mut Inherited) -> Result<(), ListenError> {
        let error = |source| ListenError::Tcp { address: format!("{host}:{port}"), source };
        let addresses: Vec<SocketAddr> = match host {
            "*" => vec![SocketAddr::from(([0; 16], port)), SocketAddr::from(([0; 4], port))],
            host => (host, port).to_socket_addrs().map_err(error)?.collect(),
        };
        let mut failure = None;
        let mut opened = false;
        for address in addresses {
            let open = inherited.take(&Address::Tcp(address));
            match open.map_or_else(|| listen_tcp(address), |socket| Ok(socket.into())) {
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

    fn open_unix(&mut self, path: &Path, permissions: u32, inherited: &mut Inherited) -> io::Result<()> {
        let listener = match inherited.take(&Address::Unix(path.to_owned())) {
            Some(socket) => socket.into(),
            None => listen_unix(path)?,
        };
        self.paths.push(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
        self.unix.push(listener);
        Ok(())
    }

    /// As Pgpool-II's, which has nowhere else for clients to wait.
    fn set_backlog(&self, config: &Config) {
        let Some(children) = config.num_init_children else {
            return;
        };
        let backlog = children.saturating_mul(config.listen_backlog_multiplier);
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let sockets = self.tcp.iter().map(AsFd::as_fd).chain(self.unix.iter().map(AsFd::as_fd));
        for socket in sockets {
            if let Err(error) = rustix::net::listen(socket, backlog) {
                tracing::warn!("listen_backlog_multiplier has no effect: {error}");
            }
        }
    }

    /// Lets others have them: see [`handover`](crate::handover).
    fn offer(&self, proxy: &Proxy) -> io::Result<()> {
        for listener in &self.tcp {
            proxy.listeners.add(Address::Tcp(listener.local_addr()?), listener)?;
        }
        for listener in &self.unix {
            let path = listener.local_addr()?.as_pathname().map(ToOwned::to_owned);
            proxy.listeners.add(Address::Unix(path.unwrap_or_default()), listener)?;
        }
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

fn listen_unix(path: &Path) -> io::Result<StdUnixListener> {
    // One that nobody answers on was left behind by a crash.
    if path.exists() && StdUnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = StdUnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
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
    threads: Vec<JoinHandle<()>>,
    /// The monitors' runtime.
    monitors: Option<Runtime>,
    _admin: Option<Endpoint>,
    sockets: Sockets,
}

/// Where the listening sockets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// They are opened; or systemd has done so.
    Anew,
    /// From a running process, whose clients may stay for so long.
    TakingOver { limit: Option<Duration> },
}

impl Running {
    /// Looks at all servers once, then opens for clients.
    pub fn start(proxy: Arc<Proxy>) -> Result<Self, StartError> {
        let mut none = Inherited::default();
        let sockets = Sockets::open(&proxy.config(), &mut none)?;
        let monitors = start_monitors(&proxy)?;
        Self::serve(proxy, sockets, monitors, &mut none)
    }

    /// The same, with sockets of another process if there are some.
    pub fn arrive(proxy: Arc<Proxy>, arrival: Arrival) -> Result<Self, StartError> {
        let Arrival::TakingOver { limit } = arrival else {
            let mut inherited = Inherited::from_systemd()?;
            let sockets = Sockets::open(&proxy.config(), &mut inherited)?;
            let monitors = start_monitors(&proxy)?;
            return Self::serve(proxy, sockets, monitors, &mut inherited);
        };
        // The other one serves until everything is ready here.
        let monitors = start_monitors(&proxy)?;
        let inherited = Inherited::from_running(proxy.config().admin_socket().as_deref())?;
        let mut inherited = inherited.unwrap_or_else(|| {
            tracing::warn!("nobody to take over from: starting anew");
            Inherited::default()
        });
        let sockets = Sockets::open(&proxy.config(), &mut inherited)?;
        let running = Self::serve(proxy, sockets, monitors, &mut inherited)?;
        inherited.serving(&running.proxy, limit)?;
        Ok(running)
    }

    fn serve(
        proxy: Arc<Proxy>,
        sockets: Sockets,
        monitors: Runtime,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        sockets.offer(&proxy)?;
        let admin = Endpoint::start(&proxy, inherited)?;
        let threads = (0..proxy.workers).map(|number| start_worker(number, proxy.clone(), &sockets));
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        Ok(Running { proxy, threads, monitors: Some(monitors), _admin: admin, sockets })
    }

    /// The sockets are another process's now.
    pub fn leave_sockets(&mut self) {
        let Sockets { tcp, unix, paths } = &mut self.sockets;
        paths.clear();
        tcp.clear();
        unix.clear();
    }

    /// Ends every session and waits until the threads have.
    pub fn stop(mut self) {
        self.stop_threads();
    }

    fn stop_threads(&mut self) {
        if self.proxy.life.phase() == Phase::HandedOver {
            self.leave_sockets();
        }
        self.proxy.life.enter(Phase::Fast, None);
        self.proxy.listeners.close();
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
    Takeover(#[from] TakeoverError),
    #[error(transparent)]
    TwoPhase(#[from] resolver::StartError),
    #[error(transparent)]
    Admin(#[from] endpoint::StartError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

fn start_monitors(proxy: &Arc<Proxy>) -> Result<Runtime, StartError> {
    proxy.cluster.remember_detached(&proxy.config()).map_err(|error| {
        let folder = proxy.config().work_dir.display().to_string();
        io::Error::new(error.kind(), format!("pgpool_status in work_dir = \"{folder}\": {error}"))
    })?;
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
    runtime.block_on(resolver::start(proxy))?;
    for monitor in monitors.drain(..) {
        runtime.spawn(monitor.run());
    }
    runtime.spawn(count_periods(proxy.clone()));
    runtime.spawn(resolver::run(proxy.clone()));
    runtime.spawn(verify::background::run(proxy.clone()));
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

fn start_worker(number: usize, proxy: Arc<Proxy>, sockets: &Sockets) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (tcp, unix) = {
        let _context = runtime.enter();
        sockets.share()?
    };
    let accepting = Acceptor::new(&proxy);
    thread::Builder::new().name(format!("waypool-{number}")).spawn(move || {
        let local = LocalSet::new();
        let mut phase = proxy.life.watch();
        let worker = Worker::new(proxy);
        local.spawn_local(clock::look(worker.clone()));
        local.spawn_local(accept(worker, tcp, unix, phase.clone(), accepting));
        runtime.block_on(async {
            local
                .run_until(async { phase.wait_for(|phase| *phase >= Phase::Fast).await.map(|_| ()) })
                .await
                .ok();
            let at_once = *phase.borrow() == Phase::Immediate;
            drop(phase);
            if !at_once {
                // Sessions say goodbye; those which take too long are cut off.
                let _ = tokio::time::timeout(GRACE, local).await;
            }
        });
    })
}

/// Accepts until the sockets are another process's, or the proxy ends.
async fn accept(
    worker: Rc<Worker>,
    tcp: Vec<TcpListener>,
    unix: Vec<UnixListener>,
    phase: watch::Receiver<Phase>,
    accepting: Acceptor,
) {
    let tcp = tcp
        .into_iter()
        .map(|listener| tokio::task::spawn_local(accept_tcp(worker.clone(), listener, phase.clone())));
    let unix = unix
        .into_iter()
        .map(|listener| tokio::task::spawn_local(accept_unix(worker.clone(), listener, phase.clone())));
    for ended in tcp.chain(unix).collect::<Vec<_>>() {
        let _ = ended.await;
    }
    drop(accepting);
}

async fn accept_tcp(worker: Rc<Worker>, listener: TcpListener, mut phase: watch::Receiver<Phase>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase >= Phase::HandedOver) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let _ = socket2::SockRef::from(&stream).set_keepalive(true);
                let local = stream.local_addr().ok().map(|address| address.ip());
                serve(&worker, Plain::Tcp(stream), login::tcp_peer(peer.ip(), local), &phase);
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

async fn accept_unix(worker: Rc<Worker>, listener: UnixListener, mut phase: watch::Receiver<Phase>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase >= Phase::HandedOver) => return,
        };
        match accepted {
            Ok((stream, _)) => serve(&worker, Plain::Unix(stream), login::unix_peer(), &phase),
            Err(error) => accept_failed(&error).await,
        }
    }
}

async fn accept_failed(error: &io::Error) {
    tracing::error!("cannot accept a client: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn serve(worker: &Rc<Worker>, socket: Plain, peer: Peer, phase: &watch::Receiver<Phase>) {
    let seat = Seat::take(&worker.proxy);
    if seat.number > worker.proxy.config().max_client_conn + HEARD_OUT {
        tracing::warn!("connection closed unheard: far more than max_client_conn clients");
        return;
    }
    tokio::task::spawn_local(login::serve(worker.clone(), socket, peer, seat, phase.clone()));
}
