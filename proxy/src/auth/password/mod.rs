//! The stored secret of one user, in every shape that PostgreSQL, PgBouncer
//! and Pgpool-II store it in.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::scram::{ScramKeys, ScramVerifier};

/// What Waypool has stored of a user's password. Cheap to clone; `Debug` shows
/// the shape alone.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The password itself: good for every method, on both legs.
    Clear(Arc<ClearPassword>),
    /// `md5(password + user)`: checks md5 and password logins, and logs in to
    /// servers that ask for md5.
    Md5(Md5Hash),
    /// Checks SCRAM and password logins. To log in to a server it needs the
    /// ClientKey that a client's own SCRAM login brings along.
    Scram(Arc<ScramVerifier>),
}

/// A string that has the shape of a secret and is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error(
        "malformed SCRAM secret: expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, \
         as in pg_authid.rolpassword"
    )]
    Scram,
    #[error(
        "AES-encrypted passwords of Pgpool-II are not supported yet: write the clear-text password \
         (TEXT<password>), the SCRAM secret or the md5 hash from pg_authid.rolpassword"
    )]
    Aes,
}

// === impl Secret ===

impl Secret {
    /// Tells the shapes apart as PostgreSQL does: `md5` and 32 hex digits, a
    /// SCRAM secret, else clear text. The empty string is no password: `None`.
    pub fn parse(text: &str) -> Result<Option<Self>, SecretError> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(hash) = Md5Hash::parse(text) {
            return Ok(Some(Secret::Md5(hash)));
        }
        if ScramVerifier::is_shape_of(text) {
            let verifier = ScramVerifier::parse(text).ok_or(SecretError::Scram)?;
            return Ok(Some(Secret::Scram(Arc::new(verifier))));
        }
        Ok(Some(Secret::clear(text)))
    }

    /// The same for Pgpool-II's files and parameters, where clear text may
    /// carry the prefix `TEXT` and an encrypted password the prefix `AES`.
    pub fn parse_pool_passwd(text: &str) -> Result<Option<Self>, SecretError> {
        match text.strip_prefix("TEXT") {
            Some("") => Ok(None),
            Some(clear) => Ok(Some(Secret::clear(clear))),
            None if text.starts_with("AES") => Err(SecretError::Aes),
            None => Secret::parse(text),
        }
    }

    pub fn clear(password: &str) -> Self {
        Secret::Clear(Arc::new(ClearPassword::new(password.as_bytes())))
    }

    /// Checks a password that came in clear text. Costs PBKDF2 if the secret
    /// is a SCRAM verifier.
    pub fn accepts(&self, user: &str, password: &[u8]) -> bool {
        match self {
            Secret::Clear(clear) => clear.bytes().ct_eq(password).into(),
            Secret::Md5(hash) => *hash == Md5Hash::of(user, password),
            Secret::Scram(verifier) => verifier.accepts(password),
        }
    }
}

/// A password in clear text, with what has been derived from it: PBKDF2 costs
/// a millisecond, which nobody should pay on every login.
pub struct ClearPassword {
    password: Zeroizing<Vec<u8>>,
    /// For clients that log in to us; made by the first SCRAM login.
    verifier: OnceLock<Arc<ScramVerifier>>,
    /// For our logins to servers, by their salt and iterations. The servers of
    /// one cluster share these, so that the list stays short.
    keys: Mutex<Vec<DerivedKeys>>,
}

struct DerivedKeys {
    salt: Vec<u8>,
    iterations: u32,
    keys: ScramKeys,
}

/// More than this many salts for one user are not remembered.
const DERIVED_KEYS_KEPT: usize = 8;

// === impl ClearPassword ===

impl ClearPassword {
    pub fn new(password: &[u8]) -> Self {
        Self {
            password: Zeroizing::new(password.to_vec()),
            verifier: OnceLock::new(),
            keys: Mutex::default(),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.password
    }

    /// What a client's SCRAM login is checked against.
    pub fn verifier(&self) -> Arc<ScramVerifier> {
        let derive = || Arc::new(ScramVerifier::from_password(&self.password));
        Arc::clone(self.verifier.get_or_init(derive))
    }

    /// The keys for a server's salt, from memory if it was met before.
    pub fn scram_keys(&self, salt: &[u8], iterations: u32) -> ScramKeys {
        let is_it = |entry: &&DerivedKeys| entry.salt == salt && entry.iterations == iterations;
        if let Some(known) = self.lock_keys().iter().find(is_it) {
            return known.keys.clone();
        }
        // Not under the lock: other sessions of this user must not wait for it.
        let keys = ScramKeys::derive(&self.password, salt, iterations);
        let mut list = self.lock_keys();
        if list.len() == DERIVED_KEYS_KEPT {
            list.remove(0);
        }
        list.push(DerivedKeys { salt: salt.to_vec(), iterations, keys: keys.clone() });
        keys
    }

    fn lock_keys(&self) -> std::sync::MutexGuard<'_, Vec<DerivedKeys>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ClearPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClearPassword(…)")
    }
}

/// `md5(password + user)` as 32 hex digits, which is what the protocol's md5
/// method works on.
#[derive(Clone)]
pub struct Md5Hash(Zeroizing<[u8; 32]>);

// === impl Md5Hash ===

impl Md5Hash {
    /// Parses `md5` and 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("md5")?.as_bytes();
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = <[u8; 32]>::try_from(digits).ok()?;
        digits.iter().all(is_hex).then(|| Self(Zeroizing::new(digits)))
    }

    pub fn of(user: &str, password: &[u8]) -> Self {
        let digest = Md5::new().chain_update(password).chain_update(user);
        Self(Zeroizing::new(hex(digest.finalize().into())))
    }

    /// The password message that answers AuthenticationMD5Password.
    pub fn response(&self, salt: [u8; 4]) -> Vec<u8> {
        let digest = Md5::new().chain_update(*self.0).chain_update(salt);
        [b"md5".as_slice(), &hex(digest.finalize().into())].concat()
    }

    /// Checks a client's response.
    pub fn answers(&self, salt: [u8; 4], response: &[u8]) -> bool {
        self.response(salt).ct_eq(response).into()
    }
}

impl PartialEq for Md5Hash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Md5Hash {}

impl fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Hash(…)")
    }
}

fn hex(bytes: [u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| {
        let byte = bytes[i / 2];
        let nibble = if i % 2 == 0 { byte >> 4 } else { byte & 15 };
        DIGITS[usize::from(nibble)]
    })
}
