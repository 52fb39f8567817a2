//! The parameters a client has set, as the statements which set them: run
//! again on every server connection that the session gets later.

use crate::pool::Applied;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Settings {
    now: Applied,
    /// What the session began with, to which RESET leads back.
    at_start: Applied,
    /// As they were when the open transaction began.
    at_begin: Option<Applied>,
    /// As they were at each savepoint of it.
    at_savepoints: Vec<(String, Applied)>,
    /// State was set in a way that cannot be repeated elsewhere.
    pub unrepeatable: bool,
    /// The servers may have settings that are not noted here, or lack some.
    pub unsure: bool,
}

impl Settings {
    /// A session that begins with settings which its server connections do not
    /// have by themselves.
    pub fn starting_with(settings: Applied) -> Self {
        Settings { now: settings.clone(), at_start: settings, ..Settings::default() }
    }

    pub fn now(&self) -> &Applied {
        &self.now
    }

    pub fn set(&mut self, name: &str, statement: &[u8]) {
        let now = Arc::make_mut(&mut self.now);
        now.retain(|(known, _)| known != name);
        now.push((name.to_owned(), statement.into()));
    }

    pub fn reset(&mut self, name: &str) {
        let now = Arc::make_mut(&mut self.now);
        now.retain(|(known, _)| known != name);
        if let Some(first) = self.at_start.iter().find(|(known, _)| known == name) {
            now.push(first.clone());
            self.unsure = true;
        }
    }

    /// RESET ALL leaves role and session authorization; they are no
    /// parameters to it.
    pub fn reset_all(&mut self) {
        let role = |(name, _): &&(String, _)| name == "role" || name == "session_authorization";
        let kept: Vec<_> = self.now.iter().filter(role).cloned().collect();
        self.now = if kept.is_empty() {
            self.at_start.clone()
        } else {
            let first = self.at_start.iter().filter(|entry| !role(entry)).cloned();
            Arc::new(kept.into_iter().chain(first).collect())
        };
        self.unsure |= !self.at_start.is_empty();
    }

    /// DISCARD ALL
    pub fn discard(&mut self) {
        self.now = self.at_start.clone();
        self.unrepeatable = false;
        self.unsure = !self.at_start.is_empty();
    }

    pub fn begin(&mut self) {
        self.at_begin = Some(self.now.clone());
    }

    pub fn end(&mut self, committed: bool) {
        self.at_savepoints.clear();
        if let Some(at_begin) = self.at_begin.take()
            && !committed
        {
            self.now = at_begin;
        }
    }

    pub fn savepoint(&mut self, name: &str) {
        self.at_savepoints.push((name.to_owned(), self.now.clone()));
    }

    /// RELEASE, or with `back` ROLLBACK TO, which leaves the savepoint itself.
    pub fn leave_savepoint(&mut self, name: &str, back: bool) {
        let Some(at) = self.at_savepoints.iter().rposition(|(known, _)| known == name) else {
            return;
        };
        if back {
            self.now = self.at_savepoints[at].1.clone();
        }
        self.at_savepoints.truncate(at + usize::from(back));
    }
}
