//! One log file: read whole at the start, written at its end.

use super::record::Record;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Transactions that are decided and not done, with their servers.
pub type Pending = HashMap<String, Vec<String>>;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{}:{line}: the line is damaged, and there are good ones behind it: decisions may be lost. See \
         \"A damaged log\" in docs/two-phase.md", path.display()
    )]
    Damaged { path: PathBuf, line: usize },
    #[error("{}: this is the log of another instance", path.display())]
    Strange { path: PathBuf },
}

pub fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    move |source| FileError::Io { path: path.to_owned(), source }
}

/// What is decided and not done. The last lines may be torn: nobody was told
/// of a decision before its line was written whole.
pub fn read(path: &Path, file: &mut File, instance: &str) -> Result<Pending, FileError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(at(path))?;
    let mut pending = Pending::new();
    let mut torn = None;
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let record = line.strip_suffix(b"\n").and_then(Record::read);
        match (record, torn) {
            (Some(_), Some(line)) => return Err(FileError::Damaged { path: path.to_owned(), line }),
            (Some(record), None) => apply(&mut pending, record, instance, path)?,
            (None, _) => torn = torn.or(Some(number)),
        }
    }
    if let Some(line) = torn {
        tracing::warn!(file = %path.display(), line, "the log's end is torn: nobody was told what it says");
    }
    Ok(pending)
}

fn apply(pending: &mut Pending, record: Record, instance: &str, path: &Path) -> Result<(), FileError> {
    match record {
        Record::Header { instance: its, .. } if its != instance => {
            return Err(FileError::Strange { path: path.to_owned() });
        }
        Record::Header { .. } => {}
        Record::Commit { gid, servers } => {
            pending.insert(gid, servers);
        }
        Record::Done { gid } => {
            pending.remove(&gid);
        }
    }
    Ok(())
}

/// A log with these decisions in it, in place of what is at `path`. Whoever has
/// it open holds its lock, by which others see that he lives.
pub fn write_anew(path: &Path, instance: &str, start: u64, pending: &Pending) -> Result<File, FileError> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .map_err(at(&new))?;
    file.lock().map_err(at(&new))?;
    let mut bytes = Vec::new();
    Record::Header { instance: instance.to_owned(), start }.write(&mut bytes);
    for (gid, servers) in pending {
        Record::Commit { gid: gid.clone(), servers: servers.clone() }.write(&mut bytes);
    }
    file.write_all(&bytes).map_err(at(&new))?;
    file.sync_all().map_err(at(&new))?;
    fs::rename(&new, path).map_err(at(path))?;
    sync_folder(path)?;
    Ok(file)
}

/// What was renamed or made in it is there after a power cut.
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}
