//! How a transaction ends on several servers.
//!
//! - `gate`: commits and snapshots keep out of each other's way.
//! - `two_phase`: all servers commit, or none. `decisions`: its log.
//! - `resolve`: ends what a crash has left prepared; `resolver`: in a running proxy.
//! - `join`: several servers asked at the same time.

pub mod decisions;
mod gate;
mod join;
pub mod resolve;
pub mod resolver;
#[cfg(test)]
mod tests;
pub mod two_phase;

pub use decisions::Decisions;
pub use gate::{CommitGate, Inside};
pub use join::join_all;
