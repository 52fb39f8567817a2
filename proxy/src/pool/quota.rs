//! How many connections to one server a user may have, a database, and both
//! together.

use super::group::Ticket;
use super::queue::Inner;
use crate::config::Config;
use hashbrown::HashMap;
use std::sync::Arc;

/// Connections of one user to one database share a limit.
pub(super) type GroupKey = (Arc<str>, Arc<str>);

/// The limits that concern one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    /// `pool_size`
    pub group: usize,
    /// `max_db_connections`
    pub database: usize,
    /// `max_user_connections`
    pub user: usize,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Group,
    Database,
    User,
    Server,
}

/// Connections open, or being opened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub in_all: usize,
    databases: HashMap<Arc<str>, usize>,
    users: HashMap<Arc<str>, usize>,
}

// === impl Quota ===

impl Quota {
    pub fn of(config: &Config, (user, database): &GroupKey) -> Self {
        Quota {
            group: config.pool_size(database, user),
            database: config.max_db_connections(database).unwrap_or(usize::MAX),
            user: config.max_user_connections(user).unwrap_or(usize::MAX),
        }
    }
}

// === impl Full ===

impl Full {
    /// Whether one connection less of `other` makes room for `key`.
    pub(super) fn concerns(self, key: &GroupKey, other: &GroupKey) -> bool {
        match self {
            Full::Group => key == other,
            Full::Database => key.1 == other.1,
            Full::User => key.0 == other.0,
            Full::Server => true,
        }
    }

    /// Whose connections they are that the limit counts.
    pub(super) fn whose(self) -> &'static str {
        match self {
            Full::Group => "for this user and database",
            Full::Database => "for this database",
            Full::User => "for this user",
            Full::Server => "in all",
        }
    }

    /// The limit's name in the configuration.
    pub(super) fn key(self) -> &'static str {
        match self {
            Full::Group => "default_pool_size (or the pool_size of this database or user)",
            Full::Database => "max_db_connections",
            Full::User => "max_user_connections",
            Full::Server => "max_connections of this [[backend]]",
        }
    }
}

// === impl Counts ===

impl Counts {
    pub fn add(&mut self, (user, database): &GroupKey) {
        self.in_all += 1;
        *self.users.entry(user.clone()).or_default() += 1;
        *self.databases.entry(database.clone()).or_default() += 1;
    }

    pub fn remove(&mut self, (user, database): &GroupKey) {
        self.in_all -= 1;
        for (counts, name) in [(&mut self.users, user), (&mut self.databases, database)] {
            if let Some(count) = counts.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(name);
                }
            }
        }
    }

    pub fn of_user(&self, user: &str) -> usize {
        self.users.get(user).copied().unwrap_or(0)
    }

    pub fn of_database(&self, database: &str) -> usize {
        self.databases.get(database).copied().unwrap_or(0)
    }
}

// === impl Inner ===

/// The part of the queue that is about limits.
impl Inner {
    /// The limit that forbids one more connection of this group; or would, if
    /// one of the group `freed` were closed.
    pub fn full(&self, key: &GroupKey, freed: Option<&GroupKey>) -> Option<Full> {
        let quota = match self.groups.get(key) {
            Some(group) => group.quota,
            None => Quota::of(&self.limits.config, key),
        };
        let limits = [
            (Full::Group, quota.group),
            (Full::Database, quota.database),
            (Full::User, quota.user),
            (Full::Server, self.limits.in_all),
        ];
        let reached = limits.into_iter().find(|(full, most)| {
            let less = freed.is_some_and(|freed| full.concerns(key, freed));
            *most != usize::MAX && self.count(*full, key) >= most.saturating_add(usize::from(less))
        });
        reached.map(|(full, _)| full)
    }

    /// A limit other than that of the group forbids one more connection: these
    /// hold for the reserve, too.
    pub fn is_full_but_for_group(&self, key: &GroupKey) -> bool {
        let Some(quota) = self.groups.get(key).map(|group| group.quota) else {
            return false;
        };
        let full = |full, most| self.count(full, key) >= most;
        full(Full::Database, quota.database)
            || full(Full::User, quota.user)
            || full(Full::Server, self.limits.in_all)
    }

    /// How many connections this limit counts.
    pub fn count(&self, full: Full, key: &GroupKey) -> usize {
        match full {
            Full::Group => self.groups.get(key).map_or(0, |group| group.open),
            Full::Database => self.counts.of_database(&key.1),
            Full::User => self.counts.of_user(&key.0),
            Full::Server => self.counts.in_all,
        }
    }

    /// Who has waited longest of those for whom there is room; or would be, if
    /// a connection of the group `freed` were closed.
    pub fn next_ready(&self, freed: Option<&GroupKey>) -> Option<(Ticket, GroupKey)> {
        let in_all = self.counts.in_all - usize::from(freed.is_some());
        if in_all >= self.limits.in_all {
            return None;
        }
        let ready = self.ready.iter().find(|(_, key)| self.full(key, freed).is_none());
        ready.map(|(ticket, key)| (*ticket, key.clone()))
    }

    /// More connections than the limits allow, which may have been lowered.
    pub fn is_over(&self, key: &GroupKey) -> bool {
        let Some(group) = self.groups.get(key) else {
            return false;
        };
        let quota = group.quota;
        let over = |full, most| most != usize::MAX && self.count(full, key) > most;
        over(Full::Group, self.limits.most(group))
            || over(Full::Database, quota.database)
            || over(Full::User, quota.user)
            || over(Full::Server, self.limits.in_all)
    }
}
