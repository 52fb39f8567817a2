//! Up to the startup packet: TLS, cancel requests, protocol versions.

use crate::auth::hba::Peer;
use crate::net::Stream;
use crate::protocol::startup::{self, NEWEST_MINOR, Request, Startup};
use crate::protocol::{PgError, backend};
use crate::session::{Client, End};
use crate::worker::Worker;
use std::future::{pending, poll_fn};
use std::rc::Rc;

/// A client that has not said yet who it is.
pub(super) struct Newcomer {
    pub client: Client,
    pub peer: Peer,
}

impl Newcomer {
    /// Reads packets until the startup packet, and does what they ask.
    pub(super) async fn greet(&mut self, worker: &Rc<Worker>) -> Result<Option<Startup>, End> {
        let (mut ssl_asked, mut gss_asked) = (false, false);
        loop {
            match self.read_request().await? {
                Request::Ssl if !ssl_asked && !self.client.stream.is_tls() => {
                    ssl_asked = true;
                    self.answer_ssl(worker).await?;
                }
                Request::GssEnc if !gss_asked && !self.client.stream.is_tls() => {
                    gss_asked = true;
                    self.refuse_early_data("GSSAPI encryption")?;
                    self.send(b"N").await?;
                }
                Request::Cancel { pid, key } => {
                    worker.proxy.cancel(pid, key).await;
                    return Ok(None);
                }
                Request::Startup(startup) => {
                    self.negotiate(&startup).await?;
                    return Ok(Some(startup));
                }
                Request::Ssl | Request::GssEnc => {
                    let error = "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2";
                    return Err(End::Fatal(PgError::fatal("0A000", error)));
                }
            }
        }
    }

    async fn read_request(&mut self) -> Result<Request, End> {
        loop {
            let read =
                startup::read(self.client.inbox.bytes()).map_err(|error| End::Fatal(error.to_client()))?;
            if let Some((request, len)) = read {
                self.client.inbox.consume(len);
                return Ok(request);
            }
            self.fill().await?;
        }
    }

    pub(super) async fn fill(&mut self) -> Result<(), End> {
        let Client { stream, inbox, .. } = &mut self.client;
        match poll_fn(|cx| inbox.poll_fill(cx, stream)).await {
            Ok(0) | Err(_) => Err(End::Client),
            Ok(_) => Ok(()),
        }
    }

    /// Returns when the client leaves, which has nothing to say now.
    pub(super) async fn gone(&mut self) -> End {
        match self.fill().await {
            Err(end) => end,
            Ok(()) => pending().await,
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.client.outbox.push().extend_from_slice(bytes);
        let Client { stream, outbox, .. } = &mut self.client;
        poll_fn(|cx| outbox.poll_flush(cx, stream)).await.map_err(|_| End::Client)
    }

    /// Bytes sent before the handshake could be an attacker's, who would have
    /// them taken for the client's own (CVE-2021-23214).
    fn refuse_early_data(&self, what: &str) -> Result<(), End> {
        if self.client.inbox.is_empty() {
            return Ok(());
        }
        let error = PgError::fatal("08P01", format!("received unencrypted data after {what} request"))
            .with_detail("This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.");
        Err(End::Fatal(error))
    }

    async fn answer_ssl(&mut self, worker: &Rc<Worker>) -> Result<(), End> {
        self.refuse_early_data("SSL")?;
        let access = worker.proxy.access();
        // PostgreSQL offers no TLS on Unix sockets either.
        let Some(acceptor) = access.acceptor.as_ref().filter(|_| self.peer.address.is_some()) else {
            return self.send(b"N").await;
        };
        self.send(b"S").await?;
        let Stream::Plain(plain) = std::mem::replace(&mut self.client.stream, Stream::Gone) else {
            return Err(End::Client);
        };
        let accepted = acceptor.accept(plain).await.map_err(|error| {
            tracing::info!("TLS handshake with a client failed: {error}");
            End::Client
        })?;
        self.client.stream = Stream::Accepted(Box::new(accepted));
        self.peer.tls = true;
        Ok(())
    }

    /// Tells a client which asks for more than we speak what we speak.
    async fn negotiate(&mut self, startup: &Startup) -> Result<(), End> {
        if startup.minor <= NEWEST_MINOR && startup.protocol_options.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        backend::negotiate_protocol_version(
            &mut out,
            startup.minor.min(NEWEST_MINOR),
            &startup.protocol_options,
        );
        self.send(&out).await
    }
}
