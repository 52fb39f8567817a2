//! What a session leaves on a server connection when it gives it back between
//! transactions, and what the next one has to do about it.

use super::statements::OnConnection;
use crate::protocol::sql::identifier;
use std::sync::Arc;

/// Parameters that are set, each with the statement that set it, in the order
/// of setting: a later one may build on an earlier one (SET ROLE after SET
/// SESSION AUTHORIZATION).
pub type Applied = Arc<Vec<(String, Box<[u8]>)>>;

/// Undoes every SET, whatever was set and by whom.
const RESET_EVERYTHING: &str = "RESET SESSION AUTHORIZATION;\nRESET ROLE;\nRESET ALL";

/// See the module.
#[derive(Debug, Default)]
pub struct State {
    /// `None`: nobody knows what is set.
    settings: Option<Applied>,
    /// Names that PREPARE has made.
    sql_statements: Vec<String>,
    pub statements: OnConnection,
}

impl State {
    /// Of a connection on which nothing has been done yet.
    pub fn fresh() -> Self {
        State { settings: Some(Applied::default()), ..State::default() }
    }

    pub fn is_fresh(&self) -> bool {
        let no_settings = self.settings.as_ref().is_some_and(|settings| settings.is_empty());
        no_settings && self.sql_statements.is_empty() && self.statements.is_empty()
    }

    /// Something is about to get this name as a prepared statement.
    pub fn has_name(&mut self, name: String) {
        self.sql_statements.push(name);
    }

    /// What the session that gives the connection back has made of it.
    pub fn leave(&mut self, settings: Option<&Applied>, sql_statements: Vec<String>) {
        self.settings = settings.cloned();
        self.sql_statements.extend(sql_statements);
    }

    /// The statements that make the connection one of a session with these
    /// settings; `None`: it is one already.
    pub fn change(&self, wanted: &Applied) -> Option<String> {
        let settled = self.settings.as_ref().is_some_and(|now| Arc::ptr_eq(now, wanted) || now == wanted);
        if settled && self.sql_statements.is_empty() {
            return None;
        }
        let mut statements: Vec<String> = self.sql_statements.iter().map(|name| deallocate(name)).collect();
        match &self.settings {
            _ if settled => {}
            Some(now) if !changes_role(now) && !changes_role(wanted) => {
                let gone = now.iter().filter(|(name, _)| wanted.iter().all(|(other, _)| other != name));
                statements.extend(gone.map(|(name, _)| reset(name)));
                let new = wanted.iter().filter(|entry| !now.contains(entry));
                statements.extend(new.map(|(_, statement)| text(statement)));
            }
            // What may be set depends on the role.
            _ => {
                statements.push(RESET_EVERYTHING.to_owned());
                statements.extend(wanted.iter().map(|(_, statement)| text(statement)));
            }
        }
        // The statements are the clients' own, and may end in a comment.
        Some(statements.join("\n;"))
    }

    /// The statements of [`State::change`] have been run.
    pub fn changed(&mut self, wanted: &Applied) {
        self.settings = Some(wanted.clone());
        self.sql_statements.clear();
    }
}

fn changes_role(settings: &Applied) -> bool {
    settings.iter().any(|(name, _)| name == "role" || name == "session_authorization")
}

fn text(statement: &[u8]) -> String {
    String::from_utf8_lossy(statement).into_owned()
}

fn reset(name: &str) -> String {
    let quoted: Vec<_> = name.split('.').map(identifier).collect();
    format!("RESET {}", quoted.join("."))
}

fn deallocate(name: &str) -> String {
    format!("DEALLOCATE {}", identifier(name))
}
