//! The file.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::value::{Datetime, Offset};

use crate::case::Case;
use crate::facts::Facts;
use crate::subject::{Newcomer, Node, World};

/// A table that was read.
#[derive(Debug)]
pub struct Table {
    /// As messages name it
    pub file: String,
    document: Document,
    /// Where each line of the text begins
    lines: Vec<usize>,
}

/// A file that is no table: which, where, and why.
#[derive(Debug)]
pub struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    config: toml::Table,
    facts: Facts,
    database: Option<String>,
    user: Option<String>,
    application_name: Option<String>,
    nodes: Option<Vec<Node>>,
    home: Option<u32>,
    now: Option<Datetime>,
    case: Vec<Spanned<Case>>,
}

impl Table {
    pub fn read(path: &Path) -> Result<Self, Mistake> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(Mistake(format!("{file}: {error}"))),
        }
    }

    /// `file` is for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistake> {
        let document: Document =
            toml::from_str(text).map_err(|error| Mistake(format!("{file}: {}", error.to_string().trim())))?;
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        let table = Table { file: file.to_owned(), document, lines };
        for (line, case) in table.cases() {
            let has_moment = case.now.or(table.document.now).map(|now| micros(&now)).transpose();
            has_moment.map_err(|why| Mistake(format!("{file}:{line}: now: {why}")))?;
        }
        Ok(table)
    }

    /// The cases and the lines in which they begin.
    pub fn cases(&self) -> impl Iterator<Item = (usize, &Case)> {
        self.document.case.iter().map(|case| (self.line_of(case.span().start), case.get_ref()))
    }

    fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// What stands around the plugin in a case.
    pub fn world(&self, case: &Case) -> World {
        let head = &self.document;
        let mut config = head.config.clone();
        config.extend(case.config.clone());
        let name = |own: &Option<String>, head: &Option<String>, default: &str| {
            own.as_ref().or(head.as_ref()).map_or(default, String::as_str).to_owned()
        };
        let nodes = case.nodes.as_ref().or(head.nodes.as_ref());
        World {
            // A table of TOML always is an object of JSON.
            config: serde_json::to_string(&config).unwrap_or_default(),
            database: name(&case.database, &head.database, "postgres"),
            user: name(&case.user, &head.user, "postgres"),
            application_name: name(&case.application_name, &head.application_name, ""),
            facts: head.facts.and(&case.facts),
            nodes: nodes.cloned().unwrap_or_else(|| vec![Node::new(0, "primary"), Node::new(1, "standby")]),
            now: case.now.or(head.now).and_then(|now| micros(&now).ok()),
        }
    }

    /// The home that a session is given, whatever the plugin plans.
    pub fn home(&self, case: &Case) -> Option<u32> {
        case.home.or(self.document.home)
    }

    /// The client of a case.
    pub fn newcomer(&self, case: &Case) -> Newcomer {
        let World { database, user, application_name, .. } = self.world(case);
        Newcomer { database, user, application_name, address: case.address.clone(), tls: case.tls }
    }
}

/// Microseconds since 1970.
fn micros(moment: &Datetime) -> Result<u64, String> {
    let (Some(date), Some(time), Some(offset)) = (moment.date, moment.time, moment.offset) else {
        return Err("a moment has a date, a time and an offset: 2025-01-01T03:00:00Z".to_owned());
    };
    // Days since 0000-03-01, so that a leap day is the last of its year.
    let month = i64::from(date.month) - 3;
    let year = i64::from(date.year) + month.div_euclid(12);
    let day_of_year = (153 * month.rem_euclid(12) + 2) / 5 + i64::from(date.day) - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year;
    let since_1970 = days - 719_468;
    let east = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let minutes = (since_1970 * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - east;
    let micros = (minutes * 60 + i64::from(time.second.unwrap_or(0))) * 1_000_000
        + i64::from(time.nanosecond.unwrap_or(0) / 1000);
    u64::try_from(micros).map_err(|_| "it is before 1970".to_owned())
}

#[cfg(test)]
mod tests;
