//! The old process: gives its sockets away, and serves those who stay.

use super::{Address, message};
use crate::life::{Giving, Mode};
use crate::proxy::Proxy;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The successor asked when it was ready: it will not take long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the new process gets, besides the sockets themselves.
#[derive(Debug, Serialize, Deserialize)]
pub struct Offer {
    pub pid: u32,
    /// In the order of the sockets.
    pub sockets: Vec<Address>,
    /// Channels to older processes, behind them.
    pub predecessors: usize,
}

/// Speaks to the successor from the beginning to the end of one of the two.
pub async fn give(proxy: Arc<Proxy>, giving: Giving, mut stream: UnixStream) {
    let limit = match timeout(PATIENCE, offer(&proxy, &mut stream)).await {
        Ok(Ok(limit)) => limit,
        Ok(Err(error)) => return tracing::warn!("the takeover came to nothing, going on: {error}"),
        Err(_) => return tracing::warn!("the takeover took too long, going on"),
    };
    proxy.hand_over(limit);
    drop(giving);
    if stream.write_all(b"leaving\n").await.is_err() {
        return;
    }
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if obey(&proxy, &line, &mut lines).await.is_err() {
            return;
        }
    }
}

/// Returns what the successor says: how long the clients may stay.
async fn offer(proxy: &Proxy, stream: &mut UnixStream) -> io::Result<Option<Duration>> {
    expect(stream, "sockets").await?;
    let (addresses, mut sockets) = proxy.listeners.share()?;
    let predecessors = proxy.predecessors.share()?;
    let offer = Offer { pid: std::process::id(), sockets: addresses, predecessors: predecessors.len() };
    sockets.extend(predecessors);
    message::send(stream, &serde_json::to_string(&offer)?, &sockets).await?;
    let limit = expect(stream, "ready").await?;
    Ok(limit.parse().ok().map(Duration::from_millis))
}

/// The next line, behind its first word.
async fn expect(stream: &mut UnixStream, word: &str) -> io::Result<String> {
    let (line, _) = message::receive(stream).await?;
    match line.strip_prefix(word) {
        Some(rest) => Ok(rest.trim().to_owned()),
        None => Err(io::Error::other(format!("\"{word}\" was expected, not \"{line}\""))),
    }
}

async fn obey(proxy: &Proxy, line: &str, lines: &mut Lines<BufReader<UnixStream>>) -> io::Result<()> {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("cancel"), Some(pid), Some(key)) => {
            if let (Ok(pid), Some(key)) = (pid.parse(), from_hex(key)) {
                proxy.cancels.cancel(pid, &key).await;
            }
            lines.get_mut().write_all(b"done\n").await
        }
        (Some("stop"), Some("fast"), None) => {
            proxy.shutdown(Mode::Fast);
            Ok(())
        }
        (Some("stop"), Some("immediate"), None) => {
            proxy.shutdown(Mode::Immediate);
            Ok(())
        }
        _ => Err(io::Error::other("the successor speaks another language")),
    }
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
