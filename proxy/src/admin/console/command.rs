//! What may be said on the console.

use crate::admin::show::{self, Pool};
use crate::protocol::PgError;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing but white space.
    Empty,
    Show(Show),
    /// A database, or all of them.
    Pause(Option<String>),
    Resume(Option<String>),
    Reconnect(Option<String>),
    Kill(Option<String>),
    WaitClose(Option<String>),
    Disable(String),
    Enable(String),
    /// By `id` of `SHOW CLIENTS`.
    KillClient(u64),
    Reload,
    Shutdown(Shutdown),
    /// What drivers say of their own accord, and what changes nothing here:
    /// with the tag that answers it.
    Ignored(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    Now,
    WaitForServers,
    WaitForClients,
}

/// What `SHOW` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Help,
    Clients,
    Servers,
    Sockets,
    Pools,
    BackendPools,
    Stats,
    StatsTotals,
    StatsAverages,
    BackendStats,
    Totals,
    Databases,
    Users,
    Lists,
    Config,
    Mem,
    State,
    Version,
    /// Pgpool-II's.
    Pool(Pool),
    /// A parameter that drivers ask for, and its value.
    Parameter(&'static str, &'static str),
}

const SHOWS: [(&str, Show); 18] = [
    ("help", Show::Help),
    ("clients", Show::Clients),
    ("servers", Show::Servers),
    ("sockets", Show::Sockets),
    ("pools", Show::Pools),
    ("backend_pools", Show::BackendPools),
    ("stats", Show::Stats),
    ("stats_totals", Show::StatsTotals),
    ("stats_averages", Show::StatsAverages),
    ("backend_stats", Show::BackendStats),
    ("totals", Show::Totals),
    ("databases", Show::Databases),
    ("users", Show::Users),
    ("lists", Show::Lists),
    ("config", Show::Config),
    ("mem", Show::Mem),
    ("state", Show::State),
    ("version", Show::Version),
];

/// Parameters that drivers set and ask for without need; PgBouncer's, and two
/// of JDBC's.
const PARAMETERS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("default_transaction_isolation", "read committed"),
    ("standard_conforming_strings", "on"),
    ("datestyle", "ISO"),
    ("timezone", "GMT"),
    ("extra_float_digits", "1"),
    ("application_name", ""),
];

/// What begins and ends a transaction elsewhere.
const TRANSACTIONS: [(&str, &str); 6] = [
    ("begin", "BEGIN"),
    ("start", "START TRANSACTION"),
    ("commit", "COMMIT"),
    ("end", "COMMIT"),
    ("rollback", "ROLLBACK"),
    ("abort", "ROLLBACK"),
];

// === impl Command ===

impl Command {
    pub fn parse(text: &str) -> Result<Self, PgError> {
        let invalid = || {
            let shown: String = text.trim().chars().take(100).collect();
            PgError::error("42601", format!("invalid command '{shown}', use SHOW HELP;"))
        };
        // It may have quotes, signs and commas in it.
        if text.trim_start().get(..4).is_some_and(|head| head.trim_end().eq_ignore_ascii_case("set")) {
            return set(text);
        }
        let words = words(text).ok_or_else(invalid)?;
        let Some((verb, arguments)) = words.split_first() else {
            return Ok(Command::Empty);
        };
        let verb = verb.to_ascii_lowercase();
        if let Some((_, tag)) = TRANSACTIONS.iter().find(|(word, _)| *word == verb) {
            return Ok(Command::Ignored(tag));
        }
        match (verb.as_str(), arguments) {
            ("show" | "select", [what]) => show(what).ok_or_else(invalid),
            ("pause", []) => Ok(Command::Pause(None)),
            ("pause", [database]) => of(database, "pause").map(|name| Command::Pause(Some(name))),
            ("resume", []) => Ok(Command::Resume(None)),
            ("resume", [database]) => of(database, "resume").map(|name| Command::Resume(Some(name))),
            ("reconnect", []) => Ok(Command::Reconnect(None)),
            ("reconnect", [database]) => of(database, "reconnect").map(|name| Command::Reconnect(Some(name))),
            ("kill", []) => Ok(Command::Kill(None)),
            ("kill", [database]) => of(database, "kill").map(|name| Command::Kill(Some(name))),
            ("wait_close", []) => Ok(Command::WaitClose(None)),
            ("wait_close", [database]) => of(database, "wait in").map(|name| Command::WaitClose(Some(name))),
            ("disable", [database]) => of(database, "disable").map(Command::Disable),
            ("enable", [database]) => of(database, "enable").map(Command::Enable),
            ("disable" | "enable", []) => Err(PgError::error("42601", "a database is required")),
            ("kill_client", [id]) => {
                let invalid = |_| PgError::error("22023", "invalid client pointer supplied");
                id.parse().map(Command::KillClient).map_err(invalid)
            }
            ("reload", []) => Ok(Command::Reload),
            ("shutdown", how) => shutdown(how).ok_or_else(invalid),
            ("suspend", []) => Err(PgError::error("0A000", "SUSPEND is not supported")
                .with_hint("PAUSE closes all server connections; a restart needs neither.")),
            _ => Err(invalid()),
        }
    }

