//! The bytes read from a socket and not yet handled.
//!
//! An idle connection holds no buffer: one is borrowed from the worker's
//! spares when a read begins and given back when everything in it is handled.
//! A read that fills its buffer doubles the next one, so that large results
//! flow in few system calls.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// The size of a fresh buffer; only buffers of this size are kept as spares.
const SMALL: usize = 16 * 1024;
/// How far the buffer grows by itself; a single longer frame grows it further.
const LARGE: usize = 256 * 1024;
/// Spare buffers a worker keeps.
const SPARES: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn borrow_buffer(size: usize) -> Box<[u8]> {
    if size == SMALL
        && let Some(buffer) = SPARE.with_borrow_mut(Vec::pop)
    {
        return buffer;
    }
    vec![0; size].into_boxed_slice()
}

fn give_back(buffer: Box<[u8]>) {
    if buffer.len() == SMALL {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARES {
                spare.push(buffer);
            }
        });
    }
}

/// A buffer between a socket and the code which takes frames out of it.
#[derive(Debug)]
pub struct Inbox {
    /// Empty while there is nothing in it.
    buffer: Box<[u8]>,
    /// The unhandled bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// The size of the buffer for the next read.
    size: usize,
    /// Bytes read and not yet counted.
    read: u64,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox { buffer: Box::default(), start: 0, end: 0, size: SMALL, read: 0 }
    }
}

impl Inbox {
    /// The unhandled bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `count` bytes are handled.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.start >= self.end {
            self.start = 0;
            self.end = 0;
            if !self.buffer.is_empty() {
                give_back(std::mem::take(&mut self.buffer));
            }
        }
    }

    /// The bytes read since this was last asked.
    pub fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// Puts bytes that were handled before back at the head.
    pub fn put_back(&mut self, bytes: &[u8]) {
        let mut all = borrow_buffer((bytes.len() + self.len()).next_power_of_two().max(SMALL));
        let end = bytes.len() + self.len();
        all[..bytes.len()].copy_from_slice(bytes);
        all[bytes.len()..end].copy_from_slice(self.bytes());
        give_back(std::mem::replace(&mut self.buffer, all));
        (self.start, self.end) = (0, end);
    }

    /// Makes room for a frame of `len` bytes that begins at the first unhandled byte.
    pub fn reserve(&mut self, len: usize) {
        if len > self.buffer.len() {
            let mut larger = borrow_buffer(len.next_power_of_two().max(SMALL));
            let held = self.len();
            larger[..held].copy_from_slice(self.bytes());
            give_back(std::mem::replace(&mut self.buffer, larger));
            self.start = 0;
            self.end = held;
        } else if self.start + len > self.buffer.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Reads once from `stream` into the free room; `Ready(0)` is its end.
    pub fn poll_fill<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        if self.buffer.is_empty() {
            self.buffer = borrow_buffer(self.size);
        } else if self.end == self.buffer.len() {
            if self.start > 0 {
                self.compact();
            } else {
                self.reserve(self.buffer.len() + 1);
            }
        }
        let mut room = ReadBuf::new(&mut self.buffer[self.end..]);
        let result = match Pin::new(stream).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(room.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if let Poll::Ready(Ok(count)) = result {
            self.end += count;
            self.read += count as u64;
            let full = self.end == self.buffer.len();
            self.size = if full { (self.buffer.len() * 2).min(LARGE) } else { SMALL };
        }
        if self.is_empty() {
            give_back(std::mem::take(&mut self.buffer));
        }
        let count = ready!(result)?;
        Poll::Ready(Ok(count))
    }
}
