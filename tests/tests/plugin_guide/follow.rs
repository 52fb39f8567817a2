//! Somebody who reads the guide and does what it says.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use waypool_sandbox::Installation;
use waypool_tests::{wait_until, waypool};

use crate::blocks::{Printed, Step, What};
use crate::output::compare;

/// The SDK's dependencies are compiled once. Nobody else's: in one folder, the
/// copies of the SDK that `waypool plugin new` makes would overwrite each other.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/plugin-guide");
/// The port that the guide speaks of.
const PORT: &str = "9999";

/// Where they stand.
pub struct Reader {
    /// The guide begins here.
    folder: TempDir,
    /// Where the last `cd` has led.
    here: PathBuf,
    /// The proxy's port, if another program has the guide's.
    port: String,
    other_terminal: Option<Terminal>,
}

/// A terminal in which something goes on.
struct Terminal {
    child: Child,
    said: PathBuf,
    line: usize,
}

impl Reader {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join(".bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(waypool(), bin.join("waypool")).unwrap();
        let here = folder.path().canonicalize().unwrap();
        Reader { folder, here, port: PORT.to_owned(), other_terminal: None }
    }

    pub fn take(&mut self, step: &Step<'_>) {
        let line = step.line;
        match &step.what {
            What::Write { file, content } => {
                let file = self.folder.path().join(file);
                fs::write(&file, content)
                    .unwrap_or_else(|error| panic!("line {line}: {}: {error}", file.display()));
            }
            What::Change { file, before, after } => self.change(line, file, before, after),
            What::Run { script, succeeds, printed } => self.run(line, script, *succeeds, printed.as_ref()),
            What::Background { script, printed } => self.start(line, script, printed.as_ref()),
        }
    }

    /// Ctrl-C in the other terminal.
    pub fn end(mut self) {
        let Some(mut terminal) = self.other_terminal.take() else {
            return;
        };
        terminal.interrupt();
        let ended = terminal.child.wait().unwrap();
        assert!(ended.success(), "line {}: {ended}\n{}", terminal.line, terminal.said());
    }

    fn change(&self, line: usize, file: &str, before: &str, after: &str) {
        let path = self.folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("line {line}: {file}: {error}"));
        assert_eq!(
            text.matches(before).count(),
            1,
            "line {line}: {file} does not have this once:\n{before}\n{text}"
        );
        fs::write(path, text.replace(before, after)).unwrap();
    }

    fn run(&mut self, line: usize, script: &str, succeeds: bool, printed: Option<&Printed<'_>>) {
        let place = self.folder.path().join(".here");
        // One stream, as a terminal shows it; and the next command begins where
        // this one ends.
        let script = format!("exec 2>&1\n{}\npwd > {place:?}\n", self.as_here(script).trim_end());
        let output = self.shell(&script).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.success(), succeeds, "line {line}: {}\n{said}", output.status);
        if let Some(printed) = printed {
            self.check(printed, &said);
        }
        if succeeds {
            self.here = fs::read_to_string(place).unwrap().trim_end().into();
        }
    }

    fn start(&mut self, line: usize, script: &str, printed: Option<&Printed<'_>>) {
        assert!(self.other_terminal.is_none(), "line {line}: a third terminal");
        let said = self.folder.path().join(".said");
        let file = File::create(&said).unwrap();
        let script = format!("exec {}", self.as_here(script).trim());
        let mut command = self.shell(&script);
        command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let terminal = self.other_terminal.insert(Terminal { child: command.spawn().unwrap(), said, line });
        let printed = printed.map(|printed| printed.text.to_owned() + "…\n").unwrap_or_default();
        wait_until(&format!("line {line}: it says what the guide says"), || {
            let said = terminal.said();
            let ended = terminal.child.try_wait().unwrap();
            assert!(ended.is_none(), "line {line}: it has ended: {ended:?}\n{said}");
            compare(&printed, &said, false).is_ok()
        });
        self.look_at_port();
    }

    /// The demo takes a free port if the usual one is taken.
    fn look_at_port(&mut self) {
        let Ok(config) = fs::read_to_string(self.here.join("waypool.toml")) else {
            return;
        };
        let port = config.lines().find_map(|line| line.strip_prefix("port = "));
        self.port = port.unwrap_or(PORT).to_owned();
    }

    fn as_here(&self, text: &str) -> String {
        text.replace(PORT, &self.port)
    }

    fn check(&self, printed: &Printed<'_>, said: &str) {
        if let Err(missing) = compare(&self.as_here(printed.text), said, printed.about) {
            panic!("line {}: this was expected: {missing}\nand this was said:\n{said}", printed.line);
        }
    }

    fn shell(&self, script: &str) -> Command {
        let installation = Installation::find().unwrap_or_else(|error| panic!("{error}"));
        let mut path = vec![self.folder.path().join(".bin"), installation.bin_dir().to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(&self.here)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("LC_ALL", "C.UTF-8")
            .env("PSQLRC", "/dev/null")
            .env("PAGER", "cat")
            .env("CARGO_TARGET_DIR", TARGET)
            .env("CARGO_TERM_COLOR", "never")
            .env("XDG_CACHE_HOME", self.folder.path().join(".cache"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }
}

impl Terminal {
    fn said(&self) -> String {
        fs::read_to_string(&self.said as &Path).unwrap_or_default()
    }

    fn interrupt(&self) {
        let group = Pid::from_raw(self.child.id().try_into().unwrap());
        let _ = killpg(group, Signal::SIGINT);
    }
}

/// A step has failed: nothing is left running.
impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.interrupt();
            let _ = self.child.wait();
        }
    }
}
