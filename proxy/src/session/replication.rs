//! Replication connections: `replication=true` and `replication=database`.
//!
//! Each has a server connection of its own, that of the primary unless the
//! client asks for another server: `options='-c waypool.backend=1'`. It is never
//! shared and never kept. Behind the login every byte is passed on as it comes,
//! in both directions; only the headers of the server's messages are counted
//! through, to know where words of ours may stand.

use super::link::bit;
use super::links::no_primary;
use super::login::killed;
use super::{Client, cancel};
use crate::auth::server::Credentials;
use crate::census;
use crate::cluster::Backend;
use crate::life::Phase;
use crate::net::{Inbox, Outbox, Stream};
use crate::pool::{Identity, ServerConn};
use crate::protocol::options::take_setting;
use crate::protocol::startup::Startup;
use crate::protocol::{HEADER_LEN, PgError, backend};
use crate::proxy::Proxy;
use crate::worker::Worker;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;

/// The setting by which a client asks for a server.
const BACKEND: &str = "waypool.backend";

/// A replication connection after its login.
pub struct Replication {
    conn: Box<ServerConn>,
    backend: usize,
    cancel: cancel::Handle,
    frames: Frames,
    /// The server takes no more; it may still have something to say.
    deaf: bool,
}

/// Where in the server's messages its bytes have come to.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_LEN],
    /// Bytes of the header that are known.
    known: usize,
    /// Bytes of the body that are still to come.
    left: usize,
}

/// Why one direction has come to its end.
enum Ended {
    /// The side that is read from has nothing more to say, or is gone.
    Read,
    /// The side that is written to is gone.
    Write,
}

impl Replication {
    /// Connects to the server and greets the client.
    pub async fn begin(
        worker: &Worker,
        client: &mut Client,
        mut startup: Startup,
        credentials: &Credentials,
        member: &census::Client,
    ) -> Result<Self, PgError> {
        let proxy = &worker.proxy;
        let server = server(proxy, &mut startup)?;
        let pool = proxy.pools.get(server.id).ok_or_else(no_primary)?;
        let minor = startup.minor;
        // No other connection is like this one: none is taken from the pool,
        // but it has its place in it.
        let checkout = pool.checkout(&identity(startup), credentials, member).await;
        let mut conn = checkout.map_err(|error| {
            if error.is_server_failure() {
                proxy.cluster.report_failure(server.id, &error.to_string());
            }
            error.to_client(&server)
        })?;
        // It ends in whatever state it is in then, without a goodbye of ours.
        conn.broken = true;
        let mut cancel = proxy.cancels.enter(if minor >= 2 { 32 } else { 4 });
        cancel.add(server.id, pool.clone(), conn.pid, conn.key.clone()).await;
        cancel.set_running(bit(server.id));
        cancel.take_pid(conn.pid);
        let mut out = Vec::with_capacity(1024);
        backend::authentication_ok(&mut out);
        for (name, value) in conn.parameters.iter() {
            backend::parameter_status(&mut out, name, value);
        }
        backend::backend_key_data(&mut out, cancel.pid, cancel.key());
        backend::ready_for_query(&mut out, conn.status);
        client.send(&out).map_err(|error| PgError::fatal("08006", error.to_string()))?;
        Ok(Replication { conn, backend: server.id, cancel, frames: Frames::default(), deaf: false })
    }

    /// Passes bytes on until one side ends. If the proxy does, what the client
    /// is told, if anything can be said.
    pub async fn run(
        mut self,
        client: &mut Client,
        mut stop: watch::Receiver<Phase>,
        member: &census::Client,
    ) -> Result<(), PgError> {
        let stopped = tokio::select! {
            () = poll_fn(|cx| self.poll_pass(cx, client)) => Ok(()),
            () = member.kill.wait() => Err(killed()),
            _ = stop.wait_for(|phase| *phase >= Phase::Fast) => {
                Err(PgError::fatal("57P01", "terminating connection due to administrator command"))
            }
        };
        self.cancel.remove(self.backend).await;
        let may_speak = *stop.borrow() != Phase::Immediate && self.frames.is_between();
        if may_speak { stopped } else { Ok(()) }
    }

    fn poll_pass(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<()> {
        let ServerConn { stream, inbox, outbox, .. } = &mut *self.conn;
        if !self.deaf {
            let up = poll_direction(cx, (&mut client.stream, &mut client.inbox), (stream, outbox), |_| {});
            match up {
                Poll::Ready(Ended::Read) => return Poll::Ready(()),
                Poll::Ready(Ended::Write) => self.deaf = true,
                Poll::Pending => {}
            }
        }
        let frames = &mut self.frames;
        let to_client = (&mut client.stream, &mut client.outbox);
        poll_direction(cx, (stream, inbox), to_client, |bytes| frames.count(bytes)).map(|_| ())
    }
}

/// Moves bytes from one side to the other as long as there are any, and as
/// fast as they are taken.
fn poll_direction(
    cx: &mut Context<'_>,
    (from, inbox): (&mut Stream, &mut Inbox),
    (to, outbox): (&mut Stream, &mut Outbox),
    mut seen: impl FnMut(&[u8]),
) -> Poll<Ended> {
    loop {
        match outbox.poll_flush(cx, to) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Ended::Write),
            Poll::Pending => return Poll::Pending,
        }
        if !inbox.is_empty() {
            seen(inbox.bytes());
            let sent = outbox.send(cx, to, inbox.bytes());
            inbox.consume(inbox.len());
            if sent.is_err() {
                return Poll::Ready(Ended::Write);
            }
            continue;
        }
        match inbox.poll_fill(cx, from) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ended::Read),
            Poll::Ready(Ok(_)) => {}
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// The server that the client asks for; the wish is not for the server to see.
fn server(proxy: &Proxy, startup: &mut Startup) -> Result<Arc<Backend>, PgError> {
    let options = startup.parameters.iter().position(|(name, _)| name == "options");
    let wish = options.and_then(|at| {
        let (wish, left) = take_setting(&startup.parameters[at].1, BACKEND);
        startup.parameters[at].1 = left;
        wish
    });
    let Some(wish) = wish else {
        return proxy.cluster.primary().cloned().ok_or_else(no_primary);
    };
    let backends = &proxy.cluster.backends;
    let asked_for = wish.parse().ok().and_then(|id: usize| backends.get(id));
    asked_for.cloned().ok_or_else(|| {
        PgError::fatal("22023", format!("invalid value for parameter \"{BACKEND}\": \"{wish}\""))
            .with_hint("It is the number of a server, from 0: SHOW pool_nodes lists them.")
    })
}

fn identity(startup: Startup) -> Arc<Identity> {
    let mut parameters = startup.parameters;
    parameters.retain(|(name, value)| name != "options" || !value.is_empty());
    parameters.extend(startup.replication.map(|kind| ("replication".to_owned(), kind.value().to_owned())));
    Arc::new(Identity { user: startup.user.into(), database: startup.database.into(), parameters })
}

// === impl Frames ===

impl Frames {
    fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let body = self.left.min(bytes.len());
            self.left -= body;
            bytes = &bytes[body..];
            let header = (HEADER_LEN - self.known).min(bytes.len());
            self.header[self.known..self.known + header].copy_from_slice(&bytes[..header]);
            self.known += header;
            bytes = &bytes[header..];
            if self.known == HEADER_LEN {
                let [_, length @ ..] = self.header;
                self.left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                self.known = 0;
            }
        }
    }

    /// All messages so far were whole.
    fn is_between(&self) -> bool {
        self.left == 0 && self.known == 0
    }
}

#[cfg(test)]
mod tests;
