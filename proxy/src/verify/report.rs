//! What is said of a comparison.

use super::Failure;
use std::collections::BTreeSet;
use std::fmt;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Numbers of the backends, in the order of all values.
    pub servers: Vec<usize>,
    pub databases: Vec<DatabaseReport>,
    /// What is of no database: roles, databases that are missing.
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseReport {
    pub name: String,
    pub tables: Vec<TableReport>,
    /// Definitions and sequences.
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// `schema.table`
    pub name: String,
    /// Rows on each server; empty if they were not counted.
    pub counts: Vec<u64>,
    pub verdict: Verdict,
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Equal,
    Differs {
        /// Some of them, in full.
        rows: Vec<RowDifference>,
        /// How many were found; zero if rows were not compared.
        count: usize,
        /// There are more than that.
        more: bool,
    },
    /// It changed while it was looked at, and nothing that differs stayed.
    Moving,
    /// A server refused.
    Failed(String),
}

/// One row, or several that are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// Its key, as `id=7`; or the row.
    pub row: String,
    /// What differs, with its value on each server.
    pub columns: Vec<(String, Vec<String>)>,
}

/// Something that is not a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `index`, `sequence`, …
    pub kind: String,
    pub name: String,
    /// On each server. Empty: there are too many of them.
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Equal,
    /// Something could not be compared, and nothing differs besides.
    Incomplete,
    Differs,
}

// === impl Report ===

impl Report {
    pub fn outcome(&self) -> Outcome {
        let of_all = if self.differences.is_empty() { Outcome::Equal } else { Outcome::Differs };
        self.databases.iter().map(DatabaseReport::outcome).max().unwrap_or(of_all).max(of_all)
    }

    pub fn tables(&self) -> usize {
        self.databases.iter().map(|database| database.tables.len()).sum()
    }

    /// The servers that differ from most of the others in something; of two halves,
    /// those without the first server. Never all.
    pub fn minority(&self) -> Vec<usize> {
        let mut minority = BTreeSet::new();
        let of_databases = self.databases.iter().flat_map(|database| {
            let rows = database.tables.iter().flat_map(TableReport::values);
            database.differences.iter().map(|difference| &difference.values).chain(rows)
        });
        for values in self.differences.iter().map(|difference| &difference.values).chain(of_databases) {
            let with = |value: &String| values.iter().filter(|other| *other == value).count();
            // The first one wins a tie.
            let Some(most) = values.iter().rev().max_by_key(|value| with(value)) else {
                continue;
            };
            let others = self.servers.iter().zip(values).filter(|(_, value)| *value != most);
            minority.extend(others.map(|(server, _)| *server));
        }
        match minority.len() < self.servers.len() {
            true => minority.into_iter().collect(),
            // Each is wrong about something: the first one is believed.
            false => self.servers.iter().skip(1).copied().collect(),
        }
    }

    /// What differs, in words of one line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.differences.iter().map(|difference| difference.line(&self.servers)).collect();
        for database in &self.databases {
            lines.extend(database.lines(&self.servers).map(|line| format!("{}: {line}", database.name)));
        }
        lines
    }
}

// === impl DatabaseReport ===

impl DatabaseReport {
    pub fn new(name: &str) -> Self {
        DatabaseReport { name: name.to_owned(), tables: Vec::new(), differences: Vec::new() }
    }

