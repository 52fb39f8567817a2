//! `[databases.NAME]` and `[users]`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::keys::{self, Kind};
use super::model::{PoolMode, Secret};
use super::overrides::{Database, User};
use super::section::{Section, type_of};

/// More than anybody has, of connections and of clients.
const MOST: usize = 1_000_000;

/// 0 is no limit.
pub(super) fn limit(section: &Section<'_>, key: &'static str, default: Option<usize>) -> Option<usize> {
    match section.integer(key, default.unwrap_or(0), 0..=MOST) {
        0 => None,
        most => Some(most),
    }
}

pub(super) fn pool_mode(section: &Section<'_>) -> Option<PoolMode> {
    let words = [
        ("session", PoolMode::Session),
        ("transaction", PoolMode::Transaction),
        ("statement", PoolMode::Statement),
    ];
    section.value("pool_mode")?;
    Some(section.choice("pool_mode", PoolMode::Session, &words, &[]))
}

/// A number that something else stands in for if it is not written.
fn size(section: &Section<'_>, key: &'static str, example: usize, least: usize) -> Option<usize> {
    section.value(key)?;
    Some(section.integer(key, example, least..=MOST))
}

/// What holds where a table says nothing: the limits at the top.
#[derive(Clone, Copy)]
pub(super) struct OfAll {
    pub(super) connections: Option<usize>,
    pub(super) clients: Option<usize>,
}

pub(super) fn databases(top: &Section<'_>, of_all: OfAll) -> BTreeMap<String, Database> {
    let Some(section) = top.table("databases", Kind::Databases) else {
        return BTreeMap::new();
    };
    let mut databases = BTreeMap::new();
    for (name, value, span) in section.entries() {
        if name.is_empty() {
            section.at_span(&span, "a database needs a name: write [databases.NAME]");
        }
        if !value.get_ref().is_table() && keys::DATABASE.contains(&name) {
            section.at_span(&span, format!("{name} belongs into a [databases.NAME] table"));
            continue;
        }
        if let Some(table) = section.table(name, Kind::Database) {
            databases.insert(name.to_owned(), database(&table, of_all));
        }
    }
    databases
}

fn database(section: &Section<'_>, of_all: OfAll) -> Database {
    let database = Database {
        pool_mode: pool_mode(section),
        pool_size: size(section, "pool_size", 90, 1),
        min_pool_size: size(section, "min_pool_size", 0, 0),
        reserve_pool_size: size(section, "reserve_pool_size", 0, 0),
        max_db_connections: limit(section, "max_db_connections", of_all.connections),
        max_db_client_connections: limit(section, "max_db_client_connections", of_all.clients),
    };
    if let (Some(least), Some(most)) = (database.min_pool_size, database.pool_size)
        && least > most
    {
        section.complain(
            "min_pool_size",
            format!("min_pool_size must not be more than pool_size, which is {most}: write {most} or less"),
        );
    }
    section.finish();
    database
}

/// Messages name the user, never the secret.
pub(super) fn users(top: &Section<'_>, of_all: OfAll) -> BTreeMap<String, User> {
    let Some(section) = top.table("users", Kind::Free) else {
        return BTreeMap::new();
    };
    let mut users = BTreeMap::new();
    for (name, value, span) in section.entries() {
        if name.is_empty() {
            section.at_span(&span, "a user needs a name: write name = \"secret\"");
        }
        // After [users] TOML takes every line for a user's. Only names with an
        // underscore, as others (backend, ssl) may well be users.
        if name.contains('_') && keys::TOP.contains(&name) {
            section.at_span(
                &span,
                format!("{name} is not a user: it belongs at the top of the file, before the first [table]"),
            );
            continue;
        }
        match value.get_ref() {
            DeValue::String(secret) if secret.is_empty() => {
                section.at(value, format!("the secret of user {name} is empty: remove the line"));
            }
            DeValue::String(secret) => {
                let password = Some(Secret::new(secret.as_ref()));
                users.insert(name.to_owned(), User { password, ..User::of_all(of_all) });
            }
            DeValue::Table(_) => {
                let table = section.table(name, Kind::User);
                users.extend(table.map(|table| (name.to_owned(), user(&table, name, of_all))));
            }
            other => {
                let kind = type_of(other);
                section.at(
                    value,
                    format!("the secret of user {name} must be a string, not {kind}: put quotes around it"),
                );
            }
        }
    }
    users
}

fn user(section: &Section<'_>, name: &str, of_all: OfAll) -> User {
    let password = section.value("password");
    if password.is_some_and(|value| value.get_ref().as_str() == Some("")) {
        section.complain("password", format!("the secret of user {name} is empty: remove it"));
    }
    let user = User {
        password: section.text("password", "…").map(Secret::new),
        pool_mode: pool_mode(section),
        pool_size: size(section, "pool_size", 90, 1),
        max_user_connections: limit(section, "max_user_connections", of_all.connections),
        max_user_client_connections: limit(section, "max_user_client_connections", of_all.clients),
    };
    section.finish();
    user
}

// === impl User ===

impl User {
    /// What holds for a user who has no table.
    fn of_all(of_all: OfAll) -> Self {
        User {
            password: None,
            pool_mode: None,
            pool_size: None,
            max_user_connections: of_all.connections,
            max_user_client_connections: of_all.clients,
        }
    }
}
