//! Messages of a client: views over their bodies, and those which the proxy
//! sends to servers itself.

use super::HEADER_LEN;
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

/// How many types of parameters a Parse body declares.
pub fn declared_types(body: &[u8], parse: Parse<'_>) -> usize {
    let types = body.get(parse.statement.len() + 1 + parse.text.len() + 1..);
    let count = types.and_then(|types| types.first_chunk::<2>());
    count.map_or(0, |count| usize::from(u16::from_be_bytes(*count)))
}

/// What stands behind the name in a Parse body: text and types.
pub fn behind_name(body: &[u8]) -> Option<&[u8]> {
    split_text(body).map(|(_, rest)| rest)
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

/// A whole Bind body: what stands behind the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound<'a> {
    /// Of the parameters, two bytes each: none, one for all, or one for each.
    formats: &'a [u8],
    pub parameters: usize,
    /// With their lengths.
    values: &'a [u8],
    /// The formats of the result, with their number.
    results: &'a [u8],
}

impl<'a> Bound<'a> {
    /// `body` is one that [`Bind::read`] could read.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (_, rest) = split_text(body)?;
        let (_, rest) = split_text(rest)?;
        let (count, rest) = rest.split_first_chunk()?;
        let (formats, rest) = rest.split_at_checked(2 * usize::from(u16::from_be_bytes(*count)))?;
        let (count, values) = rest.split_first_chunk()?;
        let parameters = usize::from(u16::from_be_bytes(*count));
        let mut results = values;
        for _ in 0..parameters {
            let (length, rest) = results.split_first_chunk()?;
            // -1 is NULL.
            let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
            results = rest.get(length..)?;
        }
        let values = values.get(..values.len() - results.len())?;
        Some(Bound { formats, parameters, values, results })
    }
}

/// A Bind with further values, in text. `name` is that of the statement; `None`
/// among the values is NULL.
pub fn bind_with<'v>(
    out: &mut Vec<u8>,
    portal: &[u8],
    name: &[u8],
    bound: Bound<'_>,
    more: impl ExactSizeIterator<Item = Option<&'v str>>,
) {
    let count = bound.parameters + more.len();
    message(out, b'B', |b| {
        for name in [portal, name] {
            b.extend_from_slice(name);
            b.push(0);
        }
        match bound.formats {
            // All in text, as ours are.
            [] | [0, 0] => b.extend([0; 2]),
            one if one.len() == 2 => {
                b.extend((count as u16).to_be_bytes());
                b.extend(one.repeat(bound.parameters));
                b.extend(vec![0; 2 * more.len()]);
            }
            each => {
                b.extend((count as u16).to_be_bytes());
                b.extend_from_slice(each);
                b.extend(vec![0; 2 * more.len()]);
            }
        }
        b.extend((count as u16).to_be_bytes());
        b.extend_from_slice(bound.values);
        for value in more {
            let Some(value) = value else {
                b.extend((-1i32).to_be_bytes());
                continue;
            };
            b.extend((value.len() as u32).to_be_bytes());
            b.extend_from_slice(value.as_bytes());
        }
        b.extend_from_slice(bound.results);
    });
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

/// A message of the client, or its head, with another name in the place of the
/// one that begins at `at` of its body.
pub fn rename(out: &mut Vec<u8>, frame: &[u8], at: usize, before: &[u8], name: &[u8]) {
    let Some((head, rest)) = frame.split_first_chunk::<HEADER_LEN>() else {
        return;
    };
    let [tag, len @ ..] = *head;
    // It was a frame's length before, and names are short.
    let len = u32::from_be_bytes(len) + name.len() as u32 - before.len() as u32;
    out.push(tag);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&rest[..at]);
    out.extend_from_slice(name);
    out.extend_from_slice(&rest[at + before.len()..]);
}

pub fn close_statement(out: &mut Vec<u8>, name: &[u8]) {
    message(out, b'C', |b| {
        b.push(b'S');
        b.extend_from_slice(name);
        b.push(0);
    });
}

pub fn close_portal(out: &mut Vec<u8>, name: &[u8]) {
    message(out, b'C', |b| {
        b.push(b'P');
        b.extend_from_slice(name);
        b.push(0);
    });
}

pub fn flush(out: &mut Vec<u8>) {
    message(out, b'H', |_| {});
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