    /// Whether a stats user may say it.
    pub fn only_looks(&self) -> bool {
        matches!(self, Command::Empty | Command::Show(_) | Command::Ignored(_))
    }
}

/// The database that an order is about.
fn of(database: &str, verb: &str) -> Result<String, PgError> {
    match database == super::DATABASE {
        true => Err(PgError::error("42501", format!("cannot {verb} admin db: {database}"))),
        false => Ok(database.to_owned()),
    }
}

fn show(what: &str) -> Option<Command> {
    let what = what.to_ascii_lowercase();
    if let Some((_, show)) = SHOWS.iter().find(|(name, _)| *name == what) {
        return Some(Command::Show(*show));
    }
    if let Some((name, value)) = PARAMETERS.iter().find(|(name, _)| *name == what) {
        return Some(Command::Show(Show::Parameter(name, value)));
    }
    match show::Command::read(format!("show {what}").as_bytes()) {
        Some(show::Command::Pool(pool)) => Some(Command::Show(Show::Pool(pool))),
        _ => None,
    }
}

/// `SET` of something that drivers set changes nothing, of all else is refused.
fn set(text: &str) -> Result<Command, PgError> {
    let rest = text.trim_start().get(3..).unwrap_or_default();
    let name: String = rest
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect::<String>()
        .to_ascii_lowercase();
    match PARAMETERS.iter().any(|(known, _)| *known == name) {
        true => Ok(Command::Ignored("SET")),
        false => {
            Err(PgError::error("0A000", "SET is not supported")
                .with_hint("Change waypool.toml, and say RELOAD."))
        }
    }
}

fn shutdown(how: &[String]) -> Option<Command> {
    let how = match how {
        [] => Shutdown::Now,
        [how] if how.eq_ignore_ascii_case("wait_for_servers") => Shutdown::WaitForServers,
        [how] if how.eq_ignore_ascii_case("wait_for_clients") => Shutdown::WaitForClients,
        _ => return None,
    };
    Some(Command::Shutdown(how))
}

/// The words of a command: letters, digits and `_`, or anything in double
/// quotes, in which `""` stands for one; perhaps a semicolon behind. `None`:
/// there is something else in it.
fn words(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().trim_end_matches(';').trim_end();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (word, tail) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c.is_ascii())
                    .unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if word.is_empty() || !(tail.is_empty() || tail.starts_with(|c: char| c.is_ascii_whitespace())) {
            return None;
        }
        words.push(word);
        rest = tail.trim_start();
    }
    Some(words)
}

/// What stands before the closing quote, and what follows it.
fn unquote(mut rest: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    loop {
        let (part, tail) = rest.split_once('"')?;
        word.push_str(part);
        match tail.strip_prefix('"') {
            Some(more) => {
                word.push('"');
                rest = more;
            }
            None => return Some((word, tail)),
        }
    }
}

#[cfg(test)]
mod tests;
