//! Why a statement went where it went: noted as a word, told as a sentence.

use crate::config::AfterWrite;
use crate::redirect::List;

/// Noted for each statement, so it is small.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Reason {
    #[default]
    NothingRouted,
    /// The classifier said so.
    Primarys,
    /// The classifier said so: for all servers of the session.
    Alls,
    BalancingOff,
    /// The transaction began in a text of several statements.
    PrimaryAlone,
    Failed,
    Serializable,
    Written(AfterWrite),
    /// It cannot be told what the transaction wrote.
    AnythingWritten,
    OwnTable,
    MarkedTable,
    Cold,
    /// The server that is read from now.
    Chosen(How),
    /// Behind, so the primary
    Delayed {
        id: u32,
    },
    /// Behind, so another standby
    LessDelayed {
        id: u32,
    },
}

/// How the server for reads was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// At the beginning of the session
    Home,
    /// In its place, since it does not answer
    Instead,
    Transaction,
    Statement,
}

/// The redirect list with an entry for the session, and whether that was heeded.
#[derive(Clone, Copy, Debug)]
pub struct Redirect {
    pub list: List,
    pub hit: bool,
}

impl Reason {
    pub fn tell(self, after_write: AfterWrite, redirect: Option<Redirect>) -> String {
        let setting = format!("disable_load_balance_on_write = {}", after_write.word());
        match self {
            Self::NothingRouted => "nothing was routed".to_owned(),
            Self::Primarys => "the statement itself is for the primary".to_owned(),
            Self::Alls => "the statement itself is for all servers of the session".to_owned(),
            Self::BalancingOff => "load_balance_mode = false".to_owned(),
            Self::PrimaryAlone => {
                "the transaction began in a text of several statements, on the primary alone".to_owned()
            }
            Self::Failed => "the transaction has failed, which the primary knows".to_owned(),
            Self::Serializable => "serializable transaction: a standby cannot be".to_owned(),
            Self::Written(AfterWrite::LaterTransactions) => format!("write in this session: {setting}"),
            Self::Written(AfterWrite::Session) => format!("write in this session: {setting}"),
            Self::Written(_) => format!("write in this transaction: {setting}"),
            Self::AnythingWritten => format!("this transaction may have written to any table: {setting}"),
            Self::OwnTable => format!("reads a table which this transaction wrote to: {setting}"),
            Self::MarkedTable => format!("reads a table which was just written to: {setting}"),
            Self::Cold => "just started: track_table_mutation_cold_start_duration".to_owned(),
            Self::Delayed { id } => format!("standby {id} is delayed"),
            Self::LessDelayed { id } => {
                format!("standby {id} is delayed: prefer_lower_delay_standby = true")
            }
            Self::Chosen(how) => {
                let what = match how {
                    How::Home => "home",
                    How::Instead => "in place of the home, which does not answer",
                    How::Transaction => "for this transaction: statement_level_load_balance = true",
                    How::Statement => "for this statement: statement_level_load_balance = true",
                };
                match redirect {
                    Some(Redirect { list, hit: true }) => format!("{what}, redirected by {}", list.key()),
                    Some(Redirect { list, hit: false }) => {
                        format!(
                            "{what}: outside of the ratio of {}, or its target does not answer",
                            list.key()
                        )
                    }
                    None => format!("{what}, chosen by weight"),
                }
            }
        }
    }
}
