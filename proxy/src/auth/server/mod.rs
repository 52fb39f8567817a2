//! Waypool logs in to a server: we play the client.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::client::Proof;
use super::password::{ClearPassword, Md5Hash, Secret};
use super::scram::{Key, ScramVerifier, prove};
use super::{AuthError, request, sqlstate};
use crate::tls::EndPointHash;

/// What we can log in to servers with.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Good for servers that trust us.
    None,
    /// Good for every method.
    Clear(Arc<ClearPassword>),
    /// Good for md5.
    Md5(Md5Hash),
    /// Keys that a client's SCRAM login left with us; good for SCRAM with
    /// servers that store the same verifier.
    ScramKeys { client_key: Key, verifier: Arc<ScramVerifier> },
}

/// What the session does next.
#[derive(PartialEq, Eq)]
pub enum Reply {
    /// Send a password message (`p`) with this body, then read on.
    Send(Vec<u8>),
    /// Read on.
    Wait,
    /// The server let us in; ParameterStatus and the like follow.
    Done,
}

/// One login to one server.
#[derive(Debug)]
pub struct ServerAuth {
    user: String,
    credentials: Credentials,
    end_point: Option<EndPointHash>,
    state: State,
}

/// Which request is awaited.
#[derive(Debug)]
enum State {
    /// The method that the server wants.
    Method,
    ScramChallenge(prove::AwaitChallenge),
    ScramSignature(prove::AwaitSignature),
    /// The verdict.
    Verdict,
    /// None: we are in, or the login failed.
    Over,
}

// === impl Reply ===

impl fmt::Debug for Reply {
    /// The body may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reply::Send(_) => "Send(…)",
            Reply::Wait => "Wait",
            Reply::Done => "Done",
        })
    }
}

// === impl Credentials ===

impl Credentials {
    /// The best that a user's stored secret and a login of this user add up to.
    pub fn new(secret: Option<&Secret>, proof: &Proof) -> Self {
        match (secret, proof) {
            (Some(Secret::Clear(password)), _) | (_, Proof::Clear(password)) => {
                Credentials::Clear(Arc::clone(password))
            }
            (Some(Secret::Scram(verifier)), Proof::ClientKey(key)) => {
                Credentials::ScramKeys { client_key: key.clone(), verifier: Arc::clone(verifier) }
            }
            (Some(Secret::Md5(hash)), _) => Credentials::Md5(hash.clone()),
            (Some(Secret::Scram(_)) | None, _) => Credentials::None,
        }
    }

    /// For logins on Waypool's own behalf: health checks, catalog look-ups.
    pub fn from_secret(secret: Option<&Secret>) -> Self {
        Self::new(secret, &Proof::None)
    }
}

// === impl ServerAuth ===

impl ServerAuth {
    /// `end_point` is the hash of the server's certificate
    /// (`tls::peer_end_point_hash`), `None` without TLS.
    pub fn new(user: &str, credentials: Credentials, end_point: Option<EndPointHash>) -> Self {
        Self { user: user.to_owned(), credentials, end_point, state: State::Method }
    }

    /// Takes the body of an Authentication message (`R`). After an error the
    /// login is over: close the connection.
    pub fn on_message(&mut self, body: &[u8]) -> Result<Reply, AuthError> {
        let Some((code, payload)) = body.split_first_chunk::<4>() else {
            self.state = State::Over;
            return Err(AuthError::protocol("truncated authentication request"));
        };
        let code = u32::from_be_bytes(*code);
        match (code, std::mem::replace(&mut self.state, State::Over)) {
            (request::OK, State::Method | State::Verdict) => Ok(Reply::Done),
            (request::OK, State::ScramChallenge(_) | State::ScramSignature(_)) => {
                let message = "the server ended SCRAM before it proved to know the password";
                Err(AuthError::protocol(message))
            }
            (code, State::Method) => self.answer(code, payload),
            (request::SASL_CONTINUE, State::ScramChallenge(exchange)) => {
                let (client_final, next) = exchange.on_challenge(payload)?;
                self.state = State::ScramSignature(next);
                Ok(Reply::Send(client_final.into_bytes()))
            }
            (request::SASL_FINAL, State::ScramSignature(exchange)) => {
                exchange.on_signature(payload)?;
                self.state = State::Verdict;
                Ok(Reply::Wait)
            }
            (code, _) => {
                Err(AuthError::protocol(format!("unexpected authentication request {code} from the server")))
            }
        }
    }

