//! What can go wrong with a sandbox, told so that the reader knows what to do next.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why a sandbox could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PostgreSQL server programs on this machine.
    #[error(
        "no PostgreSQL server found (looked in {looked}); install it (Debian: `apt-get install \
         postgresql`, Fedora: `dnf install postgresql-server`, macOS: `brew install postgresql`) \
         or set WAYPOOL_PG_BIN to the folder that holds initdb"
    )]
    NotInstalled { looked: String },

    /// PostgreSQL refuses to run as root and there is no user to run it as.
    #[error(
        "PostgreSQL does not run as root, and this system has neither a user `postgres` nor a user \
         `nobody`; create one (`useradd --system postgres`) or run as an ordinary user"
    )]
    NoAccount,

    /// No folder for temporary files that the servers' user can reach.
    #[error(
        "no folder for the servers: {tried} must be writable, reachable by the user `{user}`, and \
         short enough for a Unix socket; set TMPDIR to one that is"
    )]
    NoFolder { tried: String, user: String },

    /// All ports that the sandbox may use are taken.
    #[error("no free TCP port between {low} and {high}; stop some servers and try again")]
    NoPort { low: u16, high: u16 },

    /// The port that was asked for is not free.
    #[error("somebody listens on port {port}, or another sandbox has it; choose another first port")]
    PortTaken { port: u16 },

    /// A file or a program could not be opened, written or started.
    #[error("cannot {doing} {path}: {source}")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },

    /// A program of PostgreSQL ran and reported an error.
    #[error("{program} failed ({status}): {output}")]
    Program { program: String, status: ExitStatus, output: String },

    /// A server ended though it should have started.
    #[error("server{server} ended while starting ({status}); the end of its log:\n{log_tail}")]
    Ended { server: usize, status: ExitStatus, log_tail: String },

    /// A condition did not come true in time.
    #[error("server{server}: waited {waited:?} in vain until {condition}; the end of its log:\n{log_tail}")]
    Timeout { server: usize, condition: &'static str, waited: Duration, log_tail: String },
}

impl Error {
    /// For `map_err`: names what was tried on which path.
    pub(crate) fn io<'a>(
        doing: &'static str,
        path: impl AsRef<Path> + 'a,
    ) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { doing, path: path.as_ref().to_path_buf(), source }
    }
}
