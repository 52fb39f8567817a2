//! The folder of the logs.
//!
//! `instance` has the name of this Waypool, which stands in the names of all its
//! prepared transactions: two of them never touch each other's. Each process
//! has a log of its own, `1.log`, `2.log` and so on, and keeps it locked while
//! it lives: after a takeover two processes serve at the same time. The logs of
//! dead processes are taken over, and removed when all that was decided there
//! is done. The number of a process is never used again: the youngest log stays.

use super::file::{self, FileError, Pending, at};
use rand::RngExt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    pub instance: String,
    /// Nobody else looks for dead processes' logs while this is locked.
    door: File,
}

/// A log of a dead process; nobody else takes it over while this is held.
#[derive(Debug)]
pub struct Legacy {
    pub start: u64,
    pub pending: Pending,
    _lock: File,
}

impl Folder {
    /// Makes it if need be.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))?;
        let name = path.join("instance");
        let mut door = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&name)
            .map_err(at(&name))?;
        door.lock().map_err(at(&name))?;
        let mut instance = String::new();
        door.read_to_string(&mut instance).map_err(at(&name))?;
        if instance.is_empty() {
            instance = format!("{:016x}", rand::rng().random::<u64>());
            door.write_all(instance.as_bytes()).map_err(at(&name))?;
            door.sync_all().map_err(at(&name))?;
            file::sync_folder(&name)?;
        }
        door.unlock().map_err(at(&name))?;
        if instance.len() != 16 || !instance.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(FileError::Strange { path: name });
        }
        Ok(Folder { path: path.to_owned(), instance, door })
    }

    pub fn log(&self, start: u64) -> PathBuf {
        self.path.join(format!("{start}.log"))
    }

    /// A log for this process.
    pub fn begin(&self) -> Result<(u64, File), FileError> {
        let _inside = self.enter()?;
        let start = self.starts()?.into_iter().max().unwrap_or(0) + 1;
        let file = file::write_anew(&self.log(start), &self.instance, start, &Pending::new())?;
        Ok((start, file))
    }

    /// Takes over the logs of processes that are dead, but for those of `mine`.
    pub fn legacies(&self, mine: &[u64]) -> Result<Vec<Legacy>, FileError> {
        let _inside = self.enter()?;
        let mut legacies = Vec::new();
        for start in self.starts()?.into_iter().filter(|start| !mine.contains(start)) {
            let path = self.log(start);
            let mut file = File::open(&path).map_err(at(&path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
            }
            let pending = file::read(&path, &mut file, &self.instance)?;
            legacies.push(Legacy { start, pending, _lock: file });
        }
        Ok(legacies)
    }

    /// Whether a log is there.
    pub fn has(&self, start: u64) -> bool {
        // In doubt it is: then its transactions are left alone.
        self.log(start).try_exists().unwrap_or(true)
    }

    pub fn remove(&self, legacy: Legacy) {
        let path = self.log(legacy.start);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), "cannot remove a log that is done with: {error}");
        }
    }

    fn enter(&self) -> Result<Inside<'_>, FileError> {
        self.door.lock().map_err(at(&self.path))?;
        Ok(Inside(&self.door))
    }

    fn starts(&self) -> Result<Vec<u64>, FileError> {
        let entries = fs::read_dir(&self.path).map_err(at(&self.path))?;
        let number = |name: &str| name.strip_suffix(".log")?.parse::<u64>().ok();
        let mut starts = Vec::new();
        for entry in entries {
            let name = entry.map_err(at(&self.path))?.file_name();
            starts.extend(name.to_str().and_then(number));
        }
        starts.sort_unstable();
        Ok(starts)
    }
}

struct Inside<'a>(&'a File);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}
