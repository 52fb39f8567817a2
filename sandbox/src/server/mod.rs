//! One PostgreSQL server of a sandbox: its life from start to kill.

mod log;
mod query;

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::ports::Port;
use crate::workshop::Workshop;
use crate::{Error, Result, process, wait_until};

/// Long enough for a slow machine, short enough not to look like a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is asked to stop; the names are `pg_ctl`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Waits until all clients have left.
    Smart,
    /// Ends the clients' sessions, then shuts down in order.
    Fast,
    /// Ends at once; the next start runs recovery.
    Immediate,
}

impl Mode {
    fn signal(self) -> Signal {
        match self {
            Mode::Smart => Signal::SIGTERM,
            Mode::Fast => Signal::SIGINT,
            Mode::Immediate => Signal::SIGQUIT,
        }
    }
}

/// A PostgreSQL server. All methods take `&self`: share it between threads freely.
#[derive(Debug)]
pub struct Server {
    id: usize,
    port: Port,
    /// Holds the data directory, the log and the Unix socket.
    home: PathBuf,
    workshop: Arc<Workshop>,
    /// `None` while the server is down.
    postmaster: Mutex<Option<Child>>,
}

impl Server {
    /// A server without data yet; `initdb` or `pg_basebackup` comes next.
    pub(crate) fn prepare(id: usize, workshop: Arc<Workshop>) -> Result<Server> {
        let home = workshop.folder.join(format!("server{id}"));
        let port = workshop.port(id)?;
        workshop.make_folder(&home)?;
        Ok(Server { id, port, home, workshop, postmaster: Mutex::new(None) })
    }

    /// The first start; moves to another port when a stranger took ours meanwhile.
    pub(crate) fn start_on_a_free_port(&mut self) -> Result<()> {
        const ATTEMPTS: usize = 5;
        for _ in 1..ATTEMPTS {
            match self.start() {
                Err(Error::Ended { log_tail, .. }) if log_tail.contains("already in use") => {
                    self.port = self.workshop.port(self.id)?;
                }
                other => return other,
            }
        }
        self.start()
    }

    // === what it is ===

    /// Its number in the cluster; also its `application_name`, as `server1`.
    pub fn id(&self) -> usize {
        self.id
    }

    /// The TCP port on 127.0.0.1, kept over restarts.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The folder of its Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.home
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The log file; it goes on over restarts.
    pub fn log_path(&self) -> PathBuf {
        self.home.join("log")
    }

