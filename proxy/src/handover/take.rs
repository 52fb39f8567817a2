//! The new process: asks for the sockets, and says when it serves.

use super::give::Offer;
use super::{Address, PROTOCOL, message};
use crate::proxy::Proxy;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// Sockets that are open already.
#[derive(Debug, Default)]
pub struct Inherited {
    pub(super) sockets: Vec<(Address, OwnedFd)>,
    /// They are all to be used, whatever the configuration says of addresses.
    pub(super) by_systemd: bool,
    predecessors: Vec<OwnedFd>,
    /// To the old process.
    channel: Option<StdUnixStream>,
}

#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    #[error("--takeover: the running proxy does not hand its sockets over: {0}")]
    Refused(String),
    #[error(
        "--takeover: the running proxy does not answer as expected, is it of another version of Waypool? {0}"
    )]
    Strange(String),
    #[error("--takeover: {0}")]
    Io(#[from] io::Error),
    #[error("--takeover: the running proxy did not answer within 30 s")]
    Timeout,
    #[error(
        "--takeover needs the admin socket of the running proxy: write socket = \"waypool.admin\" into [admin], \
         and restart once without it"
    )]
    NoSocket,
}

impl Inherited {
    /// From the process that takes orders at `socket`. `None`: there is none.
    pub fn from_running(socket: Option<&Path>) -> Result<Option<Self>, TakeoverError> {
        let socket = socket.ok_or(TakeoverError::NoSocket)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let stream = match UnixStream::connect(socket).await {
                Ok(stream) => stream,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            timeout(PATIENCE, ask(stream)).await.unwrap_or(Err(TakeoverError::Timeout)).map(Some)
        })
    }

    /// The socket that listens there, if there is one.
    pub fn take(&mut self, address: &Address) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|(known, _)| known == address)?;
        Some(self.sockets.swap_remove(at).1)
    }

    /// All sockets, if they are systemd's.
    pub fn take_all(&mut self) -> Vec<(Address, OwnedFd)> {
        match self.by_systemd {
            true => std::mem::take(&mut self.sockets),
            false => Vec::new(),
        }
    }

    /// Clients are served: the old process is to leave them to this one. Its
    /// clients may stay for `limit`.
    pub fn serving(mut self, proxy: &Proxy, limit: Option<Duration>) -> io::Result<()> {
        for (address, _) in &self.sockets {
            tracing::info!("no longer listening on {address:?}, as the configuration says");
            if let Address::Unix(path) = address {
                let _ = std::fs::remove_file(path);
            }
        }
        for channel in self.predecessors.drain(..) {
            proxy.predecessors.add(channel.into())?;
        }
        let Some(mut channel) = self.channel.take() else {
            return Ok(());
        };
        channel.set_nonblocking(false)?;
        channel.set_read_timeout(Some(PATIENCE))?;
        let limit = limit.map_or_else(String::new, |limit| format!(" {}", limit.as_millis()));
        channel.write_all(format!("ready{limit}\n").as_bytes())?;
        let mut leaving = [0; b"leaving\n".len()];
        channel.read_exact(&mut leaving)?;
        proxy.predecessors.add(channel)
    }
}

async fn ask(stream: UnixStream) -> Result<Inherited, TakeoverError> {
    let strange = |error: &dyn std::fmt::Display| TakeoverError::Strange(error.to_string());
    let mut stream = upgrade(stream).await?;
    // Only now: what came with the answer to the request would be lost.
    stream.write_all(b"sockets\n").await?;
    let (offer, mut sockets) = message::receive(&mut stream).await?;
    let offer: Offer = serde_json::from_str(&offer).map_err(|error| strange(&error))?;
    if sockets.len() != offer.sockets.len() + offer.predecessors {
        return Err(strange(&"the number of sockets is wrong"));
    }
    let predecessors = sockets.split_off(offer.sockets.len());
    tracing::info!(pid = offer.pid, sockets = sockets.len(), "taking over from the running proxy");
    Ok(Inherited {
        sockets: offer.sockets.into_iter().zip(sockets).collect(),
        by_systemd: false,
        predecessors,
        channel: Some(stream.into_std()?),
    })
}

async fn upgrade(stream: UnixStream) -> Result<UnixStream, TakeoverError> {
    let strange = |error: &dyn std::fmt::Display| TakeoverError::Strange(error.to_string());
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| strange(&error))?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::post("/v1/takeover")
        .header(HOST, "localhost")
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, PROTOCOL)
        .body(Empty::<Bytes>::new())
        .map_err(|error| strange(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| strange(&error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let body = answer.into_body().collect().await.map_err(|error| strange(&error))?.to_bytes();
        return Err(match serde_json::from_slice::<crate::admin::api::Failure>(&body) {
            Ok(failure) => TakeoverError::Refused(failure.error),
            Err(_) => strange(&String::from_utf8_lossy(&body)),
        });
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(|error| strange(&error))?;
    let parts = upgraded
        .downcast::<TokioIo<UnixStream>>()
        .map_err(|_| strange(&"the connection is of another kind"))?;
    Ok(parts.io.into_inner())
}
