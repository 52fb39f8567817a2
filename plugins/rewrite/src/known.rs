//! What is known of functions and types without asking the catalog.

/// What a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The same for a whole statement: the time of its transaction or of itself,
    /// or something of the server or the connection
    Stable,
    /// The next value of a sequence
    Sequence,
    /// Another one for each row
    Random,
    /// It cannot be handed over.
    Unrepeatable,
}

/// A function whose value each server would make up for itself.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub what: What,
    /// The type of its value; `None`: more than one has the name.
    pub type_name: Option<&'static str>,
}

pub const TIMESTAMPTZ: &str = "pg_catalog.timestamptz";

/// A function of pg_catalog, or of the extension uuid-ossp.
pub fn function(name: &str) -> Option<Function> {
    use What::{Random, Sequence, Stable, Unrepeatable};
    let (what, type_name) = match name {
        "now" | "transaction_timestamp" | "statement_timestamp" => (Stable, Some(TIMESTAMPTZ)),
        "pg_postmaster_start_time" | "pg_conf_load_time" => (Stable, Some(TIMESTAMPTZ)),
        "pg_backend_pid" | "inet_server_port" => (Stable, Some("pg_catalog.int4")),
        "inet_server_addr" => (Stable, Some("pg_catalog.inet")),
        "txid_current" | "txid_current_if_assigned" => (Stable, Some("pg_catalog.int8")),
        "pg_current_xact_id" | "pg_current_xact_id_if_assigned" => (Stable, Some("pg_catalog.xid8")),
        "txid_current_snapshot" => (Stable, Some("pg_catalog.txid_snapshot")),
        "pg_current_snapshot" => (Stable, Some("pg_catalog.pg_snapshot")),
        "pg_current_wal_lsn" | "pg_current_wal_insert_lsn" | "pg_current_wal_flush_lsn" => {
            (Stable, Some("pg_catalog.pg_lsn"))
        }
        "version" => (Stable, Some("pg_catalog.text")),
        // What the session's own `nextval` gave.
        "currval" | "lastval" => (Stable, Some("pg_catalog.int8")),
        "nextval" => (Sequence, Some("pg_catalog.int8")),
        "clock_timestamp" => (Random, Some(TIMESTAMPTZ)),
        "timeofday" => (Random, Some("pg_catalog.text")),
        "random" | "random_normal" => (Random, None),
        "gen_random_uuid" | "uuidv4" | "uuidv7" => (Random, Some("pg_catalog.uuid")),
        "uuid_generate_v1" | "uuid_generate_v1mc" | "uuid_generate_v4" => (Random, Some("pg_catalog.uuid")),
        // Each server numbers its own.
        "lo_creat" | "lo_create" | "lo_import" | "lo_from_bytea" => (Unrepeatable, None),
        _ => return None,
    };
    Some(Function { what, type_name })
}

/// Volatile, and the same on every server, or without a value that is stored.
pub fn is_harmless(name: &str) -> bool {
    matches!(
        name,
        "setval"
            | "setseed"
            | "set_config"
            | "pg_sleep"
            | "pg_sleep_for"
            | "pg_sleep_until"
            | "pg_notify"
            | "lo_put"
            | "lo_unlink"
    ) || name.starts_with("pg_advisory_")
}

/// Words that are values, and their types. They may have a precision.
pub fn moment(word: &str) -> Option<&'static str> {
    let known = [
        ("current_date", "pg_catalog.date"),
        ("current_time", "pg_catalog.timetz"),
        ("current_timestamp", TIMESTAMPTZ),
        ("localtime", "pg_catalog.time"),
        ("localtimestamp", "pg_catalog.timestamp"),
    ];
    known.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, its_type)| *its_type)
}

/// A literal that is a moment if it becomes a date or a time: `'now'`,
/// `'tomorrow 12:00'`.
pub fn is_moment(literal: &str) -> bool {
    let words = literal.split(|char: char| !char.is_ascii_alphabetic());
    let moments = ["now", "today", "tomorrow", "yesterday"];
    words.into_iter().any(|word| moments.iter().any(|moment| word.eq_ignore_ascii_case(moment)))
}

/// The name that format_type has for a type of date and time.
pub fn is_datetime(type_name: &str) -> bool {
    type_name == "date" || type_name.starts_with("timestamp ") || type_name.starts_with("time ")
}

/// Stable, and the same on every server: who and where the session is.
pub fn is_of_session(word: &str) -> bool {
    matches!(
        word,
        "current_user"
            | "session_user"
            | "current_role"
            | "user"
            | "current_catalog"
            | "current_schema"
            | "current_database"
            | "current_setting"
    )
}
