//! pgbench while something else happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use waypool_sandbox::Cluster;

use crate::{Proxy, program, run, wait_until};

/// Statements of pgbench's transactions.
const OF_SELECT_ONLY: u64 = 1;
const OF_TPC_B: u64 = 7;
/// It looks at its tables before it begins.
const LOOKS_AROUND: u64 = 2;

/// A primary and a standby which log no statement, so that load does not fill
/// the disk, with pgbench's tables in the database `postgres`.
pub fn quiet_servers() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::builder().standbys(1).start().unwrap_or_else(|error| panic!("{error}"));
        let primary = cluster.primary();
        let mut pgbench = Command::new(cluster.installation().program("pgbench"));
        pgbench.args(["-i", "-q", "-s", "4", "-h"]).arg(primary.socket_dir());
        pgbench.args(["-p", &primary.port().to_string(), "-U", "postgres", "postgres"]);
        run(&mut pgbench, "").ok();
        cluster.server(1).wait_replay(primary).unwrap_or_else(|error| panic!("{error}"));
        cluster
    })
}

/// A pgbench that runs.
#[derive(Debug)]
pub struct Load {
    child: Child,
    said: PathBuf,
    /// Of its log, if it writes one.
    prefix: PathBuf,
}

/// What became of it.
#[derive(Debug)]
pub struct Done {
    pub select_only: u64,
    pub tpc_b: u64,
    pub said: String,
}

/// One transaction of pgbench's log, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Timed {
    pub began: u64,
    pub ended: u64,
}

impl Load {
    /// Begins to send pgbench's `select-only` and `tpcb-like` transactions, nine
    /// to one, for 10 minutes at most, and returns when the first are done. From
    /// one thread: with several, pgbench counts a script's transactions wrong.
    #[track_caller]
    pub fn mixed(proxy: &Proxy, options: &str) -> Load {
        Load::start(proxy, &format!("-b select-only@9 -b tpcb-like@1 {options}"))
    }

    #[track_caller]
    pub fn start(proxy: &Proxy, options: &str) -> Load {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let prefix = proxy.folder().join(format!("pgbench_log-{number}"));
        let said = proxy.folder().join(format!("pgbench-{number}.out"));
        let out = fs::File::create(&said).expect("a file");
        let mut command = program(proxy, "pgbench");
        command.args(["-n", "-T", "600", "-P", "1"]).args(options.split_whitespace());
        if options.split_whitespace().any(|option| option == "-l") {
            command.arg("--log-prefix").arg(&prefix);
        }
        command.stdin(Stdio::null()).stdout(out.try_clone().expect("a file")).stderr(out);
        let child = command.spawn().expect("pgbench can be started");
        let mut load = Load { child, said, prefix };
        wait_until("pgbench has done something", || {
            assert!(load.is_running(), "pgbench has ended:\n{}", load.said());
            load.said().contains("progress: ")
        });
        load
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Ends it as if its time were up: every transaction is completed. Panics
    /// unless all of them succeeded.
    #[track_caller]
    pub fn stop(mut self) -> (Done, Vec<Timed>) {
        assert!(self.is_running(), "pgbench has ended by itself:\n{}", self.said());
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGALRM).expect("pgbench takes signals");
        wait_until("pgbench has ended", || !self.is_running());
        let status = self.child.wait().expect("pgbench's end");
        let said = self.said();
        assert!(status.success(), "pgbench ended with {status}:\n{said}");
        assert!(said.contains("number of failed transactions: 0 "), "{said}");
        assert!(!said.contains("error:") && !said.contains("aborted"), "{said}");
        let of = |script: &str| transactions(&said, script).unwrap_or_else(|| panic!("no {script}: {said}"));
        let done = Done { select_only: of("select only"), tpc_b: of("TPC-B"), said: said.clone() };
        (done, timed(&self.prefix))
    }
}

/// One that a failed test leaves behind has to end.
impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Done {
    /// Those of pgbench's report.
    pub fn transactions(&self) -> u64 {
        self.select_only + self.tpc_b
    }

    /// All that the servers see, statements outside of transactions too.
    pub fn all_transactions(&self) -> u64 {
        self.transactions() + LOOKS_AROUND
    }

    pub fn statements(&self) -> u64 {
        self.select_only * OF_SELECT_ONLY + self.tpc_b * OF_TPC_B + LOOKS_AROUND
    }
}

/// How often one script of several was run.
fn transactions(said: &str, script: &str) -> Option<u64> {
    let (_, part) = said.split("SQL script ").skip(1).find_map(|part| {
        let (title, rest) = part.split_once('\n')?;
        title.contains(script).then_some((title, rest))
    })?;
    let line = part.lines().find_map(|line| line.strip_prefix(" - ")?.split_once(" transactions ("));
    line?.0.parse().ok()
}

/// The log that pgbench wrote with `-l`, of all its threads.
fn timed(prefix: &Path) -> Vec<Timed> {
    let name = prefix.file_name().and_then(|name| name.to_str()).expect("a name").to_owned() + ".";
    let folder = prefix.parent().expect("a folder");
    let files = fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
    let logs = files.filter(|file| file.file_name().to_string_lossy().starts_with(&name));
    let mut timed: Vec<Timed> = logs
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .flat_map(|log| log.lines().filter_map(line).collect::<Vec<_>>())
        .collect();
    timed.sort_unstable_by_key(|transaction| transaction.ended);
    timed
}

/// Client, number, microseconds, script, and when it ended: seconds and
/// microseconds. With `-R`, how late it began, which counts as its time.
fn line(line: &str) -> Option<Timed> {
    let fields: Vec<u64> = line.split(' ').map(|field| field.parse().unwrap_or_default()).collect();
    let [_, _, took, _, seconds, micros, rest @ ..] = fields.as_slice() else { return None };
    let ended = seconds * 1_000_000 + micros;
    let late = rest.first().copied().unwrap_or_default();
    Some(Timed { began: ended - took.checked_sub(late)?, ended })
}

impl Timed {
    pub fn took(&self) -> Duration {
        Duration::from_micros(self.ended - self.began)
    }
}

/// Now, as pgbench's log tells the time.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
