//! Our end of SCRAM when we log in to a server.

use std::sync::Arc;

use base64::Engine;

use super::attributes::{Attributes, malformed};
use super::binding::Binding;
use super::{BASE64, Key, SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
use super::{ScramKeys, ScramVerifier, auth_message, is_printable, random_nonce};
use crate::auth::password::ClearPassword;
use crate::auth::{AuthError, sqlstate};
use crate::tls::EndPointHash;

/// PBKDF2 runs as often as the server says, before the server has shown who
/// it is: a hostile one must not keep us busy. 24 times PostgreSQL's default.
pub const MAX_ITERATIONS: u32 = 100_000;

/// What a login proves itself with.
#[derive(Debug, Clone)]
pub enum Knowledge {
    Password(Arc<ClearPassword>),
    /// The ClientKey of a client that just logged in, and the verifier which
    /// it met; good for servers that store this very verifier.
    PassThrough {
        client_key: Key,
        verifier: Arc<ScramVerifier>,
    },
}

/// client-first-message is out; the challenge is awaited.
#[derive(Debug)]
pub struct AwaitChallenge {
    knowledge: Knowledge,
    binding: Binding,
    nonce: String,
    client_first_bare: String,
}

/// Our proof is out; the server's is awaited.
#[derive(Debug)]
pub struct AwaitSignature {
    signature: Key,
}

/// The mechanism to select, client-first-message, and what comes next.
pub struct Opening {
    pub mechanism: &'static str,
    pub client_first: String,
    pub next: AwaitChallenge,
}

/// Chooses from the mechanisms that a server offers (the payload of
/// AuthenticationSASL). `end_point` is the hash of the server's certificate,
/// `None` without TLS.
pub fn open(
    offer: &[u8],
    knowledge: Knowledge,
    end_point: Option<EndPointHash>,
) -> Result<Opening, AuthError> {
    let offers = |name: &str| offer.split(|&byte| byte == 0).any(|m| m == name.as_bytes());
    let (mechanism, binding) = match end_point {
        Some(hash) if offers(SCRAM_SHA_256_PLUS) => (SCRAM_SHA_256_PLUS, Binding::EndPoint(hash)),
        _ if !offers(SCRAM_SHA_256) => return Err(unknown_mechanisms(offer)),
        Some(_) => (SCRAM_SHA_256, Binding::Unoffered),
        None => (SCRAM_SHA_256, Binding::Unsupported),
    };
    let nonce = random_nonce();
    // PostgreSQL takes the user from the startup message and ignores this one.
    let client_first_bare = format!("n=,r={nonce}");
    Ok(Opening {
        mechanism,
        client_first: format!("{}{client_first_bare}", binding.header()),
        next: AwaitChallenge { knowledge, binding, nonce, client_first_bare },
    })
}

// === impl AwaitChallenge ===

impl AwaitChallenge {
    /// Reads server-first-message; the answer is client-final-message. Costs
    /// PBKDF2 the first time that a password meets this salt.
    pub fn on_challenge(self, message: &[u8]) -> Result<(String, AwaitSignature), AuthError> {
        let mut attributes = Attributes::new(message)?;
        let server_first = attributes.rest();
        let nonce = attributes.value('r')?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(AuthError::protocol("invalid SCRAM response from server")
                .with_detail("Nonce does not match."));
        }
        if !is_printable(nonce) {
            return Err(malformed("Non-printable characters in SCRAM nonce."));
        }
        let salt = BASE64.decode(attributes.value('s')?);
        let salt = salt.map_err(|_| malformed("Invalid salt."))?;
        let iterations = attributes.value('i')?.parse::<u32>();
        let iterations = iterations.map_err(|_| malformed("Invalid iteration count."))?;
        let keys = self.knowledge.keys(&salt, iterations)?;

        let binding = self.binding.attribute();
        let without_proof = format!("c={binding},r={nonce}");
        let signed = auth_message(&self.client_first_bare, server_first, &without_proof);
        let client_signature = keys.client_key.hash().sign(&signed);
        let proof = keys.client_key.xor(&client_signature).to_base64();
        let next = AwaitSignature { signature: keys.server_key.sign(&signed) };
        Ok((format!("{without_proof},p={proof}"), next))
    }
}

// === impl AwaitSignature ===

impl AwaitSignature {
    /// Reads server-final-message: the server's proof that it, too, knows the
    /// password.
    pub fn on_signature(self, message: &[u8]) -> Result<(), AuthError> {
        let mut attributes = Attributes::new(message)?;
        if attributes.rest().starts_with('e') {
            let reason = attributes.value('e')?.escape_default().to_string();
            return Err(AuthError::protocol(format!(
                "error received from server in SCRAM exchange: {reason}"
            )));
        }
        let signature = Key::from_base64(attributes.value('v')?)
            .ok_or_else(|| malformed("Malformed server signature."))?;
        if signature != self.signature {
            return Err(AuthError::protocol("incorrect server signature").with_detail(
                "The server does not know the password: it may not be the server that it claims to be.",
            ));
        }
        Ok(())
    }
}

// === impl Knowledge ===

impl Knowledge {
    fn keys(&self, salt: &[u8], iterations: u32) -> Result<ScramKeys, AuthError> {
        if !(1..=MAX_ITERATIONS).contains(&iterations) {
            return Err(AuthError::protocol(format!(
                "the server asks for {iterations} SCRAM iterations, Waypool does at most {MAX_ITERATIONS}"
            ))
            .with_detail("Lower scram_iterations on the server and set the user's password again."));
        }
        match self {
            Knowledge::Password(password) => Ok(password.scram_keys(salt, iterations)),
            Knowledge::PassThrough { client_key, verifier }
                if verifier.salt == salt && verifier.iterations == iterations =>
            {
                Ok(ScramKeys { client_key: client_key.clone(), server_key: verifier.server_key.clone() })
            }
            Knowledge::PassThrough { .. } => Err(AuthError::new(
                sqlstate::INVALID_AUTHORIZATION,
                "the server's SCRAM secret for this user is not the one that Waypool has",
            )
            .with_detail(
                "Copy pg_authid.rolpassword from the server to Waypool's users again, or give \
                 Waypool the clear-text password.",
            )),
        }
    }
}

fn unknown_mechanisms(offer: &[u8]) -> AuthError {
    let names: Vec<_> = offer
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| name.escape_ascii().to_string())
        .collect();
    let message = format!("none of the server's SASL mechanisms is supported: {}", names.join(", "));
    AuthError::new(sqlstate::FEATURE_NOT_SUPPORTED, message)
        .with_detail("Waypool supports SCRAM-SHA-256 and SCRAM-SHA-256-PLUS.")
}
