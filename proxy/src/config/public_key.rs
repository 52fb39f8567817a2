//! Keys that sign plugins: ed25519, in base64.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, UnparsedPublicKey};

/// A public key, as `waypool plugin keygen` prints it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

// === impl PublicKey ===

impl PublicKey {
    /// The error is the end of a sentence that begins with the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = BASE64.decode(text.trim()).map_err(|error| format!("is not base64: {error}"))?;
        match bytes.try_into() {
            Ok(key) => Ok(Self(key)),
            Err(bytes) => Err(format!("has {} bytes, but an ed25519 public key has 32", bytes.len())),
        }
    }

    /// Has the owner of this key signed `message`?
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl From<[u8; 32]> for PublicKey {
    fn from(key: [u8; 32]) -> Self {
        Self(key)
    }
}

/// As it stands in the file.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
