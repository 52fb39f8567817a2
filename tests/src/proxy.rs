//! A running `waypool`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use waypool_sandbox::{Cluster, Port};

use crate::builder::waypool;
use crate::{Builder, wait_until};

/// Says that clients may come.
const READY: &str = "ready to accept connections";

/// A proxy, killed when dropped. All methods take `&self`: share it freely.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    configuration: Mutex<Builder>,
    child: Mutex<Child>,
    /// Holds the configuration, the log and the Unix socket.
    folder: TempDir,
}

impl Proxy {
    /// A proxy for these servers: their weights are equal, and everybody is let in.
    pub fn builder(cluster: &Cluster) -> Builder {
        Builder::new(cluster)
    }

    /// The error is the log of a proxy that ended.
    pub(crate) fn start(builder: Builder) -> Result<Proxy, String> {
        let folder =
            tempfile::Builder::new().prefix("waypool-test-").tempdir_in("/tmp").expect("a temporary folder");
        let port = Port::reserve().unwrap_or_else(|error| panic!("{error}"));
        File::create(folder.path().join("log")).expect("the log can be created");
        write_configuration(&builder, port.number(), folder.path());
        let child = spawn(&builder, folder.path(), &[]);
        let proxy = Proxy { port, configuration: Mutex::new(builder), child: Mutex::new(child), folder };
        wait_until("waypool accepts connections, or ends", || {
            proxy.log().contains(READY) || !proxy.is_running()
        });
        // It may have ended right after its last words.
        match proxy.is_running() {
            true => Ok(proxy),
            false => Err(proxy.log()),
        }
    }

    // === what it is ===

    /// The TCP port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// A libpq connection string for the superuser, in the database `postgres`.
    pub fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port())
    }

    /// The folder of its Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.folder()
    }

    /// Room for a test's own files; goes with the proxy.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder().join("waypool.toml")
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        let content = fs::read(self.folder().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    }

    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("waypool logs {text:?}"), || self.log().contains(text));
    }

    pub fn is_running(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    // === what it is told ===

    /// Changes the configuration, reloads, and returns what the log says to it.
    #[track_caller]
    pub fn reconfigure(&self, change: impl FnOnce(Builder) -> Builder) -> String {
        {
            let mut configuration = lock(&self.configuration);
            *configuration = change(configuration.clone());
            write_configuration(&configuration, self.port(), self.folder());
        }
        self.reload()
    }

    /// Sends SIGHUP, waits until the file has been read, and returns what the
    /// log says to it.
    #[track_caller]
    pub fn reload(&self) -> String {
        let before = self.log().len();
        self.signal(Signal::SIGHUP);
        let said = || self.log().get(before..).unwrap_or_default().to_owned();
        wait_until("waypool has read its configuration again", || {
            let said = said();
            said.contains("configuration reloaded") || said.contains("reload refused")
        });
        said()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("waypool takes signals");
    }

    /// Stops it in order, as an operator does; panics unless it ends well.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::SIGTERM);
        let status = self.wait_for_end();
        assert!(status.success(), "waypool ended with {status}; its log:\n{}", self.log());
    }

    /// SIGKILL, as after a crash, and a new process as soon as the old one is gone.
    #[track_caller]
    pub fn kill_and_start_again(&self) {
        let ready = || self.log().matches(READY).count();
        let before = ready();
        {
            let mut child = self.child();
            let _ = child.kill();
            let _ = child.wait();
            *child = spawn(&lock(&self.configuration), self.folder(), &[]);
        }
        wait_until("the new process serves, or ends", || ready() > before || !self.is_running());
        assert!(self.is_running(), "waypool did not start again; its log:\n{}", self.log());
    }

    /// Has another process take over from the one that runs; this is the new
    /// one from now on, and what is returned the old one.
    #[track_caller]
    pub fn take_over(&self, options: &[&str]) -> Former {
        let ready = || self.log().matches(READY).count();
        let before = ready();
        let options: Vec<&str> = ["--takeover"].iter().chain(options).copied().collect();
        let new = spawn(&lock(&self.configuration), self.folder(), &options);
        let former = std::mem::replace(&mut *self.child(), new);
        wait_until("the new process serves, or ends", || ready() > before || !self.is_running());
        assert!(self.is_running(), "the takeover failed; the log:\n{}", self.log());
        Former(Mutex::new(former))
    }

    /// What a process says that is to take over and cannot.
    #[track_caller]
    pub fn take_over_in_vain(&self) -> String {
        let before = self.log().len();
        let mut new = spawn(&lock(&self.configuration), self.folder(), &["--takeover"]);
        let mut ended = None;
        wait_until("the new process has given up", || {
            ended = new.try_wait().ok().flatten();
            ended.is_some()
        });
        assert!(!ended.expect("the condition held").success());
        self.log().get(before..).unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn wait_for_end(&self) -> ExitStatus {
        let mut ended = None;
        wait_until("waypool has ended", || {
            ended = self.child().try_wait().ok().flatten();
            ended.is_some()
        });
        ended.expect("the condition held")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        lock(&self.child)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- waypool's log ---\n{}---", self.log());
        }
        let mut child = self.child();
        // SIGKILL, which one that has ended does not mind.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A process that another one has taken over from; killed when dropped.
#[derive(Debug)]
pub struct Former(Mutex<Child>);

impl Former {
    pub fn is_running(&self) -> bool {
        matches!(lock(&self.0).try_wait(), Ok(None))
    }

    /// Waits until it has ended by itself, and well.
    #[track_caller]
    pub fn wait_for_end(&self) {
        wait_until("the old process has ended", || !self.is_running());
        let status = lock(&self.0).wait().expect("it has ended");
        assert!(status.success(), "the old process ended with {status}");
    }
}

impl Drop for Former {
    fn drop(&mut self) {
        let child = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn write_configuration(builder: &Builder, port: u16, folder: &Path) {
    let text = builder.text(port, folder);
    fs::write(folder.join("waypool.toml"), text).expect("the configuration can be written");
}

fn spawn(builder: &Builder, folder: &Path, options: &[&str]) -> Child {
    let log = File::options().append(true).open(folder.join("log")).expect("there is a log");
    let program = waypool();
    Command::new(&program)
        .arg("run")
        .arg("-c")
        .arg(folder.join("waypool.toml"))
        .args(options)
        .env_remove("RUST_LOG")
        .env("XDG_CACHE_HOME", concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tmp"))
        .envs(builder.environment_variables().iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log can be shared"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()))
}

/// What is locked here is whole at any moment: a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
