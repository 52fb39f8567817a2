//! The plugin's configuration: Pgpool-II's parameters of the same names.

use serde::{Deserialize, Serialize};

use crate::adaptive::Tracking;
use crate::redirect::{List, Redirects};
use crate::relationship::Relationships;
use waypool_plugin_sdk::ReadAfter;

/// `[plugins.balance.config]` of waypool.toml
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Off: every statement goes to the primary.
    pub load_balance_mode: bool,
    /// Choose a server for each read rather than for each session.
    pub statement_level_load_balance: bool,
    /// Which reads go to the primary after a write.
    pub disable_load_balance_on_write: String,
    /// `table:table` and `function():table`: who writes to the left one changes
    /// the right one too.
    pub dml_adaptive_object_relationship_list: Items,
    /// `user:node(ratio)`: where the reads of these users go.
    pub user_redirect_preference_list: Items,
    /// The same for databases, before that for users.
    pub database_redirect_preference_list: Items,
    /// The same for application names, before both.
    pub app_name_redirect_preference_list: Items,
    /// In place of a standby that is behind, the one that is least so, rather
    /// than the primary.
    pub prefer_lower_delay_standby: bool,
    /// `dml_adaptive_global`: how many times the lag of the slowest standby a
    /// table is read on the primary after it was written to.
    pub track_table_mutation_ttl_factor: f64,
    /// At most so many milliseconds. 0: an hour.
    pub track_table_mutation_max_staleness: u64,
    /// All reads go to the primary so many milliseconds after the start,
    /// because nothing is known of the writes before.
    pub track_table_mutation_cold_start_duration: u64,
    /// Whose commits a read has seen: "off", "session" or "user".
    pub read_your_writes: String,
    /// How many milliseconds it waits for a standby that has not.
    pub read_your_writes_timeout: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            load_balance_mode: true,
            statement_level_load_balance: false,
            disable_load_balance_on_write: "transaction".to_owned(),
            dml_adaptive_object_relationship_list: Items::default(),
            user_redirect_preference_list: Items::default(),
            database_redirect_preference_list: Items::default(),
            app_name_redirect_preference_list: Items::default(),
            prefer_lower_delay_standby: false,
            track_table_mutation_ttl_factor: 5.0,
            track_table_mutation_max_staleness: 60_000,
            track_table_mutation_cold_start_duration: 2_000,
            read_your_writes: "off".to_owned(),
            read_your_writes_timeout: 1_000,
        }
    }
}

/// A list: one text with commas, as in pgpool.conf, or an array.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "a string with commas, or an array of strings")]
pub enum Items {
    Text(String),
    Array(Vec<String>),
}

impl Default for Items {
    fn default() -> Self {
        Self::Array(Vec::new())
    }
}

impl Items {
    /// What stands between the commas, without the empty ones. The strings of
    /// an array may have commas within.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (text, array) = match self {
            Self::Text(text) => (text.as_str(), [].as_slice()),
            Self::Array(array) => ("", array.as_slice()),
        };
        let items = text.split(',').chain(array.iter().map(String::as_str));
        items.map(str::trim).filter(|item| !item.is_empty())
    }
}

impl From<&str> for Items {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// disable_load_balance_on_write: the reads that follow a write to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterWrite {
    /// `off`: none
    Balance,
    /// `transaction`: those of the same transaction
    Transaction,
    /// `trans_transaction`: those of the same and of all later explicit
    /// transactions of the session
    LaterTransactions,
    /// `always`: all later ones of the session
    Session,
    /// `dml_adaptive`: those of the same transaction that read what it wrote
    Tables,
    /// `dml_adaptive_global`: and those of all sessions, for a while
    TablesOfAll,
}

impl AfterWrite {
    const WORDS: [(&'static str, Self); 6] = [
        ("off", Self::Balance),
        ("transaction", Self::Transaction),
        ("trans_transaction", Self::LaterTransactions),
        ("always", Self::Session),
        ("dml_adaptive", Self::Tables),
        ("dml_adaptive_global", Self::TablesOfAll),
    ];

    pub fn parse(value: &str) -> Result<Self, String> {
        choice("disable_load_balance_on_write", value, &Self::WORDS)
    }

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }

    /// Whether it is about tables rather than about transactions.
    pub fn by_table(self) -> bool {
        matches!(self, Self::Tables | Self::TablesOfAll)
    }
}

/// The configuration, understood.
#[derive(Debug)]
pub struct Rules {
    pub load_balance_mode: bool,
    pub statement_level: bool,
    pub after_write: AfterWrite,
    pub prefer_lower_delay: bool,
    pub redirects: Redirects,
    pub relationships: Relationships,
    pub tracking: Tracking,
    pub read_after: ReadAfter,
    pub wait_millis: u32,
}

impl Rules {
    pub fn new(config: &Config) -> Result<Self, String> {
        let lists = [
            (List::User, &config.user_redirect_preference_list),
            (List::Database, &config.database_redirect_preference_list),
            (List::AppName, &config.app_name_redirect_preference_list),
        ];
        Ok(Self {
            load_balance_mode: config.load_balance_mode,
            statement_level: config.statement_level_load_balance,
            after_write: AfterWrite::parse(&config.disable_load_balance_on_write)?,
            prefer_lower_delay: config.prefer_lower_delay_standby,
            redirects: Redirects::new(lists)?,
            relationships: Relationships::new(&config.dml_adaptive_object_relationship_list)?,
            tracking: tracking(config)?,
            read_after: choice("read_your_writes", &config.read_your_writes, &READ_AFTER)?,
            wait_millis: within(
                "read_your_writes_timeout",
                config.read_your_writes_timeout,
                0,
                600_000,
                "milliseconds",
            )?,
        })
    }
}

const READ_AFTER: [(&str, ReadAfter); 3] =
    [("off", ReadAfter::Nothing), ("session", ReadAfter::Session), ("user", ReadAfter::User)];

fn tracking(config: &Config) -> Result<Tracking, String> {
    let millis = "milliseconds";
    Ok(Tracking {
        factor: within(
            "track_table_mutation_ttl_factor",
            config.track_table_mutation_ttl_factor,
            1.0,
            100.0,
            "",
        )?,
        most: within(
            "track_table_mutation_max_staleness",
            config.track_table_mutation_max_staleness,
            0,
            3_600_000,
            millis,
        )?,
        cold: within(
            "track_table_mutation_cold_start_duration",
            config.track_table_mutation_cold_start_duration,
            0,
            60_000,
            millis,
        )?,
    })
}

fn choice<T: Copy>(key: &str, value: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == value) {
        return Ok(*found);
    }
    let words: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let (last, others) = words.split_last().map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
    Err(format!("{key} = \"{value}\": it may be {} or {last}", others.join(", ")))
}

fn within<T>(key: &str, value: T, least: T, most: T, unit: &str) -> Result<T, String>
where
    T: PartialOrd + std::fmt::Display,
{
    match value >= least && value <= most {
        true => Ok(value),
        // NaN comes here too.
        false => {
            let space = if unit.is_empty() { "" } else { " " };
            Err(format!("{key} = {value}: it may be from {least} to {most}{space}{unit}"))
        }
    }
}
