//! The frame: one byte of type, four bytes of length (which counts itself),
//! and the body.

/// Bytes of a frame's header: type and length.
pub const HEADER_LEN: usize = 5;

/// The longest message PostgreSQL accepts (`PQ_LARGE_MESSAGE_LIMIT`: 1 GB - 1).
const LARGE_LIMIT: usize = 0x3fff_ffff;
/// The longest of messages which carry only a name (`PQ_SMALL_MESSAGE_LIMIT`).
const SMALL_LIMIT: usize = 10_000;

/// The header of a frame, its length checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The message's type byte.
    pub tag: u8,
    /// Length of the whole frame, header included.
    pub len: usize,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No message of this type is sent in this direction.
    #[error("invalid frontend message type {0}")]
    UnknownType(u8),
    /// Shorter than the length itself, or longer than the type allows.
    #[error("invalid message length")]
    InvalidLength,
}

impl Frame {
    /// Reads the header of a message from a client; `None` while it is
    /// incomplete. Types and limits are those of PostgreSQL's `SocketBackend`.
    pub fn from_client(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let Some(&tag) = bytes.first() else {
            return Ok(None);
        };
        let limit = match tag {
            b'Q' | b'F' | b'B' | b'P' | b'd' | b'p' => LARGE_LIMIT,
            b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' => SMALL_LIMIT,
            other => return Err(FrameError::UnknownType(other)),
        };
        Self::checked(bytes, tag, limit)
    }

    /// Reads the header of a message from a server; `None` while it is incomplete.
    pub fn from_server(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        match bytes.first() {
            Some(&tag) => Self::checked(bytes, tag, LARGE_LIMIT),
            None => Ok(None),
        }
    }

    fn checked(bytes: &[u8], tag: u8, limit: usize) -> Result<Option<Frame>, FrameError> {
        let Some(&[a, b, c, d]) = bytes.get(1..HEADER_LEN) else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        // The length field itself is compared, as `pq_getmessage` does.
        if len < 4 || len > limit {
            return Err(FrameError::InvalidLength);
        }
        Ok(Some(Frame { tag, len: len + 1 }))
    }
}
