//! The `key=value,key=value` syntax of SCRAM messages.

use crate::auth::AuthError;

/// Reads attributes off the front of a message.
pub struct Attributes<'a> {
    rest: &'a str,
}

// === impl Attributes ===

impl<'a> Attributes<'a> {
    /// Takes a message as it came. A NUL byte would end it in PostgreSQL's eyes.
    pub fn new(message: &'a [u8]) -> Result<Self, AuthError> {
        let rest = std::str::from_utf8(message).map_err(|_| malformed("It is not UTF-8."))?;
        match rest {
            "" => Err(malformed("The message is empty.")),
            _ if rest.contains('\0') => Err(malformed("Message length does not match input length.")),
            _ => Ok(Self { rest }),
        }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// Reads the next attribute, which has to be `key`.
    pub fn value(&mut self, key: char) -> Result<&'a str, AuthError> {
        let Some(tail) = self.rest.strip_prefix(key) else {
            let found = found(self.rest);
            let detail = format!("Expected attribute \"{key}\" but found {found}.");
            return Err(malformed(detail));
        };
        let Some(tail) = tail.strip_prefix('=') else {
            let detail = format!("Expected character \"=\" for attribute \"{key}\".");
            return Err(malformed(detail));
        };
        Ok(self.take_until_comma(tail))
    }

    /// Reads the next attribute, whichever it is.
    pub fn any(&mut self) -> Result<(char, &'a str), AuthError> {
        match self.rest.chars().next() {
            Some(key) if key.is_ascii_alphabetic() => Ok((key, self.value(key)?)),
            _ => {
                let found = found(self.rest);
                Err(malformed(format!("Attribute expected, but found {found}.")))
            }
        }
    }

    /// Reads one character that has to be `expected`.
    pub fn character(&mut self, expected: char) -> Result<(), AuthError> {
        match self.rest.strip_prefix(expected) {
            Some(tail) => {
                self.rest = tail;
                Ok(())
            }
            None => {
                let found = found(self.rest);
                let detail = format!("Expected character \"{expected}\", but found {found}.");
                Err(malformed(detail))
            }
        }
    }

    /// Splits at the next comma, which belongs to neither side.
    fn take_until_comma(&mut self, text: &'a str) -> &'a str {
        let (value, rest) = text.split_once(',').unwrap_or((text, ""));
        self.rest = rest;
        value
    }
}

/// The answer to a message that breaks the syntax.
pub fn malformed(detail: impl Into<String>) -> AuthError {
    AuthError::protocol("malformed SCRAM message").with_detail(detail)
}

/// A peer's character, made fit for a message.
fn found(text: &str) -> String {
    match text.chars().next() {
        Some(character) => format!("character \"{}\"", character.escape_default()),
        None => "end of message".into(),
    }
}
