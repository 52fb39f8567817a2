//! Which databases are paused: nobody gets a connection to them.

use std::collections::HashSet;

#[derive(Debug, Default)]
pub(super) struct Gate {
    all: bool,
    databases: HashSet<Box<str>>,
}

impl Gate {
    pub(super) fn holds(&self, database: &str) -> bool {
        self.all || (!self.databases.is_empty() && self.databases.contains(database))
    }

    /// `None`: all of them.
    pub(super) fn pause(&mut self, database: Option<&str>) {
        match database {
            Some(database) => {
                self.databases.insert(database.into());
            }
            None => self.all = true,
        }
    }

    /// `None`: all but those that are paused by name.
    pub(super) fn resume(&mut self, database: Option<&str>) {
        match database {
            Some(database) => {
                self.databases.remove(database);
            }
            None => self.all = false,
        }
    }
}
