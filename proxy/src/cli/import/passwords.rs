//! `pool_passwd` becomes `auth_file`, or `[users]` where Waypool cannot use
//! the file as it is. Messages name users, never secrets.

use std::collections::BTreeMap;
use std::path::Path;

use super::report::{Group, Report};
use crate::auth::password::Secret;
use crate::auth::users::Users;

/// What is known of users.
#[derive(Debug, Default)]
pub struct Passwords {
    /// User and secret, in the form of `[users]`: without the prefix `TEXT`.
    pub users: BTreeMap<String, String>,
    /// Waypool can read the file itself.
    pub usable_file: bool,
}

const AES: &str = "is AES-encrypted, which Waypool cannot read: write the password, or its SCRAM secret \
                   (SELECT rolpassword FROM pg_authid), into [users]";

/// Reads the text of `file`.
pub fn convert(text: &str, file: &Path, report: &mut Report) -> Passwords {
    let mut passwords = Passwords { users: BTreeMap::new(), usable_file: is_usable(text, file) };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{} line {}", file.display(), index + 1);
        let Some((user, stored)) = line.split_once(':').filter(|(user, _)| !user.is_empty()) else {
            report.add(Group::Wrong, &place, "not USER:PASSWORD, left out");
            continue;
        };
        match secret(stored) {
            Ok(Some(_)) if passwords.users.contains_key(user) => {
                let why = format!("user {user} is listed twice: the first line counts");
                report.add(Group::Changed, &place, why);
            }
            Ok(Some(secret)) => {
                passwords.users.insert(user.to_owned(), secret);
            }
            Ok(None) => report.add(Group::Changed, &place, format!("user {user} has no password: left out")),
            Err(wrong) => report.add(Group::Attention, &place, format!("user {user} {wrong}")),
        }
    }
    passwords
}

/// A password of `pgpool.conf` or `pool_passwd` in the form of `waypool.toml`.
pub fn secret(stored: &str) -> Result<Option<String>, &'static str> {
    if stored.starts_with("AES") {
        return Err(AES);
    }
    let (clear, secret) = match stored.strip_prefix("TEXT") {
        Some(clear) => (true, clear),
        None => (false, stored),
    };
    match Secret::parse(secret) {
        Ok(None) => Ok(None),
        Ok(Some(Secret::Clear(_))) => Ok(Some(secret.to_owned())),
        Ok(Some(_)) if !clear => Ok(Some(secret.to_owned())),
        Ok(Some(_)) => Err("has a password that looks like a hash: only auth_file can say TEXT of it"),
        Err(_) => Err("has a SCRAM secret that is malformed"),
    }
}

fn is_usable(text: &str, file: &Path) -> bool {
    Users::default().add_text(&file.display().to_string(), text).is_ok()
}

#[cfg(test)]
mod tests;
