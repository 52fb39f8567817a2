//! The users that Waypool knows: from the table `[users]` of waypool.toml and
//! from password files of PgBouncer and Pgpool-II.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::password::{Secret, SecretError};

/// Users and their secrets. Build a new one to reload.
#[derive(Debug, Clone, Default)]
pub struct Users {
    users: HashMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// `None`: listed without a password, which no password method lets in.
    secret: Option<Secret>,
    /// Where the user is listed, for error messages.
    origin: String,
}

#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    #[error("cannot read the password file {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{origin}: user \"{user}\": {source}")]
    Secret { origin: String, user: String, source: SecretError },
    #[error("{origin}: {message}")]
    Syntax { origin: String, message: String },
    #[error("{origin}: user \"{user}\" is listed twice, first in {first}: remove one of the two")]
    Duplicate { origin: String, user: String, first: String },
}

// === impl Users ===

impl Users {
    /// Adds users from a table of the configuration; `origin` names the table
    /// in error messages (`waypool.toml [users]`).
    pub fn add_table<'a>(
        &mut self,
        origin: &str,
        table: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), UsersError> {
        for (user, text) in table {
            self.add(origin, user, Secret::parse(text))?;
        }
        Ok(())
    }

    /// Reads a password file and adds its users.
    pub fn add_file(&mut self, path: &Path) -> Result<(), UsersError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| UsersError::Read { path: path.into(), source })?;
        self.add_text(&path.display().to_string(), &text)
    }

    /// Adds users from the text of a password file. Every line may have its
    /// own format: PgBouncer's `"user" "password"` or Pgpool-II's
    /// `user:password`. Comments begin with `;` or `#`.
    pub fn add_text(&mut self, file: &str, text: &str) -> Result<(), UsersError> {
        for (index, line) in text.lines().enumerate() {
            let origin = format!("{file} line {}", index + 1);
            let line = line.trim();
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            if line.starts_with('"') {
                let (user, password) = parse_userlist(line).map_err(|message| UsersError::Syntax {
                    origin: origin.clone(),
                    message: message.into(),
                })?;
                self.add(&origin, &user, Secret::parse(&password))?;
                continue;
            }
            let Some((user, password)) = line.split_once(':').filter(|(user, _)| !user.is_empty()) else {
                let message = "expected \"user\" \"password\" or user:password".into();
                return Err(UsersError::Syntax { origin, message });
            };
            self.add(&origin, user, Secret::parse_pool_passwd(password))?;
        }
        Ok(())
    }

    /// The secret of a user; `None` if there is no such user or the user has
    /// no password. A login treats both alike.
    pub fn secret(&self, user: &str) -> Option<&Secret> {
        self.users.get(user)?.secret.as_ref()
    }

    /// Whether the user is listed, with a password or without.
    pub fn contains(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// All that are listed, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    fn add(
        &mut self,
        origin: &str,
        user: &str,
        secret: Result<Option<Secret>, SecretError>,
    ) -> Result<(), UsersError> {
        let secret = secret.map_err(|source| UsersError::Secret {
            origin: origin.into(),
            user: user.into(),
            source,
        })?;
        if let Some(entry) = self.users.get(user) {
            return Err(UsersError::Duplicate {
                origin: origin.into(),
                user: user.into(),
                first: entry.origin.clone(),
            });
        }
        let origin = origin.into();
        self.users.insert(user.into(), Entry { secret, origin });
        Ok(())
    }
}

/// Parses PgBouncer's `"user" "password"`; what follows is ignored, as
/// PgBouncer does.
fn parse_userlist(line: &str) -> Result<(String, String), &'static str> {
    let (user, rest) = parse_quoted(line).ok_or("the user's closing quote \" is missing")?;
    if !rest.trim_start().starts_with('"') {
        return Err("expected a password in double quotes after the user: \"user\" \"password\"");
    }
    let quoted = parse_quoted(rest.trim_start());
    let (password, _) = quoted.ok_or("the password's closing quote \" is missing")?;
    Ok((user, password))
}

/// Parses a string in double quotes at the front of `text`, in which `""`
/// stands for one quote; returns it and what follows.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let (part, tail) = rest.split_once('"')?;
        value.push_str(part);
        match tail.strip_prefix('"') {
            Some(doubled) => {
                value.push('"');
                rest = doubled;
            }
            None => return Some((value, tail)),
        }
    }
}
