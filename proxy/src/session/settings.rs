//! The parameters a client has set, as the statements which set them: run
//! again on every server connection that the session opens later.

use std::rc::Rc;

type Statements = Rc<Vec<(String, Box<[u8]>)>>;

#[derive(Debug, Default)]
pub struct Settings {
    /// By parameter, in the order set: a later statement may build on an
    /// earlier one (SET ROLE after SET SESSION AUTHORIZATION).
    now: Statements,
    /// As they were when the open transaction began.
    at_begin: Option<Statements>,
    /// State was set in a way that cannot be repeated elsewhere.
    pub unrepeatable: bool,
}

impl Settings {
    pub fn set(&mut self, name: &str, statement: &[u8]) {
        let now = Rc::make_mut(&mut self.now);
        now.retain(|(known, _)| known != name);
        now.push((name.to_owned(), statement.into()));
    }

    pub fn reset(&mut self, name: &str) {
        Rc::make_mut(&mut self.now).retain(|(known, _)| known != name);
    }

    /// RESET ALL leaves role and session authorization; they are no
    /// parameters to it.
    pub fn reset_all(&mut self) {
        Rc::make_mut(&mut self.now).retain(|(name, _)| name == "role" || name == "session_authorization");
    }

    /// DISCARD ALL
    pub fn discard(&mut self) {
        self.now = Rc::default();
        self.unrepeatable = false;
    }

    pub fn begin(&mut self) {
        self.at_begin = Some(self.now.clone());
    }

    pub fn end(&mut self, committed: bool) {
        if let Some(at_begin) = self.at_begin.take()
            && !committed
        {
            self.now = at_begin;
        }
    }

    pub fn statements(&self) -> impl Iterator<Item = &[u8]> {
        self.now.iter().map(|(_, statement)| &**statement)
    }
}
