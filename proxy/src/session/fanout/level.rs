//! Sequences that have given as many numbers on every server.
//!
//! A statement which the main server refuses reaches no other; but its numbers are
//! used up. Before rows are numbered by each server, and after such a statement,
//! the others give as many.

use super::super::link::{Servers, bit};
use super::super::links::LinkError;
use super::super::{End, Session};
use super::exchange::Rows;
use super::lock::Numbered;
use super::main_of;
use super::unit::Result;
use crate::protocol::PgError;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::sql::literal;

/// So many numbers are caught up with.
const MOST: i128 = 1_000_000;

impl Session {
    /// Has the sequences give as many numbers on every server. Their tables are
    /// locked.
    pub(super) async fn level(
        &mut self,
        sequences: &[String],
        servers: Servers,
    ) -> std::result::Result<(), LinkError> {
        if servers.count_ones() < 2 {
            return Ok(());
        }
        let asked: Vec<String> = sequences.iter().map(|name| steps_taken(name)).collect();
        let answers = self.ask_each(servers, &asked.join(" UNION ALL ")).await?;
        let steps: Vec<(usize, Vec<i128>)> = answers
            .iter()
            .map(|(id, rows)| (*id, sequences.iter().map(|name| steps_of(rows, name)).collect()))
            .collect();
        for (at, name) in sequences.iter().enumerate() {
            let most = steps.iter().map(|(_, steps)| steps[at]).max().unwrap_or_default();
            for (id, behind) in
                steps.iter().map(|(id, steps)| (*id, most - steps[at])).filter(|(_, behind)| *behind > 0)
            {
                if behind > MOST {
                    return Err(LinkError::Statement(apart(name)));
                }
                self.catch_up(id, name, behind).await?;
            }
        }
        Ok(())
    }

    async fn catch_up(
        &mut self,
        id: usize,
        sequence: &str,
        behind: i128,
    ) -> std::result::Result<(), LinkError> {
        tracing::debug!(backend = id, "{sequence} is {behind} numbers behind the other servers");
        let sql = format!(
            "SELECT pg_catalog.count(pg_catalog.nextval({})) FROM pg_catalog.generate_series(1, {behind})",
            literal(sequence)
        );
        self.ask(bit(id), &sql).await.map(drop)
    }

    /// What servers were to number, they have, or the main server alone has begun to.
    pub(super) async fn note_numbered(&mut self, result: &Result) -> std::result::Result<(), End> {
        let numbered = std::mem::take(&mut self.fan().numbered);
        if result.failed {
            self.fan().uneven.extend(numbered);
        }
        match result.ended && result.status == TransactionStatus::Idle {
            true => self.level_uneven().await,
            false => Ok(()),
        }
    }

    /// A statement has failed on the main server alone, and its transaction is
    /// over: evens the sequences out that it took numbers from. Not if somebody
    /// uses the table; then later.
    pub(super) async fn level_uneven(&mut self) -> std::result::Result<(), End> {
        for numbered in std::mem::take(&mut self.fan().uneven) {
            let servers = self.links.which(|link| !link.in_transaction());
            self.run_on(servers, "BEGIN").await?;
            let levelled = self.level_one(&numbered, servers).await;
            let begun = self.links.which(|link| link.in_transaction());
            match levelled {
                Ok(()) => drop(self.run_on(begun, "COMMIT").await?),
                Err(LinkError::End(end)) => return Err(end),
                Err(LinkError::Statement(error)) => {
                    tracing::debug!("sequences of {} stay uneven: {}", numbered.table, error.message);
                    self.run_on(begun, "ROLLBACK").await?;
                    if error.sqlstate == "55P03" {
                        self.fan().uneven.push(numbered);
                    }
                }
            }
        }
        Ok(())
    }

    async fn level_one(
        &mut self,
        numbered: &Numbered,
        servers: Servers,
    ) -> std::result::Result<(), LinkError> {
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE NOWAIT", numbered.table);
        let main = bit(main_of(servers));
        self.ask(main, &lock).await?;
        self.ask_each(servers & !main, &lock).await?;
        self.level(&numbered.sequences, servers).await
    }
}

/// The name of a sequence, and how many numbers it has given since its start.
fn steps_taken(sequence: &str) -> String {
    let name = literal(sequence);
    format!(
        "SELECT {name}, (pg_catalog.pg_sequence_last_value(seqrelid)::pg_catalog.numeric - seqstart) / seqincrement + 1 \
         FROM pg_catalog.pg_sequence WHERE seqrelid = pg_catalog.to_regclass({name})"
    )
}

fn steps_of(rows: &Rows, sequence: &str) -> i128 {
    let row = rows.iter().find(|row| row.first().and_then(Option::as_deref) == Some(sequence));
    let steps = row.and_then(|row| row.get(1)?.as_deref()?.split('.').next()?.parse().ok());
    // It has given none.
    steps.unwrap_or_default()
}

fn apart(sequence: &str) -> PgError {
    PgError::error("XX001", format!("the servers' sequences {sequence} are more than {MOST} numbers apart"))
        .with_hint(format!(
            "Compare it on the servers, and set the highest number: SELECT setval({}, …).",
            literal(sequence)
        ))
}

#[cfg(test)]
mod tests;