    /// The postmaster's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        let mut postmaster = self.lock();
        match postmaster.as_mut().map(|child| (child.id(), child.try_wait())) {
            Some((pid, Ok(None))) => Some(pid),
            _ => None,
        }
    }

    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// Whether it lets clients in now, by asking it.
    pub fn is_accepting(&self) -> bool {
        self.workshop
            .client_program("pg_isready")
            .args(["--quiet", "--timeout=1", "--host=127.0.0.1"])
            .arg(format!("--port={}", self.port()))
            .status()
            .is_ok_and(|status| status.success())
    }

    // === start and stop ===

    /// Starts the server and waits until it accepts clients.
    pub fn start(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let child = self.spawn()?;
        *self.lock() = Some(child);
        self.wait_ready(PATIENCE)
    }

    fn spawn(&self) -> Result<Child> {
        let log_path = self.log_path();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(Error::io("open", &log_path))?;
        let also_log = log.try_clone().map_err(Error::io("open", &log_path))?;
        let mut command = self.workshop.server_program("postgres");
        command
            // Port and socket folder on the command line: the files of a data
            // directory can then be copied from server to server as they are.
            .arg("-D")
            .arg(self.data_dir())
            .args(["-p", &self.port().to_string()])
            .arg("-k")
            .arg(self.socket_dir())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also_log)
            // A Ctrl-C at the terminal is for us: to a postmaster it means "shut down".
            .process_group(0);
        let program = PathBuf::from(command.get_program());
        command.spawn().map_err(Error::io("start", program))
    }

    /// Waits until the server accepts clients; fails at once when it has ended.
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        let mut ended = None;
        wait_until(timeout, || {
            ended = self.reap();
            ended.is_some() || (self.says_ready() && self.is_accepting())
        })
        .then_some(())
        .ok_or_else(|| self.timed_out("it accepts clients", timeout))?;
        match ended {
            None => Ok(()),
            Some(status) => Err(Error::Ended { server: self.id, status, log_tail: self.log_tail() }),
        }
    }

    /// Stops the server and waits until it is down; fine when it is already.
    pub fn stop(&self, mode: Mode) -> Result<()> {
        self.resume();
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        process::signal(pid, mode.signal());
        if wait_until(PATIENCE, || !self.is_running()) {
            self.reap();
            return Ok(());
        }
        Err(self.timed_out("it has stopped", PATIENCE))
    }

    /// SIGKILL for the postmaster and all its processes, as after a power cut.
    /// The server can be started again: it finds its files, and nothing else.
    pub fn kill9(&self) -> Result<()> {
        let Some(mut child) = self.lock().take() else {
            return Ok(());
        };
        let data_dir = self.data_dir();
        process::signal(child.id(), Signal::SIGKILL);
        let _ = child.wait();
        let gone = wait_until(PATIENCE, || {
            let rest = process::working_in(&data_dir, child.id());
            rest.iter().for_each(|pid| process::signal(*pid, Signal::SIGKILL));
            rest.is_empty()
        });
        if !gone {
            return Err(self.timed_out("its killed processes are gone", PATIENCE));
        }
        self.clear_leftovers();
        Ok(())
    }

    /// What a killed postmaster leaves outside its control: its lock file, whose
    /// process id may soon be another program's, and its shared memory.
    fn clear_leftovers(&self) {
        let lock_file = self.data_dir().join("postmaster.pid");
        let shared_memory = fs::read_to_string(&lock_file)
            .ok()
            .and_then(|content| content.lines().nth(6)?.split_whitespace().nth(1)?.parse().ok());
        if let Some(id) = shared_memory {
            process::remove_shared_memory(id);
        }
        let _ = fs::remove_file(lock_file);
    }

    // === hang and go on ===

    /// Stops all its processes (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&self) {
        // The postmaster first, so that it starts no further process meanwhile.
        if let Some(pid) = self.pid() {
            process::signal(pid, Signal::SIGSTOP);
            self.signal_all(pid, Signal::SIGSTOP);
        }
    }

    /// Lets a paused server go on; no harm to one that runs.
    pub fn resume(&self) {
        if let Some(pid) = self.pid() {
            self.signal_all(pid, Signal::SIGCONT);
        }
    }

    fn signal_all(&self, postmaster: u32, signal: Signal) {
        for pid in process::working_in(&self.data_dir(), postmaster) {
            process::signal(pid, signal);
        }
    }

    // === inside ===

    pub(crate) fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        // The slot is whole at any moment: a panic elsewhere does not spoil it.
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the end of a postmaster that has ended by itself.
    fn reap(&self) -> Option<ExitStatus> {
        let mut postmaster = self.lock();
        let status = postmaster.as_mut()?.try_wait().ok().flatten()?;
        *postmaster = None;
        Some(status)
    }

    /// The last line of the postmaster's lock file tells its state. Cheaper to
    /// ask than the server itself while it starts.
    fn says_ready(&self) -> bool {
        fs::read_to_string(self.data_dir().join("postmaster.pid"))
            .is_ok_and(|content| content.lines().nth(7).is_some_and(|s| s.trim() == "ready"))
    }

    pub(crate) fn timed_out(&self, condition: &'static str, waited: Duration) -> Error {
        Error::Timeout { server: self.id, condition, waited, log_tail: self.log_tail() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The data goes with the server: there is nothing to shut down in order.
        let _ = self.kill9();
    }
}
