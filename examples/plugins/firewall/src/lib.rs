//! Refuses statements that should not have been sent: an UPDATE or DELETE of a
//! whole table, a change of the schema in the middle of the day, a DO block.
//!
//! It is a rewriter: those see every text first, and may reject it. It looks at
//! tokens ([`statement`]) rather than searching the text, so that strings,
//! comments and odd spacing neither deceive nor disturb it.

mod statement;
mod window;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{Depends, Host, Plan, Plugin, Refusal, Result, Rewriter, export};

use statement::{Statement, Text};
use window::Window;

/// `[plugins.firewall.config]` of waypool.toml
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What may not be done to a whole table: "delete" and "update" without
    /// WHERE, "truncate".
    pub whole_table: BTreeSet<String>,
    /// Statements that are always refused, by their first word.
    pub forbidden: BTreeSet<String>,
    /// When the schema may be changed, in UTC: "02:00-04:30"; "" is never.
    pub ddl_window: String,
    /// Who may change it at any time.
    pub ddl_users: BTreeSet<String>,
    /// For whom nothing of this holds.
    pub exempt_users: BTreeSet<String>,
}

impl Default for Config {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Config {
            whole_table: words(&["delete", "update", "truncate"]),
            // Nobody can see what it does, because its body is a string.
            forbidden: words(&["do"]),
            ddl_window: String::new(),
            ddl_users: BTreeSet::new(),
            exempt_users: BTreeSet::new(),
        }
    }
}

#[derive(Debug)]
pub struct Firewall {
    config: Config,
    window: Window,
}

impl Plugin for Firewall {
    type Config = Config;

    const ABOUT: &'static str = "Refuses whole-table writes, and DDL outside of a time window";

    fn new(config: Config) -> Result<Self> {
        let known = ["delete", "update", "truncate"];
        if let Some(wrong) = config.whole_table.iter().find(|word| !known.contains(&word.as_str())) {
            return Err(format!("whole_table: \"{wrong}\" is none of {}", known.join(", ")).into());
        }
        let window = Window::parse(&config.ddl_window)?;
        Ok(Firewall { config, window })
    }
}

impl Rewriter for Firewall {
    fn rewrite(&mut self, text: &str, host: &Host) -> Result<Plan> {
        let text = Text::new(text);
        let refusal = match text.is_ambiguous() {
            true => refuse(
                "a backslash stands before a quote in a string",
                "Where that string ends depends on a setting: write E'…', or send it as a parameter.",
            ),
            false => text.statements().find_map(|statement| self.judge(statement, host)),
        };
        // Most texts are not refused, and need no look at the user.
        let Some(refusal) = refusal.filter(|_| !self.config.exempt_users.contains(&host.user())) else {
            // It holds for the same statement with other literals and other
            // comments: neither was looked at. (A string with a backslash before
            // a quote has no shape.)
            return Ok(Plan::Keep(Depends::Shape));
        };
        // Plans are kept: this counts texts, not attempts.
        host.count("refused_texts", 1);
        Ok(refusal.into())
    }
}

impl Firewall {
    /// Why a statement is refused, if it is.
    fn judge(&self, statement: Statement<'_>, host: &Host) -> Option<Refusal> {
        let verb = statement.verb();
        if self.config.forbidden.contains(&verb) {
            let hint = "See forbidden and exempt_users in [plugins.firewall.config] of waypool.toml.";
            return refuse(format!("{} is not allowed here", verb.to_ascii_uppercase()), hint);
        }
        match statement.whole_table_write().filter(|verb| self.config.whole_table.contains(*verb)) {
            Some("truncate") => {
                refuse("TRUNCATE is not allowed here", "DELETE … WHERE true deletes all rows.")
            }
            Some(verb) => {
                let hint = "Write WHERE true if all rows are meant.";
                refuse(format!("{} without WHERE", verb.to_ascii_uppercase()), hint)
            }
            None if DDL.contains(&verb.as_str()) && !statement.is_temporary() => self.judge_ddl(&verb, host),
            None => None,
        }
    }

    fn judge_ddl(&self, verb: &str, host: &Host) -> Option<Refusal> {
        if self.config.ddl_users.contains(&host.user()) {
            return None;
        }
        let message = format!("{} is not allowed now", verb.to_ascii_uppercase());
        if self.window.is_empty() {
            return refuse(message, "See ddl_users in [plugins.firewall.config] of waypool.toml.");
        }
        // An answer that asked for the time is not kept: the plugin is asked again
        // at each execution. So only DDL asks.
        match self.window.contains(host.now()) {
            true => None,
            false => refuse(message, format!("The schema may be changed {} UTC.", self.config.ddl_window)),
        }
    }
}

/// What changes the schema, or what people may do.
const DDL: [&str; 9] =
    ["create", "alter", "drop", "comment", "grant", "revoke", "import", "security", "reassign"];

fn refuse(message: impl Into<String>, hint: impl Into<String>) -> Option<Refusal> {
    // 42501: insufficient privilege
    Some(Refusal::new("42501", message).hint(hint))
}

export!(Firewall: rewriter);

#[cfg(test)]
mod tests;
