//! Our end of SCRAM when a client logs in to us. Follows PostgreSQL's
//! `auth-scram.c`, message for message.

use std::sync::Arc;

use base64::Engine;

use super::attributes::{Attributes, malformed};
use super::binding::Binding;
use super::{BASE64, Key, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramVerifier};
use super::{auth_message, is_printable, random_nonce};
use crate::auth::{AuthError, sqlstate};
use crate::tls::EndPointHash;

const MALFORMED_BINDING: &str = "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message \
                                 does not include channel binding data.";

/// The client chose a mechanism; its first message is awaited.
#[derive(Debug)]
pub struct AwaitFirst {
    verifier: Arc<ScramVerifier>,
    end_point: Option<EndPointHash>,
    plus: bool,
}

/// The challenge is out; the client's proof is awaited.
#[derive(Debug)]
pub struct AwaitFinal {
    verifier: Arc<ScramVerifier>,
    binding: Binding,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

/// A client proved to know the password.
#[derive(Debug)]
pub struct Verified {
    /// Our proof, for AuthenticationSASLFinal.
    pub server_final: String,
    /// What the client's proof gave away: with it we can log in to a server
    /// that stores the same verifier.
    pub client_key: Key,
}

/// The payload of AuthenticationSASL: the mechanisms on offer, best first.
pub fn offer(end_point: Option<&EndPointHash>) -> Vec<u8> {
    let plus = end_point.map(|_| SCRAM_SHA_256_PLUS);
    let mut list = Vec::new();
    for name in plus.into_iter().chain([SCRAM_SHA_256]) {
        list.extend_from_slice(name.as_bytes());
        list.push(0);
    }
    list.push(0);
    list
}

// === impl AwaitFirst ===

impl AwaitFirst {
    /// `mechanism` is the client's choice from our [`offer`].
    pub fn new(
        mechanism: &[u8],
        verifier: Arc<ScramVerifier>,
        end_point: Option<EndPointHash>,
    ) -> Result<Self, AuthError> {
        let plus = mechanism == SCRAM_SHA_256_PLUS.as_bytes() && end_point.is_some();
        if !plus && mechanism != SCRAM_SHA_256.as_bytes() {
            let message = "client selected an invalid SASL authentication mechanism";
            return Err(AuthError::protocol(message));
        }
        Ok(Self { verifier, end_point, plus })
    }