    /// What was compared of this, or why it was not.
    pub(super) fn take(
        &mut self,
        what: &str,
        compared: Result<Vec<Difference>, Failure>,
    ) -> Result<(), Failure> {
        match compared {
            Ok(differences) => self.differences.extend(differences),
            Err(failure) if failure.is_refusal() => {
                self.tables.push(TableReport::failed(what, &failure.to_string()));
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    pub fn outcome(&self) -> Outcome {
        let of_tables = self.tables.iter().map(TableReport::outcome).max().unwrap_or(Outcome::Equal);
        if self.differences.is_empty() { of_tables } else { Outcome::Differs }
    }

    pub fn lines<'a>(&'a self, servers: &'a [usize]) -> impl Iterator<Item = String> + 'a {
        let differences = self.differences.iter().map(|difference| difference.line(servers));
        differences.chain(self.tables.iter().flat_map(|table| table.lines(servers)))
    }
}

// === impl TableReport ===

impl TableReport {
    pub fn failed(name: &str, why: &str) -> Self {
        let verdict = Verdict::Failed(why.to_owned());
        TableReport { name: name.to_owned(), counts: Vec::new(), verdict, note: None }
    }

    fn outcome(&self) -> Outcome {
        match self.verdict {
            Verdict::Equal => Outcome::Equal,
            Verdict::Differs { .. } => Outcome::Differs,
            Verdict::Moving | Verdict::Failed(_) => Outcome::Incomplete,
        }
    }

    /// Of each column that differs, the values by server.
    fn values(&self) -> impl Iterator<Item = &Vec<String>> {
        let rows = match &self.verdict {
            Verdict::Differs { rows, .. } => rows.as_slice(),
            _ => &[],
        };
        rows.iter().flat_map(|row| row.columns.iter().map(|(_, values)| values))
    }

    /// What is to be said of it beyond its line of the table.
    pub fn lines(&self, servers: &[usize]) -> Vec<String> {
        let name = &self.name;
        let mut lines: Vec<String> = self.note.iter().map(|note| format!("{name}: {note}")).collect();
        match &self.verdict {
            Verdict::Differs { rows, count, more } => {
                lines.extend(rows.iter().map(|row| format!("{name}: {}", row.line(servers))));
                if *more || rows.len() < *count {
                    let least = if *more { "at least " } else { "" };
                    lines.push(format!("{name}: {} of {least}{count} rows that differ", rows.len()));
                }
            }
            Verdict::Failed(why) => lines.push(format!("{name}: not compared: {why}")),
            Verdict::Moving => lines.push(format!(
                "{name}: written to while it was compared: ask a running proxy, or when it is quiet"
            )),
            Verdict::Equal => {}
        }
        lines
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Equal => f.write_str("equal"),
            Verdict::Differs { count: 0, .. } => f.write_str("differs"),
            Verdict::Differs { count, more, .. } => {
                let least = if *more { "at least " } else { "" };
                let rows = if *count == 1 && !*more { "row" } else { "rows" };
                write!(f, "differs: {least}{count} {rows}")
            }
            Verdict::Moving => f.write_str("moving"),
            Verdict::Failed(_) => f.write_str("not compared"),
        }
    }
}

// === impl RowDifference, Difference ===

impl RowDifference {
    fn line(&self, servers: &[usize]) -> String {
        let columns =
            self.columns.iter().map(|(name, values)| format!("{name} is {}", by_server(values, servers)));
        format!("{}: {}", self.row, columns.collect::<Vec<_>>().join("; "))
    }
}

impl Difference {
    pub fn line(&self, servers: &[usize]) -> String {
        match self.values.is_empty() {
            true => format!("{} {} differs", self.kind, self.name),
            false => format!("{} {}: {}", self.kind, self.name, by_server(&self.values, servers)),
        }
    }
}

/// `'a' on backend 0, 'b' on backends 1 and 2`
fn by_server(values: &[String], servers: &[usize]) -> String {
    let mut groups: Vec<(&String, Vec<String>)> = Vec::new();
    for (value, server) in values.iter().zip(servers) {
        match groups.iter_mut().find(|(known, _)| *known == value) {
            Some((_, on)) => on.push(server.to_string()),
            None => groups.push((value, vec![server.to_string()])),
        }
    }
    let words = groups.into_iter().map(|(value, on)| match on.as_slice() {
        [one] => format!("{value} on backend {one}"),
        several => format!("{value} on backends {}", several.join(" and ")),
    });
    words.collect::<Vec<_>>().join(", ")
}
