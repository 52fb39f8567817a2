//! Old processes whose clients have not all left: what comes in here for one
//! of those clients is sent there.

use super::give::to_hex;
use crate::life::Mode;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A cancel request waits for the server's answer there.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub struct Predecessors(Mutex<Vec<UnixStream>>);

impl Predecessors {
    pub fn add(&self, channel: UnixStream) -> io::Result<()> {
        channel.set_nonblocking(false)?;
        channel.set_read_timeout(Some(PATIENCE))?;
        channel.set_write_timeout(Some(PATIENCE))?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Asks each of them to cancel the query of this client; who does not know
    /// it does nothing. Blocks until they have.
    pub fn cancel(&self, pid: u32, key: &[u8]) {
        let line = format!("cancel {pid} {}\n", to_hex(key));
        self.tell(|channel| {
            channel.write_all(line.as_bytes())?;
            let mut done = [0; b"done\n".len()];
            channel.read_exact(&mut done)
        });
    }

    /// They are to end as well.
    pub fn stop(&self, mode: Mode) {
        let line = format!("stop {mode}\n");
        self.tell(|channel| channel.write_all(line.as_bytes()));
    }

    /// Those who do not answer have ended.
    fn tell(&self, say: impl Fn(&mut UnixStream) -> io::Result<()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|channel| say(channel).is_ok());
    }

    /// They are another's to speak to.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// For the next successor.
    pub fn share(&self) -> io::Result<Vec<OwnedFd>> {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        channels.iter().map(|channel| channel.try_clone().map(OwnedFd::from)).collect()
    }
}
