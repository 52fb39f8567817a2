//! Reads a table on all servers at the same time, part by part, no faster than
//! is allowed.

use super::catalog::Table;
use super::{Failure, Sessions};
use crate::pool::connection::Rows;
use std::time::{Duration, Instant};

/// Reads parts of a table by the place of its rows: since PostgreSQL 14.
const TID_RANGE_SCAN: u32 = 140_000;
/// A part takes so long, at the rate that is allowed.
const PART: Duration = Duration::from_millis(250);
const SMALLEST_PART: u64 = 1 << 20;

/// A question about all rows of a table, whose answers for parts of it can be
/// put together.
pub struct Question<'a> {
    pub select: &'a str,
    /// After WHERE.
    pub condition: &'a str,
    pub group_by: &'a str,
}

/// How large a table is on one server.
#[derive(Debug, Clone, Copy)]
struct Size {
    blocks: u64,
    /// All that is read for a block of the table, long values too.
    bytes_a_block: u64,
}

/// Returns what each server has answered, part behind part. `rate` is in bytes
/// a second on each server; without TID range scans it has to be let go.
pub async fn scan(
    sessions: &mut Sessions,
    table: &Table,
    rate: Option<u64>,
    question: &Question<'_>,
) -> Result<Vec<Rows>, Failure> {
    if table.lockable {
        sessions.ask(&format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE", table.name)).await?;
    }
    let rate = rate.filter(|_| table.heap && sessions.have_version(TID_RANGE_SCAN));
    let Some(rate) = rate else {
        return sessions.ask(&question.about(table, "")).await;
    };
    let sizes = sizes(sessions, table).await?;
    let mut answers = vec![Rows::new(); sizes.len()];
    let parts = sizes.iter().map(|size| size.parts(rate)).max().unwrap_or(1);
    for part in 0..parts {
        let begun = Instant::now();
        let of = |size: &Size| Some(question.about(table, &size.part(part, rate)?));
        let questions: Vec<_> = sizes.iter().map(of).collect();
        for (answer, rows) in answers.iter_mut().zip(sessions.ask_each(&questions).await?) {
            answer.extend(rows);
        }
        let bytes = sizes.iter().map(|size| size.bytes(part, rate)).max().unwrap_or(0);
        let due = Duration::from_secs_f64(bytes as f64 / rate as f64);
        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
    }
    Ok(answers)
}

async fn sizes(sessions: &mut Sessions, table: &Table) -> Result<Vec<Size>, Failure> {
    let name = table.name.replace('\'', "''");
    let question = format!(
        "SELECT pg_relation_size('{name}'::regclass) / current_setting('block_size')::bigint, \
         pg_table_size('{name}'::regclass)"
    );
    let answers = sessions.ask(&question).await?;
    answers.iter().map(|rows| Size::read(rows)).collect()
}

// === impl Question ===

impl Question<'_> {
    fn about(&self, table: &Table, part: &str) -> String {
        let Question { select, condition, group_by } = self;
        let group_by = if group_by.is_empty() { String::new() } else { format!(" GROUP BY {group_by}") };
        format!("SELECT {select} FROM ONLY {} WHERE {condition}{part}{group_by}", table.name)
    }
}

// === impl Size ===

impl Size {
    fn read(rows: &[Vec<Option<String>>]) -> Result<Self, Failure> {
        let numbers = rows.first().and_then(|row| match row.as_slice() {
            [Some(blocks), Some(bytes)] => Some((blocks.parse::<u64>().ok()?, bytes.parse::<u64>().ok()?)),
            _ => None,
        });
        let (blocks, bytes) =
            numbers.ok_or_else(|| Failure::Other("the size of a table cannot be read".to_owned()))?;
        Ok(Size { blocks, bytes_a_block: bytes.div_ceil(blocks.max(1)).max(1) })
    }

    fn blocks_a_part(&self, rate: u64) -> u64 {
        let bytes = (rate as f64 * PART.as_secs_f64()) as u64;
        (bytes.max(SMALLEST_PART) / self.bytes_a_block).max(1)
    }

    fn parts(&self, rate: u64) -> u64 {
        self.blocks.div_ceil(self.blocks_a_part(rate)).max(1)
    }

    fn bytes(&self, part: u64, rate: u64) -> u64 {
        let begin = part.saturating_mul(self.blocks_a_part(rate));
        let blocks = self.blocks.saturating_sub(begin).min(self.blocks_a_part(rate));
        blocks.saturating_mul(self.bytes_a_block)
    }

    /// What belongs to a part; the last one has no end: what the table has grown
    /// by since then is not in the snapshot. `None`: there is no such part.
    fn part(&self, part: u64, rate: u64) -> Option<String> {
        let (parts, each) = (self.parts(rate), self.blocks_a_part(rate));
        let begin = part * each;
        match part + 1 {
            next if next < parts => {
                Some(format!(" AND ctid >= '({begin},0)'::tid AND ctid < '({},0)'::tid", begin + each))
            }
            next if next == parts => Some(format!(" AND ctid >= '({begin},0)'::tid")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million blocks of 8 KiB at 64 MB/s: every block in exactly one part.
    #[test]
    fn the_parts_are_the_whole() {
        let size = Size { blocks: 1_000_000, bytes_a_block: 8192 };
        let rate = 64_000_000;
        let parts = size.parts(rate);
        let bytes: u64 = (0..parts).map(|part| size.bytes(part, rate)).sum();
        assert_eq!(bytes, 1_000_000 * 8192);
        assert!(
            size.part(0, rate).is_some_and(|part| part.starts_with(" AND ctid >= '(0,0)'::tid AND ctid <"))
        );
        assert!(size.part(parts - 1, rate).is_some_and(|part| !part.contains('<')));
        assert_eq!(size.part(parts, rate), None);
    }

    #[test]
    fn an_empty_table_is_one_part_without_an_end() {
        let size = Size { blocks: 0, bytes_a_block: 1 };
        assert_eq!(size.parts(1000), 1);
        assert_eq!(size.part(0, 1000).as_deref(), Some(" AND ctid >= '(0,0)'::tid"));
        assert_eq!(size.bytes(0, 1000), 0);
    }
}
