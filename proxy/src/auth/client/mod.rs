//! A client logs in to Waypool: we play the server.
//!
//! ```no_run
//! # use waypool::auth::client::{self, Method, Step};
//! # fn send(_: Vec<u8>) {} fn read_password_message() -> Vec<u8> { vec![] }
//! # let (method, user, secret, binding) = (Method::Trust, "u", None, None);
//! let mut step = client::start(method, user, secret, binding);
//! let proof = loop {
//!     step = match step {
//!         Step::Continue { send: request, next } => {
//!             send(request); // in an `R` message
//!             next.on_message(&read_password_message()) // the body of a `p` message
//!         }
//!         Step::Done { send: last, proof } => {
//!             last.map(send);
//!             break proof; // AUTHENTICATION_OK is the session's to send
//!         }
//!         Step::Fail(error) => panic!("{error}"), // an ErrorResponse, and close
//!     };
//! };
//! ```

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::password::{ClearPassword, Md5Hash, Secret};
use super::scram::{Key, ScramVerifier, random, verify};
use super::{AuthError, MAX_PASSWORD_MESSAGE, request, request_body, split_cstr};
use crate::tls::EndPointHash;

/// How a client has to prove itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Trust,
    /// In clear text, which only TLS protects.
    Password,
    /// MD5, or SCRAM for a user whose secret is a SCRAM verifier.
    Md5,
    ScramSha256,
}

/// What the login taught us, of use when we log in to a server for this client.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Nothing.
    None,
    /// The password.
    Clear(Arc<ClearPassword>),
    /// SCRAM's ClientKey; with it goes the user's stored verifier.
    ClientKey(Key),
}

/// What the session does next.
#[derive(Debug)]
pub enum Step {
    /// Send the Authentication message (`R`) with this body, read the client's
    /// password message (`p`), and give its body to `next`.
    Continue { send: Vec<u8>, next: ClientAuth },
    /// The client is who it says. Send one more `R` message if there is one;
    /// AuthenticationOk follows whenever the session is ready for it.
    Done { send: Option<Vec<u8>>, proof: Proof },
    /// Send an ErrorResponse (FATAL) and close.
    Fail(AuthError),
}

/// A login that waits for the client's answer.
#[derive(Debug)]
pub struct ClientAuth {
    login: Login,
    state: State,
}

/// Who logs in.
#[derive(Debug)]
struct Login {
    user: String,
    secret: Option<Secret>,
}

/// Which answer is awaited.
#[derive(Debug)]
enum State {
    Password,
    Md5 {
        salt: [u8; 4],
    },
    /// The choice of a SASL mechanism.
    SaslInitial {
        end_point: Option<EndPointHash>,
    },
    /// The first message of a client that chose its mechanism without one.
    SaslFirst(Box<verify::AwaitFirst>),
    SaslFinal(Box<verify::AwaitFinal>),
}

/// Begins a login. `secret` is `None` for a user who is unknown or has no
/// password: the exchange looks the same and fails at its end. `end_point` is
/// the hash of our certificate if the client came with TLS: it turns
/// SCRAM-SHA-256-PLUS on.
pub fn start(method: Method, user: &str, secret: Option<Secret>, end_point: Option<EndPointHash>) -> Step {
    let (send, state) = match (method, &secret) {
        (Method::Trust, _) => {
            let proof = Proof::None;
            return Step::Done { send: None, proof };
        }
        (Method::Password, _) => (request_body(request::CLEARTEXT_PASSWORD, &[]), State::Password),
        (Method::ScramSha256, _) | (Method::Md5, Some(Secret::Scram(_))) => (
            request_body(request::SASL, &verify::offer(end_point.as_ref())),
            State::SaslInitial { end_point },
        ),
        (Method::Md5, _) => {
            let salt = random();
            let send = request_body(request::MD5_PASSWORD, &salt);
            (send, State::Md5 { salt })
        }
    };
    let user = user.to_owned();
    Login { user, secret }.proceed(send, state)
}

// === impl ClientAuth ===

impl ClientAuth {
    /// To take the same answer once more, if it can be compared with another
    /// secret. SCRAM's cannot: the exchange began with the salt of the first.
    pub fn again(&self) -> Option<Self> {
        let state = match &self.state {
            State::Password => State::Password,
            State::Md5 { salt } => State::Md5 { salt: *salt },
            State::SaslInitial { .. } | State::SaslFirst(_) | State::SaslFinal(_) => return None,
        };
        Some(ClientAuth { login: Login { user: self.login.user.clone(), secret: None }, state })
    }

    /// With this secret of the user in place of the one it began with.
    pub fn with(mut self, secret: Option<Secret>) -> Self {
        self.login.secret = secret;
        self
    }