    fn answer(&mut self, code: u32, payload: &[u8]) -> Result<Reply, AuthError> {
        match code {
            request::CLEARTEXT_PASSWORD => {
                let Credentials::Clear(password) = &self.credentials else {
                    return Err(self.missing("password (in clear text)", NEEDS_CLEAR));
                };
                let message = cstr(password.bytes());
                self.state = State::Verdict;
                Ok(Reply::Send(message))
            }
            request::MD5_PASSWORD => {
                let salt = <[u8; 4]>::try_from(payload)
                    .map_err(|_| AuthError::protocol("malformed MD5 authentication request"))?;
                let response = self.md5_hash()?.response(salt);
                self.state = State::Verdict;
                Ok(Reply::Send(cstr(&response)))
            }
            request::SASL => self.open_scram(payload),
            request::KERBEROS_V5 => Err(self.unsupported("Kerberos")),
            request::GSS | request::GSS_CONTINUE => Err(self.unsupported("GSSAPI")),
            request::SSPI => Err(self.unsupported("SSPI")),
            code => Err(self.unsupported(&format!("an unknown method ({code})"))),
        }
    }

    fn md5_hash(&self) -> Result<Md5Hash, AuthError> {
        match &self.credentials {
            Credentials::Clear(password) => Ok(Md5Hash::of(&self.user, password.bytes())),
            Credentials::Md5(hash) => Ok(hash.clone()),
            _ => Err(self.missing("md5", NEEDS_MD5)),
        }
    }

    fn open_scram(&mut self, offer: &[u8]) -> Result<Reply, AuthError> {
        let knowledge = match &self.credentials {
            Credentials::Clear(password) => prove::Knowledge::Password(Arc::clone(password)),
            Credentials::ScramKeys { client_key, verifier } => prove::Knowledge::PassThrough {
                client_key: client_key.clone(),
                verifier: Arc::clone(verifier),
            },
            Credentials::None | Credentials::Md5(_) => {
                return Err(self.missing("scram-sha-256", NEEDS_SCRAM));
            }
        };
        let opening = prove::open(offer, knowledge, self.end_point.clone())?;
        self.state = State::ScramChallenge(opening.next);
        let data = opening.client_first.as_bytes();
        // A message of ours, some fifty bytes long.
        let length = (data.len() as u32).to_be_bytes();
        let parts = [&cstr(opening.mechanism.as_bytes()), &length[..], data];
        Ok(Reply::Send(parts.concat()))
    }

    /// The server wants a method that our credentials are no good for.
    fn missing(&self, method: &str, what_to_do: &str) -> AuthError {
        let has = match &self.credentials {
            Credentials::None => "no password",
            Credentials::Clear(_) => "the clear-text password",
            Credentials::Md5(_) => "only the md5 hash of the password",
            Credentials::ScramKeys { .. } => "only the SCRAM secret",
        };
        let user = &self.user;
        let message = format!(
            "cannot log in to the server as user \"{user}\": it asks for method {method}, and \
             Waypool has {has} for this user"
        );
        AuthError::new(sqlstate::INVALID_AUTHORIZATION, message).with_detail(what_to_do)
    }

    fn unsupported(&self, method: &str) -> AuthError {
        let user = &self.user;
        let message = format!(
            "cannot log in to the server as user \"{user}\": it asks for {method}, which Waypool \
             does not support"
        );
        AuthError::new(sqlstate::FEATURE_NOT_SUPPORTED, message).with_detail(
            "Let the server's pg_hba.conf ask Waypool's host for scram-sha-256, md5, password or trust.",
        )
    }
}

const NEEDS_CLEAR: &str = "Store the clear-text password in Waypool's users, or let the server's \
                           pg_hba.conf ask for scram-sha-256.";
const NEEDS_MD5: &str = "Store the clear-text password or the md5 hash in Waypool's users, or let \
                         the server's pg_hba.conf ask for scram-sha-256.";
const NEEDS_SCRAM: &str = "Store the clear-text password in Waypool's users; or store the server's \
                           SCRAM secret (pg_authid.rolpassword) and let the client log in to \
                           Waypool with method scram-sha-256.";

/// The body of a PasswordMessage.
fn cstr(text: &[u8]) -> Vec<u8> {
    [text, &[0]].concat()
}
