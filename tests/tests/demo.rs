//! `waypool demo`: the tour, its end by whatever way, and nothing left behind.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;
use tokio_postgres::NoTls;
use waypool_sandbox::Port;
use waypool_tests::{run_async, wait_until};

fn waypool() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/waypool");
    std::env::var_os("WAYPOOL_BIN").map_or(built, PathBuf::from)
}

/// A demo that runs. Its text is read as it comes.
struct Demo {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
    home: TempDir,
}

/// A demo that has ended, and left nothing.
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(Command::new(waypool()).args(arguments))
    }

    fn start_with(command: &mut Command) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        command.env("HOME", home.path()).env_remove("XDG_CACHE_HOME").env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers =
            [collect(child.stdout.take().unwrap(), &stdout), collect(child.stderr.take().unwrap(), &stderr)];
        Demo { child, stdout, stderr, readers, home }
    }

    fn wait_for(&mut self, text: &str) {
        wait_until(&format!("the demo says {text:?}"), || {
            let said = self.stdout.lock().unwrap().contains(text);
            assert!(
                said || self.child.try_wait().unwrap().is_none(),
                "the demo ended before: {}",
                self.said()
            );
            said
        });
    }

    /// The folder that it has named.
    fn folder(&self) -> Option<PathBuf> {
        let said = self.stdout.lock().unwrap();
        let (_, rest) = said.split_once("  PostgreSQL ")?;
        let (_, rest) = rest.split_once(" in ")?;
        rest.lines().next().map(|path| PathBuf::from(path.trim_end()))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn said(&self) -> String {
        format!("{}\n{}", self.stdout.lock().unwrap(), self.stderr.lock().unwrap())
    }

    /// Waits for its end. Whatever kind of end that is: nothing is left.
    fn end(mut self) -> Ended {
        wait_until("the demo ends", || self.child.try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        let folder = self.folder();
        if let Some(folder) = &folder {
            assert!(!folder.exists(), "{} is left", folder.display());
            assert_eq!(processes_in(folder), Vec::<String>::new());
        }
        let left = fs::read_dir(self.home.path()).unwrap();
        assert_eq!(left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), [""; 0]);
        self.readers.into_iter().for_each(|reader| reader.join().unwrap());
        let text = |of: &Mutex<String>| of.lock().unwrap().clone();
        Ended { status, stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }
}

impl Ended {
    #[track_caller]
    fn is_fine(&self) {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        assert_eq!(self.stderr, "", "{}", self.stdout);
        assert!(self.stdout.ends_with("  everything removed\n"), "{}", self.stdout);
    }

    /// The user ended it before its time.
    #[track_caller]
    fn is_interrupted(&self) {
        assert_eq!(self.status.code(), Some(1), "{}\n{}", self.stdout, self.stderr);
        assert_eq!(self.stderr, "waypool: interrupted; everything is removed\n");
    }

    /// The numbers of a row of the table: queries, on the primary, on the
    /// standby, errors.
    fn rows(&self, name: &str) -> Vec<[u64; 4]> {
        let rows = self.stdout.lines().filter_map(|line| line.trim_start().strip_prefix(name));
        rows.map(|row| {
            let mut numbers = row.split_whitespace().rev().map(|word| word.replace(',', "").parse().unwrap());
            let mut next = || numbers.next().unwrap();
            let (errors, standby, primary, queries) = (next(), next(), next(), next());
            [queries, primary, standby, errors]
        })
        .collect()
    }
}

fn collect(mut from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = into.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    })
}

/// Command lines of processes that name the folder or work in it.
fn processes_in(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let pid = entry.file_name();
        pid.to_str().is_some_and(|pid| pid.parse::<u32>().is_ok())
    });
    let found = processes.filter_map(|entry| {
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let works_here = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        (works_here || command.contains(name)).then_some(command)
    });
    found.collect()
}

/// The text behind `start` on the line that has it.
fn after<'t>(text: &'t str, start: &str) -> &'t str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start:?} in: {text}"));
    rest.lines().next().unwrap_or_default()
}

