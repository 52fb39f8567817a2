//! Runs PostgreSQL's programs: from which folder, as which user, in which
//! environment.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::account::Account;
use crate::ports::Port;
use crate::{Error, Installation, PASSWORD, Result};

/// What all servers of a sandbox share.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) installation: Installation,
    pub(crate) account: Account,
    pub(crate) folder: PathBuf,
    /// Of server 0; the others have those behind it. None: whichever are free.
    pub(crate) first_port: Option<u16>,
}

impl Workshop {
    /// The port of a server that is about to start.
    pub(crate) fn port(&self, id: usize) -> Result<Port> {
        let Some(first) = self.first_port else { return Port::reserve() };
        let wanted = u16::try_from(id).ok().and_then(|id| first.checked_add(id));
        wanted.and_then(Port::claim).ok_or(Error::PortTaken { port: wanted.unwrap_or(u16::MAX) })
    }

    /// A program that works on a server's files, as the servers' user.
    pub(crate) fn server_program(&self, name: &str) -> Command {
        let mut command = self.client_program(name);
        self.account.apply(&mut command);
        command
    }

    /// A program that talks to a server, as ourselves. The caller's libpq
    /// settings must not leak in, and messages stay in English.
    pub(crate) fn client_program(&self, name: &str) -> Command {
        let mut command = Command::new(self.installation.program(name));
        for (variable, _) in env::vars_os() {
            if variable.to_string_lossy().starts_with("PG") {
                command.env_remove(variable);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "10")
            .current_dir(&self.folder);
        command
    }

    /// Writes a file that only the servers' user may read.
    pub(crate) fn write_private(&self, path: &Path, content: &[u8]) -> Result<()> {
        fs::write(path, content).map_err(Error::io("write", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Error::io("protect", path))?;
        self.account.own(path)
    }

    /// Makes a folder that belongs to the servers' user.
    pub(crate) fn make_folder(&self, path: &Path) -> Result<()> {
        fs::create_dir(path).map_err(Error::io("create", path))?;
        self.account.own(path)
    }
}

/// Runs a program to its end and returns what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(Error::io("start", &program))?;
    finish(&program, output)
}

/// Turns the end of a program into its output or an error that quotes its complaint.
pub(crate) fn finish(program: &Path, output: Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(Error::Program {
        program: program.display().to_string(),
        status: output.status,
        output: format!("{}{}", text(&output.stdout), text(&output.stderr)),
    })
}
