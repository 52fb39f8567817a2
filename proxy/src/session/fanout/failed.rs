//! A transaction that has failed: on some servers, or only for the proxy. They
//! are rolled back together, and until then nothing else is run on any of them;
//! what PostgreSQL would say to it is said here.

use super::super::link::Link;
use super::super::links::LinkError;
use super::super::{End, Session};
use super::commit::aborted;
use super::plan::{Order, Plan};
use super::unit::{Result, Unit};
use crate::fanout::Until;
use crate::plugin::contract::Kind;
use crate::protocol::backend::TransactionStatus;

/// Nothing is compared but that all have done it.
const TOGETHER: Plan = Plan {
    order: Order::AtOnce,
    internal: false,
    writes: false,
    changes_session: false,
    several: false,
    stays: false,
};

impl Session {
    /// What ends the failed transaction, or goes back to a savepoint of it. The
    /// rest is refused.
    pub(super) async fn run_failed(
        &mut self,
        unit: Unit<'_>,
        kind: Kind,
    ) -> std::result::Result<Result, LinkError> {
        let members = self.connect_members().await?;
        match kind {
            Kind::Rollback | Kind::RollbackTo => {
                // Where it was sent to be skipped, it is done with.
                Ok(self.run_unit(unit, TOGETHER, members).await?)
            }
            Kind::Commit => Ok(self.commit_failed(unit).await?),
            _ => Err(LinkError::Statement(aborted())),
        }
    }

    /// COMMIT rolls back. Where nothing has failed it would commit: those servers
    /// are told to roll back.
    async fn commit_failed(&mut self, unit: Unit<'_>) -> std::result::Result<Result, End> {
        let chain = unit.text.to_ascii_lowercase();
        let chain = chain.contains("chain") && !chain.contains("no chain");
        let rollback = if chain { "ROLLBACK AND CHAIN" } else { "ROLLBACK" };
        let failed = self.links.which(|link| link.conn.status == TransactionStatus::Failed);
        let open = self.links.which(Link::in_transaction) & !failed;
        if failed == 0 {
            self.run_on(open, rollback).await?;
            return Ok(Result::rolled_back(unit, super::commit::status_of(chain)));
        }
        self.run_on(open, rollback).await?;
        self.run_unit(unit, TOGETHER, failed & self.links.which(|_| true)).await
    }

    /// The transaction has failed, as far as the client knows.
    pub(in super::super) fn has_failed(&self) -> bool {
        self.fans_out() && self.transaction.status == TransactionStatus::Failed
    }
}

impl Result {
    /// The answer to a COMMIT that no server has got.
    fn rolled_back(unit: Unit<'_>, status: TransactionStatus) -> Self {
        let mut last = Vec::new();
        let complete = |out: &mut Vec<u8>| crate::protocol::backend::command_complete(out, "ROLLBACK");
        if unit.bytes.first() == Some(&b'Q') {
            complete(&mut last);
        } else {
            for tag in tags(unit.bytes) {
                match tag {
                    b'P' => last.extend_from_slice(b"1\0\0\0\x04"),
                    b'B' => last.extend_from_slice(b"2\0\0\0\x04"),
                    b'D' => last.extend_from_slice(b"n\0\0\0\x04"),
                    b'C' => last.extend_from_slice(b"3\0\0\0\x04"),
                    b'E' => complete(&mut last),
                    _ => {}
                }
            }
        }
        debug_assert_eq!(unit.until, Until::Ready);
        Result::ended(last, status, false)
    }
}

/// The types of the client's messages.
fn tags(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let frame = crate::protocol::Frame::from_client(bytes.get(at..)?).ok().flatten()?;
        at += frame.len;
        Some(frame.tag)
    })
}
