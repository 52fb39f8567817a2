//! PostgreSQL's frontend/backend protocol, version 3: frames and messages.
//!
//! Pure functions over bytes, no I/O. The specification is chapter 55 of
//! PostgreSQL's documentation ("Frontend/Backend Protocol"); names follow it.

pub mod backend;
pub mod error;
pub mod frame;
pub mod frontend;
pub mod options;
pub mod replies;
pub mod sql;
pub mod startup;
#[cfg(test)]
mod tests;

pub use error::{PgError, Severity};
pub use frame::{Frame, FrameError, HEADER_LEN};
