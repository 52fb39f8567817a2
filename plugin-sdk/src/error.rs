//! What a plugin's function fails with.

use std::error::Error as StdError;
use std::fmt;

/// A message for people, made by `?` from any error, and from a text:
///
/// ```
/// use waypool_plugin_sdk::{Error, Result};
///
/// fn port(text: &str) -> Result<u16> {
///     if text.is_empty() {
///         return Err("no port".into());
///     }
///     Ok(text.parse()?)
/// }
///
/// assert_eq!(port("").unwrap_err().to_string(), "no port");
/// assert_eq!(port("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
///
/// The message has those of the error's sources behind it.
pub struct Error(String);

/// What most functions of a plugin answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Any value that can be shown.
    pub fn new(message: impl fmt::Display) -> Self {
        Error(message.to_string())
    }

    /// The same with what was being done in front: `"key `limit`: not a number"`.
    pub fn context(self, what: impl fmt::Display) -> Self {
        Error(format!("{what}: {}", self.0))
    }
}

// Not `std::error::Error` itself: that would be one more type that converts
// into `Error` besides the reflexive `From`, which the compiler forbids.
impl<E: Into<Box<dyn StdError>>> From<E> for Error {
    fn from(error: E) -> Self {
        let error = error.into();
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_message = cause.to_string();
            // Many errors show their source themselves.
            if !message.ends_with(&cause_message) {
                message.push_str(": ");
                message.push_str(&cause_message);
            }
            source = cause.source();
        }
        Error(message)
    }
}

impl From<Error> for String {
    fn from(error: Error) -> String {
        error.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As `Display`, for what `unwrap` and a test's `main` print.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
