//! The plugin's configuration: Pgpool-II's parameters of the same names.

mod list;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Deserializer, Serialize};

pub use list::List;

use crate::facts::{Calls, Relations};
use crate::pattern::Patterns;

/// `[plugins.classify.config]` of waypool.toml
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Off: a read has to begin with S, W, T or `(`, so what begins with a
    /// comment goes to the primary, which programs use as a hint.
    #[serde(deserialize_with = "switch")]
    pub allow_sql_comments: bool,
    /// White space before the first character is not looked at.
    #[serde(deserialize_with = "switch")]
    pub ignore_leading_white_space: bool,
    /// If there are any: every other function writes.
    pub read_only_function_list: List,
    /// If there are any: no other function writes.
    pub write_function_list: List,
    /// Texts that go to the primary, whatever they are. Between `;`.
    pub primary_routing_query_pattern_list: List,
    /// Keep reads of temporary tables on the primary.
    pub check_temp_table: CheckTempTable,
    /// Keep reads of unlogged tables on the primary: standbys have none.
    #[serde(deserialize_with = "switch")]
    pub check_unlogged_table: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allow_sql_comments: false,
            ignore_leading_white_space: true,
            read_only_function_list: List::default(),
            write_function_list: List::default(),
            primary_routing_query_pattern_list: List::default(),
            check_temp_table: CheckTempTable::Catalog,
            check_unlogged_table: true,
        }
    }
}

/// How temporary tables are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Word", rename_all = "lowercase")]
pub enum CheckTempTable {
    /// In the primary's catalog
    Catalog,
    /// By the CREATE TEMP TABLE statements of the session. A verdict knows no
    /// session, so here it is the same as `Catalog`, which finds these tables
    /// and those of other sessions and of functions.
    Trace,
    /// Not at all
    None,
}

/// A word, or a boolean of TOML.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a boolean or a string was expected")]
enum Word {
    Boolean(bool),
    Text(String),
}

impl TryFrom<Word> for CheckTempTable {
    type Error = String;

    fn try_from(word: Word) -> Result<Self, String> {
        match word {
            Word::Boolean(true) => Ok(Self::Catalog),
            Word::Boolean(false) => Ok(Self::None),
            Word::Text(text) => match text.to_ascii_lowercase().as_str() {
                "catalog" | "on" => Ok(Self::Catalog),
                "trace" => Ok(Self::Trace),
                "none" | "off" => Ok(Self::None),
                _ => Err(format!("\"{text}\" is none of catalog, trace, none, on, off")),
            },
        }
    }
}

/// A boolean, or Pgpool-II's `on` and `off` as a string.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Word::deserialize(deserializer)? {
        Word::Boolean(on) => Ok(on),
        Word::Text(text) => match text.to_ascii_lowercase().as_str() {
            "on" | "true" => Ok(true),
            "off" | "false" => Ok(false),
            _ => Err(serde::de::Error::custom(format!("\"{text}\" is neither on nor off"))),
        },
    }
}

/// The configuration ready for use.
#[derive(Debug)]
pub struct Policy {
    rules: Rules,
    /// What says whether a function writes
    pub calls: Calls,
    /// Texts that go to the primary
    pub primary_queries: Patterns,
}

impl Policy {
    /// Refuses what contradicts itself, and patterns which are none.
    pub fn new(rules: Rules) -> Result<Self, String> {
        let read_only = rules.read_only_function_list.items(',');
        let write = rules.write_function_list.items(',');
        let calls = match (read_only.is_empty(), write.is_empty()) {
            (true, true) => Calls::Catalog,
            (false, true) => Calls::AllBut(Patterns::new("read_only_function_list", &read_only)?),
            (true, false) => Calls::Only(Patterns::new("write_function_list", &write)?),
            (false, false) => {
                return Err("read_only_function_list and write_function_list exclude each other: \
                            remove one of them"
                    .to_owned());
            }
        };
        let queries = rules.primary_routing_query_pattern_list.items(';');
        let primary_queries = Patterns::new("primary_routing_query_pattern_list", &queries)?;
        Ok(Self { rules, calls, primary_queries })
    }

    pub fn allow_sql_comments(&self) -> bool {
        self.rules.allow_sql_comments
    }

    /// Which relations keep a query on the primary.
    pub fn relations(&self) -> Relations {
        Relations {
            catalog: true,
            temporary: self.rules.check_temp_table != CheckTempTable::None,
            unlogged: self.rules.check_unlogged_table,
            volatile: matches!(self.calls, Calls::Catalog),
        }
    }

    /// Does `text` begin as Pgpool-II wants a read to begin? An empty text
    /// and a lone semicolon do.
    pub fn begins_as_read(&self, text: &str) -> bool {
        let is_space = |char: char| matches!(char, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
        let text = match self.rules.ignore_leading_white_space {
            true => text.trim_start_matches(is_space),
            false => text,
        };
        let first = text.bytes().next().unwrap_or(b';');
        matches!(first.to_ascii_lowercase(), b's' | b'(' | b'w' | b't' | b';')
    }
}
