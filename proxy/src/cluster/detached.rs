//! Which servers have missed a write and must not be used: native replication
//! remembers them across restarts, in Pgpool-II's file `pgpool_status`.
//!
//! The file has a line for each server, `up`, `down` or `unused`. A server that
//! is `down` there stays so until an operator has copied the data of another one
//! to it and attached it: by writing `up` into its line while Waypool is stopped.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const NAME: &str = "pgpool_status";

/// The servers that are detached, and the file that says so.
#[derive(Debug)]
pub struct Detached {
    file: PathBuf,
    servers: Mutex<Vec<bool>>,
}

impl Detached {
    /// What the file in this folder says of so many servers; writes it, so that
    /// a folder which cannot be written to is known at once.
    pub fn open(folder: &Path, servers: usize) -> io::Result<Self> {
        let file = folder.join(NAME);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut detached = vec![false; servers];
        for (detached, line) in detached.iter_mut().zip(text.lines()) {
            *detached = line.trim().eq_ignore_ascii_case("down");
        }
        if servers > 0 && detached.iter().all(|detached| *detached) {
            let why = format!("{} says that every server is down: write \"up\" for one", file.display());
            return Err(io::Error::other(why));
        }
        write(&file, &detached)?;
        Ok(Detached { file, servers: Mutex::new(detached) })
    }

    /// Their numbers.
    pub fn servers(&self) -> Vec<usize> {
        self.lock().iter().enumerate().filter(|(_, detached)| **detached).map(|(id, _)| id).collect()
    }

    /// Detaches a server, unless it is the last one; whether it is detached now
    /// and was not before. The file says so before this returns.
    pub fn add(&self, server: usize) -> io::Result<bool> {
        let mut servers = self.lock();
        let others = servers.iter().enumerate().any(|(id, detached)| id != server && !detached);
        match servers.get_mut(server) {
            Some(detached) if !*detached && others => *detached = true,
            _ => return Ok(false),
        }
        write(&self.file, &servers)?;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<bool>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole or not at all, and on the disk.
fn write(file: &Path, detached: &[bool]) -> io::Result<()> {
    let lines = detached.iter().map(|detached| if *detached { "down\n" } else { "up\n" });
    let text: String = lines.collect();
    let new = file.with_extension("new");
    let mut out = std::fs::File::create(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&new, file)?;
    match file.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