    /// Takes the body of the client's password message.
    pub fn on_message(self, body: &[u8]) -> Step {
        if body.len() > MAX_PASSWORD_MESSAGE {
            return Step::Fail(AuthError::protocol("invalid password packet size"));
        }
        let login = self.login;
        let step = match self.state {
            State::Password => login.check_password(body),
            State::Md5 { salt } => login.check_md5(body, salt),
            State::SaslInitial { end_point } => login.choose_mechanism(body, end_point),
            State::SaslFirst(exchange) => login.challenge(*exchange, body),
            State::SaslFinal(exchange) => login.finish(*exchange, body),
        };
        step.unwrap_or_else(Step::Fail)
    }
}

// === impl Login ===

impl Login {
    fn check_password(self, body: &[u8]) -> Result<Step, AuthError> {
        let password = read_password(&self.user, body)?;
        let proof = match &self.secret {
            // This one remembers what is derived from it, for all sessions.
            Some(Secret::Clear(known)) => Proof::Clear(Arc::clone(known)),
            _ => Proof::Clear(Arc::new(ClearPassword::new(password))),
        };
        let secret = self.secret.as_ref();
        if !secret.is_some_and(|secret| secret.accepts(&self.user, password)) {
            return Err(self.password_failed(WRONG_PASSWORD));
        }
        Ok(Step::Done { send: None, proof })
    }

    fn check_md5(self, body: &[u8], salt: [u8; 4]) -> Result<Step, AuthError> {
        let response = read_password(&self.user, body)?;
        let hash = match &self.secret {
            Some(Secret::Clear(clear)) => Md5Hash::of(&self.user, clear.bytes()),
            Some(Secret::Md5(hash)) => hash.clone(),
            Some(Secret::Scram(_)) | None => return Err(self.password_failed(WRONG_PASSWORD)),
        };
        if !hash.answers(salt, response) {
            return Err(self.password_failed(WRONG_PASSWORD));
        }
        let proof = Proof::None;
        Ok(Step::Done { send: None, proof })
    }

    /// Reads SASLInitialResponse.
    fn choose_mechanism(self, body: &[u8], end_point: Option<EndPointHash>) -> Result<Step, AuthError> {
        let (mechanism, rest) = split_cstr(body).ok_or_else(invalid_format)?;
        let (length, data) = rest.split_first_chunk::<4>().ok_or_else(invalid_format)?;
        let exchange = verify::AwaitFirst::new(mechanism, self.verifier(), end_point)?;
        match i32::from_be_bytes(*length) {
            // No first message yet: RFC 4422 has us ask with an empty challenge.
            -1 if data.is_empty() => {
                let send = request_body(request::SASL_CONTINUE, &[]);
                Ok(self.proceed(send, State::SaslFirst(Box::new(exchange))))
            }
            length if usize::try_from(length) == Ok(data.len()) => self.challenge(exchange, data),
            _ => Err(invalid_format()),
        }
    }

    fn challenge(self, exchange: verify::AwaitFirst, data: &[u8]) -> Result<Step, AuthError> {
        let (server_first, next) = exchange.on_first(data)?;
        let send = request_body(request::SASL_CONTINUE, server_first.as_bytes());
        Ok(self.proceed(send, State::SaslFinal(Box::new(next))))
    }

    fn finish(self, exchange: verify::AwaitFinal, data: &[u8]) -> Result<Step, AuthError> {
        let Some(verified) = exchange.on_final(data)? else {
            return Err(self.password_failed(match &self.secret {
                Some(Secret::Md5(_)) => "an md5 hash is stored, which cannot check a SCRAM login",
                _ => WRONG_PASSWORD,
            }));
        };
        let send = request_body(request::SASL_FINAL, verified.server_final.as_bytes());
        Ok(Step::Done { send: Some(send), proof: Proof::ClientKey(verified.client_key) })
    }

    /// What the client's SCRAM proof is checked against; nothing meets the
    /// mock verifier.
    fn verifier(&self) -> Arc<ScramVerifier> {
        match &self.secret {
            Some(Secret::Clear(password)) => password.verifier(),
            Some(Secret::Scram(verifier)) => Arc::clone(verifier),
            Some(Secret::Md5(_)) | None => Arc::new(ScramVerifier::mock(&self.user)),
        }
    }

    fn proceed(self, send: Vec<u8>, state: State) -> Step {
        let next = ClientAuth { login: self, state };
        Step::Continue { send, next }
    }

    fn password_failed(&self, reason: &str) -> AuthError {
        let reason = match &self.secret {
            None => "the user is unknown to Waypool or listed without a password",
            Some(_) => reason,
        };
        AuthError::password_failed(&self.user, reason)
    }
}

const WRONG_PASSWORD: &str = "the password does not match";

/// Reads PasswordMessage: one string that is not empty.
fn read_password<'a>(user: &str, body: &'a [u8]) -> Result<&'a [u8], AuthError> {
    match split_cstr(body) {
        Some(([], [])) => Err(AuthError::password_failed(user, "the client sent no password")),
        Some((password, [])) => Ok(password),
        _ => Err(AuthError::protocol("invalid password packet size")),
    }
}

fn invalid_format() -> AuthError {
    AuthError::protocol("invalid message format").with_detail("SASLInitialResponse is malformed.")
}
