#![allow(clippy::unwrap_used)]

//! Whole files: what they mean, what is wrong with them, and whether the
//! example and the documentation keep up.

mod documents;
mod mistakes;
mod overrides;
mod plugins;
mod syntax;
mod values;

use super::Config;

/// The shortest correct file.
const SHORTEST: &str = "sr_check_user = \"w\"\n[[backend]]\nhostname = \"db0\"\n";

/// Reads `lines` followed by the shortest file.
fn top(lines: &str) -> Config {
    Config::parse(&format!("{lines}\n{SHORTEST}"), "waypool.toml").unwrap()
}

/// The messages about `text`.
fn mistakes_in(text: &str) -> String {
    match Config::parse(text, "waypool.toml") {
        Ok(_) => "none".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

/// The messages about `lines` followed by the shortest file.
fn mistakes_at_top(lines: &str) -> String {
    mistakes_in(&format!("{lines}\n{SHORTEST}"))
}

/// The messages about `lines` at the end of the shortest file, whose first
/// line is then line 4.
fn mistakes_at_end(lines: &str) -> String {
    mistakes_in(&format!("{SHORTEST}{lines}\n"))
}
