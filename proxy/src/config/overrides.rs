//! `[databases.NAME]` and `[users]`: what holds for one database or one user
//! in place of the values at the top. Names and precedence are PgBouncer's: a
//! user's `pool_mode` and `pool_size` go before the database's, those before
//! the one at the top.

use super::model::{Config, PoolMode, Secret};

/// One `[databases.NAME]`; `"*"` is the one for databases without their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `None`, here and below: not written, so that something else counts.
    pub pool_mode: Option<PoolMode>,
    pub pool_size: Option<usize>,
    pub min_pool_size: Option<usize>,
    pub reserve_pool_size: Option<usize>,
    /// Connections to one server for this database. `None`: no limit.
    pub max_db_connections: Option<usize>,
    /// Clients of this database. `None`: no limit.
    pub max_db_client_connections: Option<usize>,
}

/// One entry of `[users]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `None`: only limits are written here, the secret stands elsewhere.
    pub password: Option<Secret>,
    pub pool_mode: Option<PoolMode>,
    pub pool_size: Option<usize>,
    /// Connections to one server for this user. `None`: no limit.
    pub max_user_connections: Option<usize>,
    /// Clients of this user. `None`: no limit.
    pub max_user_client_connections: Option<usize>,
}

// === impl Config ===

impl Config {
    /// How long a session of this user in this database keeps a server
    /// connection.
    pub fn pool_mode(&self, database: &str, user: &str) -> PoolMode {
        let of_user = self.users.get(user).and_then(|user| user.pool_mode);
        let of_database = || self.database(database).and_then(|database| database.pool_mode);
        of_user.or_else(of_database).unwrap_or(self.pool_mode)
    }

    /// Most connections to one server for this user and database. At least 1.
    pub fn pool_size(&self, database: &str, user: &str) -> usize {
        let of_user = self.users.get(user).and_then(|user| user.pool_size);
        let of_database = || self.database(database).and_then(|database| database.pool_size);
        of_user.or_else(of_database).unwrap_or(self.default_pool_size)
    }

    /// Most connections to one server for this database. `None`: no limit.
    pub fn max_db_connections(&self, database: &str) -> Option<usize> {
        self.database(database).map_or(self.max_db_connections, |database| database.max_db_connections)
    }

    /// Most clients of this database. `None`: no limit.
    pub fn max_db_client_connections(&self, database: &str) -> Option<usize> {
        self.database(database)
            .map_or(self.max_db_client_connections, |database| database.max_db_client_connections)
    }

    /// Most connections to one server for this user. `None`: no limit.
    pub fn max_user_connections(&self, user: &str) -> Option<usize> {
        self.users.get(user).map_or(self.max_user_connections, |user| user.max_user_connections)
    }

    /// Most clients of this user. `None`: no limit.
    pub fn max_user_client_connections(&self, user: &str) -> Option<usize> {
        self.users.get(user).map_or(self.max_user_client_connections, |user| user.max_user_client_connections)
    }

    /// The table for this database: its own, else `"*"`.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.get(name).or_else(|| self.databases.get("*"))
    }
}
