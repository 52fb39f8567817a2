//! Errors as PostgreSQL reports them: ErrorResponse and NoticeResponse.

use super::backend;
use std::borrow::Cow;

/// How bad it is, in PostgreSQL's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Fatal,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// An error of ours, on its way to a client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message} (SQLSTATE {sqlstate})")]
pub struct PgError {
    pub severity: Severity,
    pub sqlstate: Cow<'static, str>,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl PgError {
    pub fn error(sqlstate: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, sqlstate, message)
    }

    pub fn fatal(sqlstate: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Fatal, sqlstate, message)
    }

    fn new(severity: Severity, sqlstate: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        PgError { severity, sqlstate: sqlstate.into(), message: message.into(), detail: None, hint: None }
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Appends the ErrorResponse to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let severity = self.severity.word();
        let optional = [(b'D', &self.detail), (b'H', &self.hint)];
        let optional = optional.iter().filter_map(|(code, text)| Some((*code, text.as_deref()?)));
        let always =
            [(b'S', severity), (b'V', severity), (b'C', &*self.sqlstate), (b'M', self.message.as_str())];
        fields(out, b'E', always.into_iter().chain(optional));
    }
}

/// Appends a NoticeResponse to `out`.
pub fn notice(out: &mut Vec<u8>, sqlstate: &str, message: &str) {
    fields(out, b'N', [(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', sqlstate), (b'M', message)].into_iter());
}

fn fields<'a>(out: &mut Vec<u8>, tag: u8, fields: impl Iterator<Item = (u8, &'a str)>) {
    backend::message(out, tag, |body| {
        for (code, text) in fields {
            body.push(code);
            // A NUL would end the field early and leave the rest as garbage.
            body.extend(text.bytes().filter(|&b| b != 0));
            body.push(0);
        }
        body.push(0);
    });
}

/// What the proxy reads of a server's ErrorResponse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// The severity that is never localised (field V, since PostgreSQL 9.6).
    pub severity: &'a str,
    pub sqlstate: &'a str,
    pub message: &'a str,
    pub detail: &'a str,
    pub hint: &'a str,
    /// The function in the server's source that reported it.
    pub routine: &'a str,
}

impl<'a> ErrorFields<'a> {
    /// Parses the body of an ErrorResponse. Missing fields are empty.
    pub fn parse(mut body: &'a [u8]) -> Self {
        let mut fields =
            ErrorFields { severity: "", sqlstate: "", message: "", detail: "", hint: "", routine: "" };
        while let Some((&code, rest)) = body.split_first() {
            let Some(end) = rest.iter().position(|&b| b == 0) else {
                break;
            };
            let text = std::str::from_utf8(&rest[..end]).unwrap_or_default();
            match code {
                b'V' => fields.severity = text,
                b'C' => fields.sqlstate = text,
                b'M' => fields.message = text,
                b'D' => fields.detail = text,
                b'H' => fields.hint = text,
                b'R' => fields.routine = text,
                _ => {}
            }
            body = &rest[end + 1..];
        }
        fields
    }

    /// The server ends the connection after this.
    pub fn ends_connection(&self) -> bool {
        matches!(self.severity, "FATAL" | "PANIC")
    }
}
