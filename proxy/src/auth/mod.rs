//! Authentication of both legs: clients log in to Waypool, Waypool logs in to
//! servers.
//!
//! ```text
//!   client ──▶ hba: which method? ──▶ client::start ──▶ Proof
//!                                                         │ + the user's Secret
//!                                                         ▼
//!   server ◀── server::ServerAuth ◀────────────────── Credentials
//! ```
//!
//! Everything here is a state machine over bytes: the session sends and reads
//! the messages. What a machine takes and gives are message *bodies*: the
//! bytes that follow a message's type and length.
//!
//! The messages: <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

pub mod client;
pub mod hba;
pub mod password;
pub mod scram;
pub mod server;
pub mod users;

#[cfg(test)]
mod tests;

pub use password::Secret;
pub use users::Users;

/// Longest body of a password message that is worth reading before the client
/// is known (PostgreSQL's own limit).
pub const MAX_PASSWORD_MESSAGE: usize = 65_535;

/// SQLSTATEs which this room answers with.
pub mod sqlstate {
    pub const PROTOCOL_VIOLATION: &str = "08P01";
    pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub const INVALID_AUTHORIZATION: &str = "28000";
    pub const INVALID_PASSWORD: &str = "28P01";
}

/// Why a login failed, on either leg.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
pub struct AuthError {
    pub sqlstate: &'static str,
    /// The message field of the ErrorResponse, in PostgreSQL's wording.
    pub message: String,
    /// The detail field of the ErrorResponse.
    pub detail: Option<String>,
    /// The true reason, for Waypool's log alone: telling it to the peer would
    /// say which users exist.
    pub log: Option<String>,
}

// === impl AuthError ===

impl AuthError {
    fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, log: None }
    }

    fn protocol(message: impl Into<String>) -> Self {
        Self::new(sqlstate::PROTOCOL_VIOLATION, message)
    }

    /// The one answer to a wrong password, an unknown user and a user without
    /// a password: a client cannot tell them apart.
    fn password_failed(user: &str, reason: impl Into<String>) -> Self {
        let message = format!("password authentication failed for user \"{user}\"");
        Self::new(sqlstate::INVALID_PASSWORD, message).with_log(reason)
    }

    fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn with_log(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into());
        self
    }
}

/// The request codes that open the body of an Authentication message (`R`).
pub(crate) mod request {
    pub const OK: u32 = 0;
    pub const KERBEROS_V5: u32 = 2;
    pub const CLEARTEXT_PASSWORD: u32 = 3;
    pub const MD5_PASSWORD: u32 = 5;
    pub const GSS: u32 = 7;
    pub const GSS_CONTINUE: u32 = 8;
    pub const SSPI: u32 = 9;
    pub const SASL: u32 = 10;
    pub const SASL_CONTINUE: u32 = 11;
    pub const SASL_FINAL: u32 = 12;
}

/// Body of AuthenticationOk, which the session sends once all is done.
pub const AUTHENTICATION_OK: [u8; 4] = request::OK.to_be_bytes();

/// Body of an Authentication message.
fn request_body(code: u32, payload: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), payload].concat()
}

/// Splits a NUL-terminated string off the front of `bytes`.
fn split_cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
