//! The contract's words, as `waypool.wit` spells them.

use serde::{Deserialize, Deserializer, de::Error};

/// What kind of statement it is.
pub const KINDS: &[&str] = &[
    "unknown",
    "empty",
    "select",
    "dml",
    "ddl",
    "copy-to",
    "explain",
    "show",
    "set",
    "set-local",
    "reset",
    "begin",
    "commit",
    "rollback",
    "savepoint",
    "release",
    "rollback-to",
    "prepare-transaction",
    "finish-prepared",
    "prepare",
    "execute",
    "deallocate",
    "discard",
    "cursor",
    "listen",
    "lock",
    "utility",
];

/// What it does.
pub const EFFECTS: &[&str] = &[
    "writes",
    "locks",
    "serializable",
    "read-only",
    "read-write",
    "session-state",
    "multiple",
    "unparsed",
    "transaction-inside",
    "primary-relation",
    "unused-database",
];

/// Where it has to run.
pub const SERVERS: &[&str] = &["any", "primary", "all"];

/// What an answer depends on.
pub const DEPENDS: &[&str] = &["shape", "text", "moment"];

/// Where the session's transaction stands.
pub const TRANSACTIONS: &[&str] = &["idle", "open", "failed"];

/// What a server is.
pub const NODE_ROLES: &[&str] = &["primary", "standby", "unknown"];

/// What the catalog says of a function or an operator.
pub const VOLATILITIES: &[&str] = &["immutable", "stable", "volatile"];

/// What the catalog says of a relation; nothing of these is an ordinary table.
pub const RELATION_FACTS: &[&str] = &["temporary", "unlogged", "catalog", "view", "volatile"];

fn check<E: Error>(word: &str, words: &[&str]) -> Result<(), E> {
    match words.contains(&word) {
        true => Ok(()),
        false => Err(E::custom(format!("\"{word}\" is none of {}", words.join(", ")))),
    }
}

/// A word of a list, for serde.
macro_rules! one_of {
    ($($function:ident $words:ident),* $(,)?) => {$(
        pub fn $function<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
            let word = String::deserialize(deserializer)?;
            check(&word, $words)?;
            Ok(word)
        }
    )*};
}

/// Several of a list.
macro_rules! several_of {
    ($($function:ident $words:ident),* $(,)?) => {$(
        pub fn $function<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
            let list = Vec::<String>::deserialize(deserializer)?;
            list.iter().try_for_each(|word| check(word, $words))?;
            Ok(list)
        }
    )*};
}

one_of!(
    kind KINDS,
    servers SERVERS,
    depends DEPENDS,
    transaction TRANSACTIONS,
    node_role NODE_ROLES,
);

several_of!(effects EFFECTS);

/// The same for what may be left out.
pub mod optional {
    use super::*;

    macro_rules! optional {
        ($($function:ident: $type:ty),* $(,)?) => {$(
            pub fn $function<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<$type>, D::Error> {
                super::$function(deserializer).map(Some)
            }
        )*};
    }

    optional!(
        kind: String,
        servers: String,
        depends: String,
        transaction: String,
        effects: Vec<String>,
    );
}

pub fn check_volatility<E: Error>(word: &str) -> Result<(), E> {
    check(word, VOLATILITIES)
}

pub fn check_relation_fact<E: Error>(word: &str) -> Result<(), E> {
    check(word, RELATION_FACTS)
}
