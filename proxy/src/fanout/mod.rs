//! Native replication: the same statement on several servers, and one answer.
//!
//! What servers answer, heard and compared; no I/O. The session's part of it is
//! [`session::fanout`](crate::session).
//!
//! - [`hearing`]: what one server answers, and what of it the client may see
//! - [`judge`]: whether servers have answered the same, and who is right if not

pub mod hearing;
pub mod judge;

pub use hearing::{Hearing, Mark, State, Until};
pub use judge::{Judgement, judge};

use crate::plugin::contract::{Effects, Kind, Servers, Verdict};

/// A statement that only reads, though classifiers would have it on the primary:
/// a catalog, a temporary or an unlogged table. Here each server has its own.
pub fn only_reads(verdict: &Verdict) -> bool {
    let reads = matches!(
        verdict.kind,
        Kind::Select | Kind::Explain | Kind::CopyTo | Kind::Execute | Kind::Prepare | Kind::Show
    );
    let effects = Effects::WRITES | Effects::LOCKS;
    reads && verdict.servers != Servers::All && !verdict.effects.intersects(effects)
}
