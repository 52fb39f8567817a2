//! systemd: sockets that it opened (`LISTEN_FDS`), and words about how the
//! proxy does (`NOTIFY_SOCKET`). Elsewhere all this does nothing.

use super::{Address, Inherited};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::io;
use std::os::fd::OwnedFd;

impl Inherited {
    /// From systemd. Empty: it gave none.
    pub fn from_systemd() -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let mut inherited = Inherited::default();
        for index in 0..given.len() {
            // Each of the two refuses a socket of the other's kind.
            if let Ok(Some(listener)) = given.take_tcp_listener(index) {
                listener.set_nonblocking(true)?;
                let address = Address::Tcp(listener.local_addr()?);
                inherited.sockets.push((address, OwnedFd::from(listener)));
                continue;
            }
            let listener = given.take_unix_listener(index).map_err(|error| {
                io::Error::other(format!(
                    "socket {index} of LISTEN_FDS is none that clients can connect to ({error}): \
                     write ListenStream= into the socket unit"
                ))
            })?;
            if let Some(listener) = listener {
                listener.set_nonblocking(true)?;
                let path = listener.local_addr()?.as_pathname().map(ToOwned::to_owned);
                inherited.sockets.push((Address::Unix(path.unwrap_or_default()), OwnedFd::from(listener)));
            }
        }
        inherited.by_systemd = !inherited.sockets.is_empty();
        Ok(inherited)
    }
}

/// This process serves now, also where another was the service's main one.
pub fn ready() {
    notify(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
}

pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("no monotonic clock: {error}"),
    }
}

pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!("systemd could not be told: {error}");
    }
}
