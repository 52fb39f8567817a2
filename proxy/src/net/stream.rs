//! One socket: TCP or Unix, plain or TLS, of either leg.

use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// A socket without TLS.
#[derive(Debug)]
pub enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that carries the protocol.
#[derive(Debug)]
pub enum Stream {
    Plain(Plain),
    /// A client's connection under TLS: we are its server.
    Accepted(Box<server::TlsStream<Plain>>),
    /// A connection to a server under TLS: we are its client.
    Connected(Box<client::TlsStream<Plain>>),
    /// In the middle of a handshake, and for good if that fails.
    Gone,
}

impl Stream {
    /// One write; how many bytes the socket took.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Accepted(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Connected(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Whether bytes may stay in a TLS buffer after a write.
    pub fn buffers_writes(&self) -> bool {
        matches!(self, Stream::Accepted(_) | Stream::Connected(_))
    }

    pub fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) | Stream::Gone => Poll::Ready(Ok(())),
            Stream::Accepted(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Connected(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    pub fn is_tls(&self) -> bool {
        self.buffers_writes()
    }

    /// Whether the other side has neither sent nor ended anything that waits
    /// to be read. The kernel is asked only if the runtime has heard of
    /// something: it hears before any client that speaks later.
    pub fn is_silent(&self) -> bool {
        let silent = match self.plain() {
            Some(Plain::Tcp(stream)) => stream.try_io(Interest::READABLE, || peek(SockRef::from(stream))),
            Some(Plain::Unix(stream)) => stream.try_io(Interest::READABLE, || peek(SockRef::from(stream))),
            None => return false,
        };
        matches!(silent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The socket under it all.
    pub fn plain(&self) -> Option<&Plain> {
        match self {
            Stream::Plain(stream) => Some(stream),
            Stream::Accepted(stream) => Some(stream.get_ref().0),
            Stream::Connected(stream) => Some(stream.get_ref().0),
            Stream::Gone => None,
        }
    }
}

fn peek(socket: SockRef<'_>) -> io::Result<usize> {
    socket.peek(&mut [MaybeUninit::uninit()])
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Plain::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Plain::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Plain::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Accepted(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Connected(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}
