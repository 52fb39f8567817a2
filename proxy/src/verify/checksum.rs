//! How many rows a table has, and the sum of their hashes: the order does not
//! count, and of a million rows the server sends two numbers.
//!
//! A row that is there twice counts twice, which an exclusive or would not see.

use super::catalog::Table;
use super::scan::{Question, scan};
use super::{Failure, Sessions};

/// Of a table, or a part of it, on one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    pub rows: u64,
    pub hash: i128,
}

/// The text of a row.
pub fn row(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    format!("ROW({})::text", names.join(", "))
}

/// Its hash.
pub fn hash(table: &Table) -> String {
    format!("hashtextextended({}, 0)", row(table))
}

pub async fn sums(sessions: &mut Sessions, table: &Table, rate: Option<u64>) -> Result<Vec<Sum>, Failure> {
    let select = format!("count(*), COALESCE(sum({}), 0)", hash(table));
    let question = Question { select: &select, condition: "true", group_by: "" };
    let answers = scan(sessions, table, rate, &question).await?;
    answers.iter().map(|parts| parts.iter().try_fold(Sum::default(), |sum, part| sum.with(part))).collect()
}

impl Sum {
    /// And those of another part: its number of rows, and their hash.
    pub fn with(self, part: &[Option<String>]) -> Result<Sum, Failure> {
        let numbers = match part {
            [Some(rows), Some(hash)] => rows.parse::<u64>().ok().zip(hash.parse::<i128>().ok()),
            _ => None,
        };
        let (rows, hash) = numbers.ok_or_else(|| Failure::Other("a checksum cannot be read".to_owned()))?;
        Ok(Sum { rows: self.rows + rows, hash: self.hash.wrapping_add(hash) })
    }
}
