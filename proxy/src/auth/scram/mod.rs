//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it: keys and
//! verifiers here, the two ends of the exchange in [`verify`] (we check a
//! client) and [`prove`] (we log in to a server).

mod attributes;
mod binding;
pub mod prove;
pub mod verify;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Mechanism names of the SASL exchange.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// PostgreSQL's defaults for a verifier that it makes itself.
pub const DEFAULT_ITERATIONS: u32 = 4096;
const SALT_LENGTH: usize = 16;

/// Random bytes in a nonce, as in PostgreSQL.
const RAW_NONCE_LENGTH: usize = 18;

const PREFIX: &str = "SCRAM-SHA-256$";

/// A key of 32 bytes: compared in constant time, never printed, erased on drop.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// ClientKey and ServerKey, derived from a password: both ends of the exchange
/// can be played with them, without the password.
#[derive(Debug, Clone)]
pub struct ScramKeys {
    pub client_key: Key,
    pub server_key: Key,
}

/// What a server stores of a password: enough to check a login, not enough to
/// log in (`pg_authid.rolpassword`).
#[derive(Debug, Clone)]
pub struct ScramVerifier {
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: Key,
    pub server_key: Key,
}

// === impl Key ===

impl Key {
    fn hash(&self) -> Key {
        Key(Sha256::digest(self.0).into())
    }

    fn sign(&self, message: &[u8]) -> Key {
        hmac(&self.0, message)
    }

    fn xor(&self, other: &Key) -> Key {
        Key(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }

    fn from_base64(text: &str) -> Option<Key> {
        BASE64.decode(text).ok()?.try_into().ok().map(Key)
    }

    fn to_base64(&self) -> String {
        BASE64.encode(self.0)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

// === impl ScramKeys ===

impl ScramKeys {
    /// Runs PBKDF2: about a millisecond at 4096 iterations.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(&normalize(password), salt, iterations, &mut salted);
        let keys =
            Self { client_key: hmac(&salted, b"Client Key"), server_key: hmac(&salted, b"Server Key") };
        salted.zeroize();
        keys
    }
}

// === impl ScramVerifier ===

impl ScramVerifier {
    /// Whether `text` claims to be a verifier.
    pub fn is_shape_of(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Parses `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, keys) = text.strip_prefix(PREFIX)?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        Some(Self {
            iterations: iterations.parse().ok().filter(|&count| count > 0)?,
            salt: BASE64.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: Key::from_base64(stored_key)?,
            server_key: Key::from_base64(server_key)?,
        })
    }

    /// Makes a verifier with a fresh salt; about a millisecond of PBKDF2.
    pub fn from_password(password: &[u8]) -> Self {
        let salt = random::<SALT_LENGTH>();
        Self::derive(password, salt.to_vec(), DEFAULT_ITERATIONS)
    }

    pub fn derive(password: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        let keys = ScramKeys::derive(password, &salt, iterations);
        Self { iterations, salt, stored_key: keys.client_key.hash(), server_key: keys.server_key }
    }

    /// A verifier that no password meets, for users who do not exist. Its salt
    /// stays the same for a name, as a real user's would.
    pub fn mock(user: &str) -> Self {
        let secret = mock_secret();
        let keyed = |purpose: &str| secret.sign(format!("{purpose}\0{user}").as_bytes());
        Self {
            iterations: DEFAULT_ITERATIONS,
            salt: keyed("salt").0[..SALT_LENGTH].to_vec(),
            // The pre-image of this hash is known to nobody.
            stored_key: keyed("stored key"),
            server_key: keyed("server key"),
        }
    }

    /// Checks a clear-text password; costs PBKDF2.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let keys = ScramKeys::derive(password, &self.salt, self.iterations);
        keys.client_key.hash() == self.stored_key
    }

    /// The text form, which `ALTER ROLE … PASSWORD` and password files take.
    pub fn to_secret(&self) -> String {
        let salt = BASE64.encode(&self.salt);
        let stored_key = self.stored_key.to_base64();
        let server_key = self.server_key.to_base64();
        format!("{PREFIX}{}:{salt}${stored_key}:{server_key}", self.iterations)
    }
}

/// Differs from process to process, so that salts of unknown users cannot be
/// known ahead.
fn mock_secret() -> &'static Key {
    static SECRET: OnceLock<Key> = OnceLock::new();
    SECRET.get_or_init(|| Key(random()))
}

/// The text that both ends sign.
fn auth_message(client_first_bare: &str, server_first: &str, without_proof: &str) -> Vec<u8> {
    format!("{client_first_bare},{server_first},{without_proof}").into_bytes()
}

fn random_nonce() -> String {
    BASE64.encode(random::<RAW_NONCE_LENGTH>())
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn hmac(key: &[u8], message: &[u8]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message);
    Key(mac.finalize().into_bytes().into())
}

/// SASLprep where it applies; PostgreSQL takes all other passwords as they are.
fn normalize(password: &[u8]) -> zeroize::Zeroizing<Vec<u8>> {
    let prepared = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    zeroize::Zeroizing::new(match prepared {
        Some(text) => text.into_owned().into_bytes(),
        None => password.to_vec(),
    })
}

/// RFC 5802 "printable": all visible ASCII but the comma.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}
