//! Finds PostgreSQL's programs on this machine.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result};

/// Where distributions put server programs outside PATH: a parent folder, the
/// start of a version folder's name, and what follows it.
const KNOWN_PLACES: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// The programs without which there is no sandbox.
const SERVER: [&str; 2] = ["postgres", "initdb"];
/// These may be another version's.
const CLIENTS: [&str; 2] = ["pg_isready", "psql"];

/// A folder with PostgreSQL's server programs, and one with its client programs.
#[derive(Clone, Debug)]
pub struct Installation {
    bin_dir: PathBuf,
    clients: PathBuf,
    major_version: u32,
}

impl Installation {
    /// The folder named by `WAYPOOL_PG_BIN`, else the newest version installed.
    pub fn find() -> Result<Installation> {
        if let Some(folder) = env::var_os("WAYPOOL_PG_BIN") {
            return Installation::at(Path::new(&folder));
        }
        let candidates = candidates();
        candidates
            .iter()
            .filter_map(|folder| Installation::at(folder).ok())
            .max_by_key(|found| found.major_version)
            .ok_or_else(|| not_installed(candidates))
    }

    /// The installation whose server programs lie in `bin_dir`. Some packages
    /// bring nothing else: the clients are then those of another installation.
    pub fn at(bin_dir: &Path) -> Result<Installation> {
        let missing = || not_installed([bin_dir.to_path_buf()]);
        let has_server = has(bin_dir, &SERVER);
        let major_version = has_server.then(|| major_version(bin_dir)).flatten().ok_or_else(missing)?;
        let clients = match has(bin_dir, &CLIENTS) {
            true => Some(bin_dir.to_path_buf()),
            false => candidates().into_iter().rfind(|folder| has(folder, &CLIENTS)),
        };
        let clients = clients.ok_or_else(missing)?;
        Ok(Installation { bin_dir: bin_dir.to_path_buf(), clients, major_version })
    }

    /// Where a program of this name lies.
    pub fn program(&self, name: &str) -> PathBuf {
        let own = self.bin_dir.join(name);
        if own.is_file() { own } else { self.clients.join(name) }
    }

    /// `pg_basebackup` works with servers of its own version and older ones.
    pub(crate) fn has_base_backup(&self) -> bool {
        self.bin_dir.join("pg_basebackup").is_file()
    }

    /// The folder that holds `initdb`, `postgres` and mostly all the others; see
    /// [`Installation::program`].
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// 15 for PostgreSQL 15.4.
    pub fn major_version(&self) -> u32 {
        self.major_version
    }
}

fn has(folder: &Path, programs: &[&str]) -> bool {
    programs.iter().all(|name| folder.join(name).is_file())
}

fn not_installed(looked: impl IntoIterator<Item = PathBuf>) -> Error {
    let looked: Vec<String> = looked.into_iter().map(|p| p.display().to_string()).collect();
    let looked = if looked.is_empty() { "PATH and the usual places".to_owned() } else { looked.join(", ") };
    Error::NotInstalled { looked }
}

fn candidates() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    found.extend(from_path());
    found.extend(from_pg_config());
    for (parent, prefix, rest) in KNOWN_PLACES {
        let Ok(entries) = fs::read_dir(parent) else {
            continue;
        };
        let versions = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join(rest))
            .filter(|folder| folder.is_dir());
        found.extend(versions);
    }
    found
}

/// Links are followed: PATH often holds only links to some of the programs.
fn from_path() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let pg_ctl =
        env::split_paths(&path).map(|folder| folder.join("pg_ctl")).find(|program| program.is_file())?;
    Some(pg_ctl.canonicalize().ok()?.parent()?.to_path_buf())
}

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    folder.is_dir().then_some(folder)
}

/// Reads `postgres (PostgreSQL) 15.4 (Debian …)`, or `18beta1` in place of the number.
fn major_version(bin_dir: &Path) -> Option<u32> {
    let output = Command::new(bin_dir.join("postgres")).arg("--version").output().ok()?;
    parse_major_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_major_version(line: &str) -> Option<u32> {
    let (_, number) = line.split_once("(PostgreSQL) ")?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
