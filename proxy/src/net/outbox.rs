//! Bytes on their way to a socket.

use super::Stream;
use std::io;
use std::task::{Context, Poll, ready};

/// What could not be written at once. It stays empty as long as the other
/// side reads as fast as we write; while it is not empty nothing more is read
/// for it, so it is bounded by one buffer.
#[derive(Debug, Default)]
pub struct Outbox {
    pending: Vec<u8>,
    /// `pending[..written]` has been sent.
    written: usize,
    /// TLS has taken bytes that the socket has not.
    unflushed: bool,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && !self.unflushed
    }

    /// Bytes to be sent by the next flush.
    pub fn push(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Frees the memory that it has, if there is nothing in it.
    pub fn lay_down(&mut self) {
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }

    /// Sends `bytes` after what is pending: straight from where they lie if
    /// the socket takes them, copied here if it does not.
    pub fn send(&mut self, cx: &mut Context<'_>, stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
        if self.pending.is_empty() {
            while !bytes.is_empty() {
                match stream.poll_send(cx, bytes) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => bytes = &bytes[count..],
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.is_empty() && stream.buffers_writes() {
            self.unflushed = stream.poll_flush_all(cx)?.is_pending();
        }
        Ok(())
    }

    /// Sends what is pending; ready when nothing is left.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            match ready!(stream.poll_send(cx, &self.pending[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.written = 0;
        if self.pending.capacity() > 64 * 1024 {
            self.pending = Vec::new();
        } else {
            self.pending.clear();
        }
        if stream.buffers_writes() {
            self.unflushed = true;
            ready!(stream.poll_flush_all(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
