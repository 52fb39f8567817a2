//! Running other programs: PostgreSQL's clients, and Python's.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use waypool_sandbox::{Installation, wait_until};

use crate::Proxy;

/// No client program of a test takes this long: one that does hangs.
const LONGEST: Duration = Duration::from_secs(180);

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    what: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// What it printed; panics with all that it said when it failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.success(), "{self}");
        self.stdout
    }

    /// What it complained about; panics when it did not fail.
    #[track_caller]
    pub fn error(self) -> String {
        assert!(!self.success(), "this should have failed: {self}");
        self.stderr
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} ended with {}", self.what, self.status)?;
        writeln!(f, "{}\n{}", self.stdout.trim_end(), self.stderr.trim_end())
    }
}

/// A program of PostgreSQL's, which will connect to the proxy as `postgres`.
pub fn program(proxy: &Proxy, name: &str) -> Command {
    let installation = Installation::find().unwrap_or_else(|error| panic!("{error}"));
    program_at(proxy.port(), proxy.folder(), &installation.program(name))
}

/// Python with a program of `tests/clients`, which will connect to the proxy.
pub fn python(proxy: &Proxy, script: &str) -> Command {
    python_at(proxy.port(), proxy.folder(), script)
}

/// The same for whoever listens on this port. `home` is a folder of the test's.
pub fn python_at(port: u16, home: &Path, script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interpreter = match std::env::var_os("WAYPOOL_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => root.join("../target/venv/bin/python"),
    };
    assert!(interpreter.exists(), "{} is missing: tools/setup.sh makes it", interpreter.display());
    let mut command = program_at(port, home, &interpreter);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(root.join("clients").join(script));
    command
}

/// A program which will connect to this port as `postgres`. The caller's libpq
/// settings must not leak in, and messages stay in English.
pub fn program_at(port: u16, home: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("PG") {
            command.env_remove(variable);
        }
    }
    command
        .env("LC_ALL", "C")
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", waypool_sandbox::SUPERUSER)
        .env("PGDATABASE", "postgres")
        // No .pgpass, no psqlrc and no certificates of whoever runs the tests.
        .env("HOME", home)
        .current_dir(home);
    command
}

/// Runs a program to its end with `input` as its standard input.
pub fn run(command: &mut Command, input: &str) -> Finished {
    let what = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
    let stdin = child.stdin.take();
    let input = input.to_owned();
    // A program may end without having read all of it.
    let writer = thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let ended = wait_until(LONGEST, || matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait();
    let _ = writer.join();
    let (stdout, stderr) = (stdout.join(), stderr.join());
    let finished = Finished {
        what,
        status: status.unwrap_or_else(|error| panic!("cannot wait for a program: {error}")),
        stdout: stdout.unwrap_or_default(),
        stderr: stderr.unwrap_or_default(),
    };
    assert!(ended, "killed after {LONGEST:?}, it hung: {finished}");
    finished
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
