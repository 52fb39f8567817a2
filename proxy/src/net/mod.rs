//! Sockets and buffers: what carries the protocol's bytes.

pub mod ends;
pub mod inbox;
pub mod outbox;
pub mod stream;

pub use ends::Ends;
pub use inbox::Inbox;
pub use outbox::Outbox;
pub use stream::Stream;
