//! What holds for one database, or one user.

use super::{SHORTEST, top};
use crate::config::{Config, PoolMode};

const TOP: &str = "default_pool_size = 7\nmax_db_connections = 30\nmax_user_connections = 20\n\
                   max_db_client_connections = 300\nmax_user_client_connections = 200\n";

fn with(tables: &str) -> Config {
    Config::parse(&format!("{TOP}{SHORTEST}{tables}"), "waypool.toml").unwrap()
}

#[test]
fn a_users_mode_and_size_go_before_the_databases() {
    let config = with(
        "[databases.shop]\npool_mode = 'transaction'\npool_size = 5\n\
                       [users]\nbob = 'x'\nalice = { password = 'x', pool_mode = 'session', pool_size = 3 }\n",
    );
    assert_eq!(config.pool_mode("shop", "alice"), PoolMode::Session);
    assert_eq!(config.pool_mode("shop", "bob"), PoolMode::Transaction);
    assert_eq!(config.pool_mode("other", "bob"), PoolMode::Session);
    assert_eq!(config.pool_size("shop", "alice"), 3);
    assert_eq!(config.pool_size("other", "alice"), 3);
    assert_eq!(config.pool_size("shop", "bob"), 5);
    assert_eq!(config.pool_size("other", "unknown"), 7);
    assert_eq!(config.users["alice"].password.as_ref().unwrap().expose(), "x");
}

#[test]
fn the_mode_at_the_top_is_the_last_word() {
    let config = top("pool_mode = 'statement'\nusers.alice = { pool_mode = 'transaction' }");
    assert_eq!(config.pool_mode("shop", "alice"), PoolMode::Transaction);
    assert_eq!(config.pool_mode("shop", "bob"), PoolMode::Statement);
    assert_eq!(config.users["alice"].password, None);
}

#[test]
fn limits_are_those_at_the_top_unless_a_table_says_otherwise() {
    let config = with(
        "[databases.shop]\nmax_db_connections = 0\n[databases.stock]\nmax_db_client_connections = 9\n\
                       [users]\nbob = 'x'\ncarol = {}\nalice = { max_user_connections = 2, \
                       max_user_client_connections = 0 }\n",
    );
    assert_eq!(config.max_db_connections("shop"), None);
    assert_eq!(config.max_db_client_connections("shop"), Some(300));
    assert_eq!(config.max_db_connections("stock"), Some(30));
    assert_eq!(config.max_db_client_connections("stock"), Some(9));
    assert_eq!(config.max_db_connections("other"), Some(30));
    assert_eq!(config.max_user_connections("alice"), Some(2));
    assert_eq!(config.max_user_client_connections("alice"), None);
    for user in ["bob", "carol", "unknown"] {
        assert_eq!(config.max_user_connections(user), Some(20), "{user}");
        assert_eq!(config.max_user_client_connections(user), Some(200), "{user}");
    }
}

#[test]
fn a_star_is_for_databases_without_their_own() {
    let config = with(
        "[databases.\"*\"]\npool_size = 2\nmin_pool_size = 1\n[databases.shop]\nreserve_pool_size = 4\n",
    );
    assert_eq!(config.pool_size("any", "u"), 2);
    assert_eq!(config.pool_size("shop", "u"), 7);
    assert_eq!(config.database("any").unwrap().min_pool_size, Some(1));
    assert_eq!(config.database("shop").unwrap().min_pool_size, None);
    assert_eq!(config.database("shop").unwrap().reserve_pool_size, Some(4));
    assert_eq!(top("").database("any"), None);
}