    /// Reads client-first-message; the answer is server-first-message.
    pub fn on_first(self, message: &[u8]) -> Result<(String, AwaitFinal), AuthError> {
        let mut attributes = Attributes::new(message)?;
        let binding = self.read_binding(&mut attributes)?;
        if attributes.rest().starts_with('a') {
            let message = "client uses authorization identity, but it is not supported";
            return Err(AuthError::new(sqlstate::FEATURE_NOT_SUPPORTED, message));
        }
        attributes.character(',')?;

        let client_first_bare = attributes.rest().to_owned();
        if client_first_bare.starts_with('m') {
            let message = "client requires an unsupported SCRAM extension";
            return Err(AuthError::new(sqlstate::FEATURE_NOT_SUPPORTED, message));
        }
        // The user of the startup message counts, not this one.
        attributes.value('n')?;
        let client_nonce = attributes.value('r')?;
        if client_nonce.is_empty() || !is_printable(client_nonce) {
            let message = "non-printable characters in SCRAM nonce";
            return Err(AuthError::protocol(message));
        }
        while !attributes.rest().is_empty() {
            attributes.any()?;
        }

        let nonce = format!("{client_nonce}{}", random_nonce());
        let salt = BASE64.encode(&self.verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", self.verifier.iterations);
        let next = AwaitFinal {
            verifier: self.verifier,
            binding,
            nonce,
            client_first_bare,
            server_first: server_first.clone(),
        };
        Ok((server_first, next))
    }

    /// Reads the channel-binding flag and the comma after it.
    fn read_binding(&self, attributes: &mut Attributes<'_>) -> Result<Binding, AuthError> {
        let flag = attributes.rest().chars().next();
        match flag {
            Some('n' | 'y') if self.plus => Err(malformed(MALFORMED_BINDING)),
            Some('n') => {
                attributes.character('n')?;
                attributes.character(',')?;
                Ok(Binding::Unsupported)
            }
            // Somebody between us may have removed -PLUS from our offer.
            Some('y') if self.end_point.is_some() => {
                let message = "SCRAM channel binding negotiation error";
                let error = AuthError::new(sqlstate::INVALID_AUTHORIZATION, message);
                Err(error.with_detail(
                    "The client supports SCRAM channel binding but thinks the server does not.  \
                     However, this server does support channel binding.",
                ))
            }
            Some('y') => {
                attributes.character('y')?;
                attributes.character(',')?;
                Ok(Binding::Unoffered)
            }
            Some('p') => self.read_end_point(attributes),
            _ => Err(malformed(format!(
                "Unexpected channel-binding flag \"{}\".",
                flag.map(|c| c.escape_default().to_string()).unwrap_or_default()
            ))),
        }
    }

    fn read_end_point(&self, attributes: &mut Attributes<'_>) -> Result<Binding, AuthError> {
        let Some(hash) = self.end_point.as_ref().filter(|_| self.plus) else {
            return Err(malformed(
                "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message \
                 includes channel binding data.",
            ));
        };
        let kind = attributes.value('p')?;
        if kind != "tls-server-end-point" {
            let kind = kind.escape_default();
            let message = format!("unsupported SCRAM channel-binding type \"{kind}\"");
            return Err(AuthError::protocol(message));
        }
        Ok(Binding::EndPoint(hash.clone()))
    }
}

// === impl AwaitFinal ===

impl AwaitFinal {
    /// Reads client-final-message. `None` says that the password is wrong.
    pub fn on_final(self, message: &[u8]) -> Result<Option<Verified>, AuthError> {
        let mut attributes = Attributes::new(message)?;
        let whole = attributes.rest();
        check_binding(&self.binding, attributes.value('c')?)?;
        let nonce = attributes.value('r')?;

        let (without_proof, proof) = loop {
            // The comma ahead of the attribute is not part of what was signed.
            let end = (whole.len() - attributes.rest().len()).saturating_sub(1);
            if let ('p', proof) = attributes.any()? {
                break (&whole[..end], proof);
            }
        };
        let Some(proof) = Key::from_base64(proof) else {
            return Err(malformed("Malformed proof in client-final-message."));
        };
        if !attributes.rest().is_empty() {
            return Err(malformed("Garbage found at the end of client-final-message."));
        }
        if nonce != self.nonce {
            let error = AuthError::protocol("invalid SCRAM response");
            return Err(error.with_detail("Nonce does not match."));
        }

        let signed = auth_message(&self.client_first_bare, &self.server_first, without_proof);
        let client_key = proof.xor(&self.verifier.stored_key.sign(&signed));
        if client_key.hash() != self.verifier.stored_key {
            return Ok(None);
        }
        let signature = self.verifier.server_key.sign(&signed).to_base64();
        Ok(Some(Verified { server_final: format!("v={signature}"), client_key }))
    }
}

/// Compares the `c` attribute with the flag that opened the exchange.
fn check_binding(binding: &Binding, attribute: &str) -> Result<(), AuthError> {
    match binding {
        _ if attribute == binding.attribute() => Ok(()),
        Binding::EndPoint(_) => {
            Err(AuthError::new(sqlstate::INVALID_AUTHORIZATION, "SCRAM channel binding check failed"))
        }
        Binding::Unsupported | Binding::Unoffered => {
            Err(AuthError::protocol("unexpected SCRAM channel-binding attribute in client-final-message"))
        }
    }
}
