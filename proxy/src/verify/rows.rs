//! From a sum that differs to the rows that do.
//!
//! The rows are dealt into buckets by the hash of their key, about √n of them,
//! and each server sums up its buckets; then the rows of the buckets that
//! differ are asked for, √n each. So one row of a million is found by two more
//! scans, and two thousand lines are sent. A table without a key is a bag: a
//! row is told apart by all that it holds.

use super::catalog::{Column, Table};
use super::checksum::{Sum, hash, row};
use super::report::RowDifference;
use super::scan::{Question, scan};
use super::{Failure, Sessions};
use crate::protocol::sql::literal;
use std::collections::BTreeMap;

const FEWEST_BUCKETS: u64 = 16;
const MOST_BUCKETS: u64 = 1 << 16;
/// So many that differ are looked into.
const OPENED: usize = 32;
/// Of a row without a key, in characters.
const LONGEST_ROW: usize = 200;
const LONGEST_VALUE: usize = 60;

/// Rows that differ: by what tells them apart, what each server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differing {
    pub rows: BTreeMap<String, Row>,
    /// There are more.
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The values of the key as a JSON array; or the row itself.
    pub shown: String,
    /// Number and hash, on each server.
    pub on: Vec<Sum>,
}

/// What tells a row apart.
fn identity(table: &Table) -> String {
    match table.key.as_slice() {
        [] => row(table),
        key => {
            let names: Vec<&str> = key.iter().map(|column| column.name.as_str()).collect();
            format!("ROW({})::text", names.join(", "))
        }
    }
}

/// `rows` is how many the table has.
pub async fn differing(
    sessions: &mut Sessions,
    table: &Table,
    rate: Option<u64>,
    rows: u64,
) -> Result<Differing, Failure> {
    let buckets = rows.isqrt().next_power_of_two().clamp(FEWEST_BUCKETS, MOST_BUCKETS);
    let bucket = format!("hashtextextended({}, 1) & {}", identity(table), buckets - 1);
    let select = format!("{bucket}, count(*), sum({})", hash(table));
    let question = Question { select: &select, condition: "true", group_by: "1" };
    let answers = scan(sessions, table, rate, &question).await?;
    let servers = answers.len();
    let mut sums: BTreeMap<String, Vec<Sum>> = BTreeMap::new();
    for (place, part) in parts(&answers) {
        let [Some(bucket), part @ ..] = part else {
            return Err(Failure::Other("a bucket cannot be read".to_owned()));
        };
        let on = sums.entry(bucket.clone()).or_insert_with(|| vec![Sum::default(); servers]);
        on[place] = on[place].with(part)?;
    }
    let opened: Vec<&str> =
        sums.iter().filter(|(_, on)| differ(on)).map(|(bucket, _)| bucket.as_str()).collect();
    let more = opened.len() > OPENED;
    let opened = opened.into_iter().take(OPENED).collect::<Vec<_>>().join(", ");
    if opened.is_empty() {
        return Ok(Differing::default());
    }
    let condition = format!("{bucket} IN ({opened})");
    Ok(Differing { rows: open(sessions, table, rate, &condition).await?, more })
}

/// The rows of some buckets, those that differ.
async fn open(
    sessions: &mut Sessions,
    table: &Table,
    rate: Option<u64>,
    condition: &str,
) -> Result<BTreeMap<String, Row>, Failure> {
    let (identity, shown) = match table.key.as_slice() {
        [] => (hash(table), format!("left({}, {LONGEST_ROW})", row(table))),
        key => (identity(table), format!("json_build_array({})::text", as_texts(key))),
    };
    let select = format!("{identity}, min({shown}), count(*), sum({})", hash(table));
    let question = Question { select: &select, condition, group_by: "1" };
    let answers = scan(sessions, table, rate, &question).await?;
    let servers = answers.len();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (place, part) in parts(&answers) {
        let [Some(identity), Some(shown), part @ ..] = part else {
            return Err(Failure::Other("a row cannot be read".to_owned()));
        };
        let new = || Row { shown: shown.clone(), on: vec![Sum::default(); servers] };
        let row = rows.entry(identity.clone()).or_insert_with(new);
        row.on[place] = row.on[place].with(part)?;
    }
    rows.retain(|_, row| differ(&row.on));
    Ok(rows)
}

/// All parts of all answers, with the place of the server.
fn parts(answers: &[Vec<Vec<Option<String>>>]) -> impl Iterator<Item = (usize, &[Option<String>])> {
    let of = |(place, rows): (usize, &'_ Vec<Vec<Option<String>>>)| (place, rows.len());
    let places = answers.iter().enumerate().map(of).collect::<Vec<_>>();
    places
        .into_iter()
        .flat_map(move |(place, count)| (0..count).map(move |at| (place, answers[place][at].as_slice())))
}

pub fn differ<T: PartialEq>(values: &[T]) -> bool {
    values.windows(2).any(|pair| pair[0] != pair[1])
}

fn as_texts(columns: &[Column]) -> String {
    let texts: Vec<String> = columns.iter().map(|column| format!("{}::text", column.name)).collect();
    texts.join(", ")
}

/// What people want to know of a row: by which columns it differs.
pub async fn describe(sessions: &mut Sessions, table: &Table, row: &Row) -> Result<RowDifference, Failure> {
    let key: Vec<Option<String>> = match table.key.is_empty() {
        true => Vec::new(),
        false => serde_json::from_str(&row.shown).unwrap_or_default(),
    };
    if key.is_empty() {
        let times = row.on.iter().map(|sum| sum.rows.to_string()).collect();
        return Ok(RowDifference { row: row.shown.clone(), columns: vec![("times".to_owned(), times)] });
    }
    let mut named = Vec::new();
    let mut conditions = Vec::new();
    for (column, value) in table.key.iter().zip(&key) {
        let value = value.as_deref().unwrap_or_default();
        named.push(format!("{}={value}", column.name));
        conditions.push(format!("{} = {}::{}", column.name, literal(value), column.kind));
    }
    let question = format!(
        "SELECT {} FROM ONLY {} WHERE {}",
        as_texts(&table.columns),
        table.name,
        conditions.join(" AND ")
    );
    let answers = sessions.ask(&question).await?;
    Ok(RowDifference { row: named.join(" "), columns: columns_that_differ(table, &answers) })
}

fn columns_that_differ(table: &Table, answers: &[Vec<Vec<Option<String>>>]) -> Vec<(String, Vec<String>)> {
    let there = |rows: &Vec<Vec<Option<String>>>| !rows.is_empty();
    if !answers.iter().all(there) {
        let words = answers.iter().map(|rows| if there(rows) { "there" } else { "missing" }.to_owned());
        return vec![("row".to_owned(), words.collect())];
    }
    let of = |(at, column): (usize, &Column)| {
        let values: Vec<Option<&String>> = answers
            .iter()
            .map(|rows| rows.first().and_then(|row| row.get(at)).and_then(Option::as_ref))
            .collect();
        let shown = || values.iter().map(|value| value.map_or("NULL".to_owned(), |value| shorten(value)));
        differ(&values).then(|| (column.name.clone(), shown().collect()))
    };
    table.columns.iter().enumerate().filter_map(of).collect()
}

fn shorten(value: &str) -> String {
    match value.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("'{}…'", &value[..end]),
        None => format!("'{value}'"),
    }
}

impl Differing {
    /// Those that differ in both in the same way.
    pub fn in_both(mut self, other: &Differing) -> Differing {
        self.rows.retain(|identity, row| other.rows.get(identity).is_some_and(|other| other.on == row.on));
        self
    }
}
