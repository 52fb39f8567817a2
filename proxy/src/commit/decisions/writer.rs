//! The thread that writes decisions down. All that has come while it waited
//! for the disk goes with the next write, and is waited for once.

use super::Ticket;
use super::file::{self, Pending};
use super::folder::Folder;
use super::record::Record;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tokio::sync::oneshot;

/// What is done is thrown out of a log that has become this large.
const LARGEST: u64 = 8 << 20;

/// Why a decision was not written down.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecideError {
    /// It is not in the log for sure: the transaction can be rolled back.
    #[error("the decision cannot be written down: {0}")]
    NotDecided(Arc<str>),
    /// It may be, and may not: only a restart will tell.
    #[error("whether the decision is written down is not known: {0}")]
    InDoubt(Arc<str>),
}

pub enum Request {
    Commit { ticket: Ticket, servers: Vec<String>, answer: oneshot::Sender<Result<(), DecideError>> },
    Done { gid: String },
}

struct Writer {
    folder: Arc<Folder>,
    start: u64,
    file: File,
    length: u64,
    /// As the file says.
    pending: Pending,
    /// The disk failed to keep what it had taken: nothing more is written.
    broken: Option<Arc<str>>,
}

/// Ends when the sender is dropped.
pub fn start(folder: Arc<Folder>, start: u64, file: File) -> io::Result<Sender<Request>> {
    let (sender, requests) = channel();
    let length = file.metadata()?.len();
    let mut writer = Writer { folder, start, file, length, pending: Pending::new(), broken: None };
    thread::Builder::new().name("waypool-decisions".to_owned()).spawn(move || writer.run(&requests))?;
    Ok(sender)
}

impl Writer {
    fn run(&mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let batch: Vec<Request> = std::iter::once(first).chain(requests.try_iter()).collect();
            let written = self.write(&batch);
            for request in batch {
                match request {
                    Request::Commit { ticket, servers, answer } => {
                        ticket.note(&servers, &written);
                        if written.is_ok() {
                            self.pending.insert(ticket.gid().to_owned(), servers);
                        }
                        let _ = answer.send(written.clone());
                    }
                    Request::Done { gid } => drop(self.pending.remove(&gid)),
                }
            }
            if self.length > LARGEST && self.broken.is_none() {
                self.compact();
            }
        }
    }

    fn write(&mut self, batch: &[Request]) -> Result<(), DecideError> {
        if let Some(why) = &self.broken {
            return Err(DecideError::NotDecided(why.clone()));
        }
        let mut bytes = Vec::new();
        let mut decides = false;
        for request in batch {
            let record = match request {
                Request::Commit { ticket, servers, .. } => {
                    decides = true;
                    Record::Commit { gid: ticket.gid().to_owned(), servers: servers.clone() }
                }
                Request::Done { gid } => Record::Done { gid: gid.clone() },
            };
            record.write(&mut bytes);
        }
        if let Err(error) = self.file.write_all(&bytes) {
            return Err(self.take_back(&error));
        }
        self.length += bytes.len() as u64;
        // That something is done need not be known after a power cut.
        let kept = if decides { self.file.sync_data() } else { Ok(()) };
        match kept {
            Ok(()) => Ok(()),
            Err(error) => {
                let why: Arc<str> = error.to_string().into();
                tracing::error!("two-phase log: {error}: no transaction is committed until a restart");
                self.broken = Some(why.clone());
                Err(DecideError::InDoubt(why))
            }
        }
    }

    /// A disk that is full has written a part of it.
    fn take_back(&mut self, error: &io::Error) -> DecideError {
        let why: Arc<str> = error.to_string().into();
        let cut = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::End(0)));
        match cut {
            Ok(_) => DecideError::NotDecided(why),
            Err(_) => {
                self.broken = Some(why.clone());
                DecideError::InDoubt(why)
            }
        }
    }

    fn compact(&mut self) {
        let path = self.folder.log(self.start);
        let anew = file::write_anew(&path, &self.folder.instance, self.start, &self.pending);
        match anew.and_then(|file| Ok((file.metadata().map_err(file::at(&path))?.len(), file))) {
            Ok((length, file)) => (self.length, self.file) = (length, file),
            Err(error) => {
                tracing::warn!("the two-phase log stays as long as it is: {error}");
                // Tried again when it has grown as much again.
                self.length = 0;
            }
        }
    }
}
