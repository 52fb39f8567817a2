//! One line, and file descriptors with it, through a Unix socket.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// The kernel's limit is 253 for each message.
const MOST_SOCKETS: usize = 250;
/// Of a line.
const LONGEST: usize = 1 << 20;

/// Sends `line`, which has no line feed, and the sockets.
pub async fn send(stream: &mut UnixStream, line: &str, sockets: &[OwnedFd]) -> io::Result<()> {
    if sockets.len() > MOST_SOCKETS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there are too many sockets"));
    }
    let line = format!("{line}\n");
    let borrowed: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
                return Err(io::Error::other("the sockets do not fit into a message"));
            }
            Ok(sendmsg(&*stream, &[IoSlice::new(line.as_bytes())], &mut control, SendFlags::NOSIGNAL)?)
        })
        .await?;
    // The sockets went with the first bytes.
    stream.write_all(&line.as_bytes()[sent..]).await
}

/// Receives what `send` sent; nothing may come behind it yet.
pub async fn receive(stream: &mut UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut line = vec![0; 64 * 1024];
    let (count, sockets) = stream
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let into = &mut [IoSliceMut::new(&mut line)];
            let received = recvmsg(&*stream, into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let mut sockets = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(more) = message {
                    sockets.extend(more);
                }
            }
            Ok((received.bytes, sockets))
        })
        .await?;
    line.truncate(count);
    while line.last() != Some(&b'\n') {
        if stream.read_buf(&mut line).await? == 0 || line.len() > LONGEST {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the message ends in its middle"));
        }
    }
    line.pop();
    let line = String::from_utf8(line).map_err(io::Error::other)?;
    Ok((line, sockets))
}
