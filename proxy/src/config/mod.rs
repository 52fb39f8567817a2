//! `waypool.toml`: read, checked, explained.
//!
//! [`Config::load`] reads a file and either returns a [`Config`] in which every
//! value is usable as it stands, or [`ConfigErrors`]: *all* the mistakes, each
//! with its line and what to write instead. `waypool check` prints them.
//!
//! ```text
//! text ─ toml ─▶ tables with positions ─ read_* ─▶ Config
//!                                          └─────▶ Problems ─▶ ConfigErrors
//! ```
//!
//! | file | job |
//! |---|---|
//! | `model.rs` | what the rest of Waypool gets |
//! | `overrides.rs` | what holds for one database or one user |
//! | `read.rs`, `read_backend.rs`, `read_overrides.rs`, `read_plugin.rs`, `read_admin.rs` | the keys: types, ranges, defaults, checks across keys |
//! | `section.rs` | fetching one typed value out of a TOML table |
//! | `units.rs` | `"10s"`, `"64MB"` |
//! | `pattern.rs` | a name, or a regular expression |
//! | `public_key.rs`, `vet.rs` | whose plugins are trusted, and whether a file is one of them |
//! | `keys.rs`, `pgpool.rs` | known names; what to say about unknown ones; Pgpool-II's parameters |
//! | `syntax.rs` | mistakes of TOML itself |
//! | `errors.rs` | mistakes with positions |
//! | `difference.rs` | what a reload changes |
//!
//! A new option is a field in `model.rs`, a line in `read.rs`, a name in
//! `keys.rs` and `difference.rs`, and a row in the example and the
//! documentation; tests and the compiler name the ones forgotten.

mod difference;
mod errors;
mod keys;
mod model;
mod overrides;
mod pattern;
pub mod pgpool;
mod public_key;
mod read;
mod read_admin;
mod read_backend;
mod read_overrides;
mod read_plugin;
mod section;
mod syntax;
mod units;
mod vet;

#[cfg(test)]
mod tests;

use std::path::Path;

use toml::de::DeTable;

pub use difference::Difference;
pub use errors::{ConfigError, ConfigErrors, Position};
pub use model::*;
pub use overrides::{Database, User};
pub use pattern::Pattern;
pub use public_key::PublicKey;
pub(crate) use units::{show_duration, show_size};
pub use vet::Untrusted;
pub(crate) use vet::signature_file;

use errors::Problems;

impl Config {
    /// Reads and checks the file at `path`.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        let path = path.as_ref();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) => {
                Err(ConfigErrors::whole_file(path, format!("cannot read the configuration: {error}")))
            }
        }
    }

    /// Checks `text` as if it stood in the file `path`. Relative paths in it
    /// are taken from that file's folder, and files that it names must exist.
    pub fn parse(text: &str, path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        let path = path.as_ref();
        let problems = Problems::new(text, path);
        let (table, mistakes) = DeTable::parse_recoverable(text);
        if let Some(errors) = syntax::check(text, path, &table, &mistakes) {
            return Err(errors);
        }
        let config = read::config(table.get_ref(), path, &problems);
        problems.into_result(config)
    }

    /// What becomes different when `new` takes the place of `old`.
    pub fn reloadable_difference(old: &Self, new: &Self) -> Difference {
        difference::between(old, new)
    }
}
