//! The plugin's configuration: Pgpool-II's parameters of the same names.

use serde::Deserialize;

/// `[plugins.balance.config]` of waypool.toml
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Off: every statement goes to the primary.
    pub load_balance_mode: bool,
    /// Choose a server for each read rather than for each session.
    pub statement_level_load_balance: bool,
    /// Which reads go to the primary after a write.
    pub disable_load_balance_on_write: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            load_balance_mode: true,
            statement_level_load_balance: false,
            disable_load_balance_on_write: "transaction".to_owned(),
        }
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
}

impl AfterWrite {
    pub fn parse(value: &str) -> Result<Self, String> {
        match value {
            "off" => Ok(Self::Balance),
            "transaction" => Ok(Self::Transaction),
            "trans_transaction" => Ok(Self::LaterTransactions),
            "always" => Ok(Self::Session),
            "dml_adaptive" | "dml_adaptive_global" => Err(format!(
                "disable_load_balance_on_write = \"{value}\" is not supported yet: \
                 use \"transaction\", which sends at least these reads to the primary"
            )),
            _ => Err(format!(
                "disable_load_balance_on_write = \"{value}\": it may be \"off\", \
                 \"transaction\", \"trans_transaction\" or \"always\""
            )),
        }
    }
}
