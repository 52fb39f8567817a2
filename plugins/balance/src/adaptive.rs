//! dml_adaptive and dml_adaptive_global: the reads that follow a write by the
//! tables they read.
//!
//! What a transaction wrote is kept with the session as words. In the global
//! mode they become, when it has committed, marks in the store that all
//! sessions share; a mark lasts as long as the standbys may need.

use waypool_plugin_sdk::{Effects, Host, Kind, Level, Statement};

use crate::nodes::Lag;
use crate::relationship::{Relationships, bare};

/// Pgpool-II's shortest time for a mark, in milliseconds.
const LEAST: u64 = 100;
/// The longest where there is no limit.
const HOUR: u64 = 3_600_000;

/// No bare name has a dot.
const TOUCHED: char = '.';

const STARTED: &str = "started";
const COLD: &str = "cold";

/// The track_table_mutation settings, times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracking {
    pub factor: f64,
    pub most: u64,
    pub cold: u64,
}

impl Tracking {
    /// How long a table that was just written to is the primary's.
    ///
    /// Where the slowest standby is known to be behind, but not by how long,
    /// nothing shorter than the limit is safe.
    pub fn millis(&self, slowest: Lag) -> u64 {
        let most = if self.most == 0 { HOUR } else { self.most };
        let needed = match slowest {
            Lag::Unknown => most,
            Lag::Micros(micros) => (micros as f64 / 1000.0 * self.factor).ceil() as u64,
        };
        needed.max(LEAST).min(most)
    }
}

/// What one statement wrote: bare names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub changed: Vec<String>,
    /// Tables which the statement only reads or locks. Pgpool-II takes them for
    /// written within the transaction.
    pub touched: Vec<String>,
    /// Other tables as well, or it cannot be told: a DO block, DDL, a text that
    /// was not understood.
    pub anything: bool,
}

impl Written {
    /// Called for statements that write only.
    pub fn by(statement: &Statement, relationships: &Relationships, host: &Host) -> Self {
        let bare = |names: Vec<String>| names.iter().map(|name| bare(name)).collect();
        let mut changed: Vec<String> = bare(host.writes());
        // A function that writes is no write, unless the list says to what.
        for function in host.functions() {
            changed.extend(relationships.of_function(&function).map(str::to_owned));
        }
        relationships.extend(&mut changed);
        let mut touched = Vec::new();
        if statement.kind != Kind::Select || statement.effects.contains(Effects::LOCKS) {
            touched = bare(host.reads());
            relationships.extend(&mut touched);
        }
        use Kind::*;
        let anything = match statement.kind {
            _ if statement.effects.contains(Effects::UNPARSED) => true,
            Ddl => true,
            Unknown | Dml | Utility | Explain | Execute | FinishPrepared => changed.is_empty(),
            _ => false,
        };
        Self { changed, touched, anything }
    }

    /// Keeps the tables with the session. `false`: there is no more room.
    pub fn remember(&self, host: &Host) -> bool {
        let touched = self.touched.iter().map(|table| only_touched(table));
        let words: Vec<String> = self.changed.iter().cloned().chain(touched).collect();
        words.iter().for_each(|word| host.remember(word));
        let kept = host.remembered();
        words.iter().all(|word| kept.contains(word))
    }

    pub fn is_nothing(&self) -> bool {
        !self.anything && self.changed.is_empty() && self.touched.is_empty()
    }
}

/// The word for a table that is not marked for other sessions.
fn only_touched(table: &str) -> String {
    format!("{TOUCHED}{table}")
}

/// Whether the statement reads what this transaction wrote.
pub fn reads_own(host: &Host) -> bool {
    let reads = host.reads();
    if reads.is_empty() {
        return false;
    }
    let kept = host.remembered();
    let is_own = |table: String| kept.contains(&only_touched(&table)) || kept.contains(&table);
    reads.iter().any(|name| is_own(bare(name)))
}

/// Whether the statement reads what any session wrote a moment ago.
pub fn reads_marked(host: &Host) -> bool {
    let reads = host.reads();
    if reads.is_empty() {
        return false;
    }
    let database = host.database();
    reads.iter().any(|name| host.get(&key(&database, &bare(name))).is_some())
}

/// The transaction has committed: its tables are marked.
pub fn mark(millis: u64, host: &Host) {
    let database = host.database();
    let kept = host.remembered();
    for table in kept.iter().filter(|word| !word.starts_with(TOUCHED)) {
        if !host.set(&key(&database, table), 1, Some(millis)) {
            let lost = format!(
                "the store is full: reads of {database}.{table} on standbys may miss a write \
                 (disable_load_balance_on_write = dml_adaptive_global)"
            );
            host.log(Level::Warn, &lost);
        }
    }
}

/// A table's name has no dot: see [`bare`].
fn key(database: &str, table: &str) -> String {
    format!("{database}.{table}")
}

/// Whether the plugin started so lately that writes before may be unknown.
/// Asked until it did not.
pub fn is_cold(millis: u64, host: &Host) -> bool {
    if millis == 0 {
        return false;
    }
    if host.get(STARTED).is_none() {
        // In this order: whoever finds the second has the first.
        host.set(COLD, 1, Some(millis));
        host.set(STARTED, 1, None);
    }
    host.get(COLD).is_some()
}
