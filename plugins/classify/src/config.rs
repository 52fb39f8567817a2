//! The plugin's configuration: Pgpool-II's parameters of the same names.

use serde::Deserialize;

use crate::facts::Relations;

/// `[plugins.classify.config]` of waypool.toml
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Off: a read has to begin with S, W, T or `(`, so what begins with a
    /// comment goes to the primary, which programs use as a hint.
    pub allow_sql_comments: bool,
    /// White space before the first character is not looked at.
    pub ignore_leading_white_space: bool,
    /// Keep reads of temporary tables on the primary.
    pub check_temp_table: CheckTempTable,
    /// Keep reads of unlogged tables on the primary: standbys have none.
    pub check_unlogged_table: bool,
}

/// How temporary tables are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckTempTable {
    /// In the primary's catalog
    #[serde(alias = "on")]
    Catalog,
    /// By the CREATE TEMP TABLE statements of the session
    Trace,
    /// Not at all
    #[serde(alias = "off")]
    None,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allow_sql_comments: false,
            ignore_leading_white_space: true,
            check_temp_table: CheckTempTable::Catalog,
            check_unlogged_table: true,
        }
    }
}

impl Rules {
    /// Refuses what this version does not do yet.
    pub fn checked(self) -> Result<Self, String> {
        if self.check_temp_table == CheckTempTable::Trace {
            return Err("check_temp_table = \"trace\" is not supported yet: use \"catalog\", \
                        which finds the same tables and those of functions, or \"none\""
                .to_owned());
        }
        Ok(self)
    }

    /// Which relations keep a query on the primary.
    pub fn relations(&self) -> Relations {
        Relations {
            catalog: true,
            temporary: self.check_temp_table != CheckTempTable::None,
            unlogged: self.check_unlogged_table,
        }
    }

    /// Does `text` begin as Pgpool-II wants a read to begin? An empty text
    /// and a lone semicolon do.
    pub fn begins_as_read(&self, text: &str) -> bool {
        let is_space = |char: char| matches!(char, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
        let text = match self.ignore_leading_white_space {
            true => text.trim_start_matches(is_space),
            false => text,
        };
        let first = text.bytes().next().unwrap_or(b';');
        matches!(first.to_ascii_lowercase(), b's' | b'(' | b'w' | b't' | b';')
    }
}
