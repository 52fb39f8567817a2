//! How a transaction ends on several servers.
//!
//! - `gate`: commits pass it; who closes it has a moment in which no transaction
//!   is between the servers.
//! - `join`: several servers asked at the same time.

mod gate;
mod join;
#[cfg(test)]
mod tests;

pub use gate::{Closed, CommitGate, Passing};
pub use join::join_all;