#[test]
fn the_tour_shows_writes_reads_and_a_swap() {
    let demo = Demo::start(&["demo", "--exit"]).end();
    demo.is_fine();
    for line in demo.stdout.lines() {
        assert!(line.chars().count() <= 80, "too long: {line}");
    }
    assert!(!demo.stdout.contains('\x1b') && !demo.stdout.contains('\r'), "{:?}", demo.stdout);

    // Where statements went, as told and as the picture names the servers.
    let (primary, standby) =
        (after(&demo.stdout, "--> primary, port "), after(&demo.stdout, "--> standby, port "));
    for (what, server, port) in [
        ("the insert", "primary", primary),
        ("the select", "standby", standby),
        ("this select", "primary", primary),
    ] {
        let line = format!("  --> {what} ran on the {server}, port {port}\n");
        assert!(demo.stdout.contains(&line), "no {line:?} in: {}", demo.stdout);
    }
    let count = |server: &str| -> Vec<u64> {
        let row = demo.stdout.lines().find(|line| line.contains(&format!("| {server} |"))).unwrap();
        row.rsplit('|').take(2).map(|number| number.trim().parse().unwrap()).collect()
    };
    assert_eq!(count("primary"), [5, 1]);
    assert_eq!(count("standby"), [0, 1]);

    // Each plugin did as it should, to the last query.
    let [before, after] = demo.rows("balance (built in)").try_into().unwrap();
    for [queries, on_primary, on_standby, errors] in [before, after] {
        assert!(queries > 0 && on_standby == queries, "{}", demo.stdout);
        assert_eq!((on_primary, errors), (0, 0), "{}", demo.stdout);
    }
    let [[queries, on_primary, on_standby, errors]] = demo.rows("primary_only").try_into().unwrap();
    assert!(queries > 0 && on_primary == queries, "{}", demo.stdout);
    assert_eq!((on_standby, errors), (0, 0), "{}", demo.stdout);
    for change in ["swapped in", "rolled back in"] {
        assert_eq!(demo.rows(change).len(), 1, "{}", demo.stdout);
    }
    assert!(demo.stdout.contains(" queries, 0 errors: no client noticed\n"), "{}", demo.stdout);
}

#[test]
fn an_interrupt_during_any_step_leaves_nothing() {
    for step in ["primary: initdb", "standby: base backup", "2. Reads go to the standby", "  primary_only  "]
    {
        let mut demo = Demo::start(&["demo"]);
        demo.wait_for(step);
        demo.signal(Signal::SIGINT);
        let demo = demo.end();
        // On a machine that stalls the tour may be over before the signal comes.
        match demo.stdout.contains("Ctrl-C ends the demo") {
            true => demo.is_fine(),
            false => demo.is_interrupted(),
        }
    }
}

#[test]
fn after_the_tour_people_connect_until_ctrl_c() {
    let mut demo = Demo::start(&["demo"]);
    demo.wait_for("Ctrl-C ends the demo");
    let conninfo = after(&demo.said(), "psql \"").trim_end_matches('"').to_owned();
    run_async(async {
        let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await.unwrap();
        tokio::spawn(connection);
        let row = client.query_one("select count(*) from boats", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 2);
        // With a client still connected
        demo.signal(Signal::SIGINT);
        demo.end().is_fine();
    });
}

#[test]
fn sigterm_is_as_good_as_ctrl_c() {
    let mut demo = Demo::start(&["demo"]);
    demo.wait_for("Ctrl-C ends the demo");
    demo.signal(Signal::SIGTERM);
    demo.end().is_fine();
}

#[test]
fn a_killed_demo_leaves_nothing_either() {
    let mut demo = Demo::start(&["demo"]);
    demo.wait_for("1. Writes go to the primary");
    let folder = demo.folder().unwrap();
    demo.signal(Signal::SIGKILL);
    wait_until("the folder is gone", || !folder.exists());
    wait_until("its processes are gone", || processes_in(&folder).is_empty());
    assert!(!demo.end().status.success());
}

#[test]
fn a_port_can_be_chosen_and_must_be_free() {
    let port = Port::reserve().unwrap();
    let number = port.number().to_string();
    let demo = Demo::start(&["demo", "--exit", "--port", &number]).end();
    demo.is_fine();
    assert!(demo.stdout.contains(&format!("waypool, port {number} ")), "{}", demo.stdout);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = taken.local_addr().unwrap().port().to_string();
    let demo = Demo::start(&["demo", "--port", &number]).end();
    assert_eq!((demo.status.code(), demo.stdout.as_str()), (Some(1), ""));
    assert!(demo.stderr.contains(&format!("port {number} is taken by another program")), "{}", demo.stderr);
    assert!(demo.stderr.contains("choose another"), "{}", demo.stderr);
}

#[test]
fn without_postgresql_it_tells_what_to_install() {
    let mut command = Command::new(waypool());
    let demo = Demo::start_with(command.arg("demo").env("WAYPOOL_PG_BIN", "/nowhere")).end();
    assert_eq!((demo.status.code(), demo.stdout.as_str()), (Some(1), ""));
    assert!(demo.stderr.contains("no PostgreSQL server found (looked in /nowhere)"), "{}", demo.stderr);
    assert!(demo.stderr.contains("apt-get install"), "{}", demo.stderr);
}

/// The other tests run as whoever runs them, which in a container is root.
#[test]
fn an_ordinary_user_can_run_it() {
    const NOBODY: u32 = 65534;
    if !Uid::effective().is_root() {
        eprintln!("not root: the other tests have shown it");
        return;
    }
    // Where the program lies, nobody may not look.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("waypool");
    fs::copy(waypool(), &copy).unwrap();
    let mut command = Command::new(copy);
    command.args(["demo", "--exit"]).current_dir("/").uid(NOBODY).gid(NOBODY);
    Demo::start_with(&mut command).end().is_fine();
}
