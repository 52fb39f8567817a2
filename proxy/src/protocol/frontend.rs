//! Messages of a client: views over their bodies, and those which the proxy
//! sends to servers itself.

use super::backend::{message, split_text};

/// The text of a Query body (without its NUL).
pub fn query_text(body: &[u8]) -> Option<&[u8]> {
    split_text(body).map(|(text, _)| text)
}

/// A Parse body: names and text; parameter types follow and stay unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    pub statement: &'a [u8],
    pub text: &'a [u8],
}

impl<'a> Parse<'a> {
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (statement, rest) = split_text(body)?;
        let (text, _) = split_text(rest)?;
        Some(Parse { statement, text })
    }
}

/// The names at the head of a Bind body; the values behind them stay unread,
/// so the head of a long message is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
}

impl<'a> Bind<'a> {
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (portal, rest) = split_text(body)?;
        let (statement, _) = split_text(rest)?;
        Some(Bind { portal, statement })
    }
}

/// What a Describe or Close names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    Statement(&'a [u8]),
    Portal(&'a [u8]),
}

impl<'a> Named<'a> {
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (&kind, rest) = body.split_first()?;
        let (name, _) = split_text(rest)?;
        match kind {
            b'S' => Some(Named::Statement(name)),
            b'P' => Some(Named::Portal(name)),
            _ => None,
        }
    }
}

/// The portal an Execute body names.
pub fn execute_portal(body: &[u8]) -> Option<&[u8]> {
    split_text(body).map(|(portal, _)| portal)
}

pub fn query(out: &mut Vec<u8>, text: &[u8]) {
    message(out, b'Q', |b| {
        b.extend_from_slice(text);
        b.push(0);
    });
}

/// A whole cycle of the extended protocol, with nothing named and all in text:
/// Parse, Bind, Execute, Sync.
pub fn query_with(out: &mut Vec<u8>, sql: &str, values: &[&str]) {
    message(out, b'P', |b| {
        b.push(0);
        b.extend_from_slice(sql.as_bytes());
        b.extend([0; 3]); // its end, and no types
    });
    message(out, b'B', |b| {
        b.extend([0; 4]); // no names, text in
        b.extend((values.len() as u16).to_be_bytes());
        for value in values {
            b.extend((value.len() as u32).to_be_bytes());
            b.extend_from_slice(value.as_bytes());
        }
        b.extend([0; 2]); // text out
    });
    message(out, b'E', |b| b.extend([0; 5])); // no name, all rows
    sync(out);
}

/// A Parse with another text; `body` is that of the client's own, which
/// [`Parse::read`] could read.
pub fn parse_with(out: &mut Vec<u8>, body: &[u8], parse: Parse<'_>, text: &[u8]) {
    let types = &body[parse.statement.len() + 1 + parse.text.len() + 1..];
    message(out, b'P', |b| {
        b.extend_from_slice(parse.statement);
        b.push(0);
        b.extend_from_slice(text);
        b.push(0);
        b.extend_from_slice(types);
    });
}

pub fn close_statement(out: &mut Vec<u8>, name: &[u8]) {
    message(out, b'C', |b| {
        b.push(b'S');
        b.extend_from_slice(name);
        b.push(0);
    });
}

pub fn sync(out: &mut Vec<u8>) {
    message(out, b'S', |_| {});
}

pub fn terminate(out: &mut Vec<u8>) {
    message(out, b'X', |_| {});
}

/// PasswordMessage, SASLInitialResponse and SASLResponse share a type.
pub fn password(out: &mut Vec<u8>, body: &[u8]) {
    message(out, b'p', |b| b.extend_from_slice(body));
}
