//! A statement's shape: the key under which the proxy keeps a verdict.

use crate::class::{Class, class, continues_ascii_word, starts_word};
use crate::spans::{self, byte};

#[cfg(test)]
mod tests;

/// What [`shape`] made of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The shape is written: use it as the key.
    Folded,
    /// The text has no safe shape: use the text itself. Nothing is written.
    Exact,
}

/// Writes into `out` the text with each number replaced by `0`, the inside of
/// each string dropped, and each run of white space and comments replaced by
/// one space. White space and comments before the first word stay: whether
/// there is one, and a hint in it, may matter.
///
/// The result is itself a statement with the same kinds of tokens, the same
/// names and the same operators, so two statements of one shape differ in
/// nothing but their literals.
///
/// Only statements whose literals are data are folded (SELECT, INSERT,
/// UPDATE, DELETE, MERGE, WITH, VALUES, TABLE), one to a text; elsewhere a
/// literal may be the meaning (`SET transaction_read_only = 0`). Where it is
/// not certain that PostgreSQL cuts the text the same way, it stays as it is:
/// `standard_conforming_strings = off`, escapes, dollar quotes, unusual
/// numbers, bytes outside ASCII which are not quoted.
pub fn shape(text: &[u8], standard_conforming_strings: bool, out: &mut Vec<u8>) -> Shape {
    out.clear();
    if standard_conforming_strings && fold(text, out).is_some() {
        return Shape::Folded;
    }
    out.clear();
    Shape::Exact
}

/// `None` where the text has no safe shape; `out` is then of no use.
fn fold(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = first_word(text)?;
    let mut at = spans::word(text, start);
    if !literals_are_data(&text[start..at]) {
        return None;
    }
    // A shape is never longer than its text.
    out.reserve(text.len());
    // text[kept..at] is read, and goes into the shape as it stands.
    let mut kept = 0;
    while at < text.len() {
        let start = at;
        match class(text[at]) {
            Class::Letter => at = word(text, at)?,
            Class::Space if is_lone_space(text, at) => at += 1,
            Class::Space => {
                at = trivia(text, at)?;
                out.extend_from_slice(&text[kept..start]);
                out.push(b' ');
                kept = at;
            }
            Class::Minus | Class::Slash => {
                at = trivia(text, at)?;
                if at == start {
                    at += 1;
                    continue;
                }
                out.extend_from_slice(&text[kept..start]);
                out.push(b' ');
                kept = at;
            }
            Class::Digit => {
                at = number(text, at)?;
                out.extend_from_slice(&text[kept..start]);
                out.push(b'0');
                kept = at;
            }
            Class::Quote => {
                at = spans::string(text, at + 1, false)?;
                if is_ambiguous(&text[start..at]) {
                    return None;
                }
                out.extend_from_slice(&text[kept..start]);
                out.extend_from_slice(b"''");
                kept = at;
            }
            Class::DoubleQuote => at = spans::quoted_identifier(text, at + 1)?,
            Class::Dollar => at = parameter(text, at)?,
            Class::Semicolon => {
                out.extend_from_slice(&text[kept..=at]);
                return (trivia(text, at + 1)? == text.len()).then_some(());
            }
            // `.5` is rare, and `a.5` is not what it seems.
            Class::Dot if byte(text, at + 1).is_ascii_digit() => return None,
            Class::Operator
            | Class::Comma
            | Class::Dot
            | Class::Colon
            | Class::ParenOpen
            | Class::ParenClose
            | Class::BracketOpen
            | Class::BracketClose => at += 1,
            // A byte outside ASCII may be half a character of an encoding
            // whose other half looks like a letter, a digit or an operator.
            Class::High | Class::VerticalTab | Class::Other => return None,
        }
    }
    out.extend_from_slice(&text[kept..]);
    Some(())
}

/// Where the first word begins, behind comments and opening parentheses.
fn first_word(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at = trivia(text, at)?;
        match class(*text.get(at)?) {
            Class::ParenOpen => at += 1,
            Class::Letter => return Some(at),
            _ => return None,
        }
    }
}

fn literals_are_data(word: &[u8]) -> bool {
    const STATEMENTS: [&[u8]; 8] =
        [b"select", b"insert", b"update", b"delete", b"with", b"values", b"merge", b"table"];
    STATEMENTS.iter().any(|statement| word.eq_ignore_ascii_case(statement))
}

/// A space with neither white space nor, possibly, a comment behind it: by
/// far the most, and already in the form in which it is kept.
#[inline(always)]
fn is_lone_space(text: &[u8], at: usize) -> bool {
    text[at] == b' ' && !matches!(class(byte(text, at + 1)), Class::Space | Class::Minus | Class::Slash)
}

/// Behind white space and comments at `at`, if there are any.
fn trivia(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match (byte(text, at), byte(text, at + 1)) {
            (b' ' | b'\t' | b'\n' | b'\r' | 0x0c, _) => at += 1,
            (b'-', b'-') => at = spans::line_comment(text, at),
            (b'/', b'*') => at = spans::block_comment(text, at)?,
            _ => return Some(at),
        }
    }
}

/// Behind a word; a word of one letter may be the prefix of a string.
#[inline(always)]
fn word(text: &[u8], start: usize) -> Option<usize> {
    let rest = text[start + 1..].iter();
    let end = start + 1 + rest.take_while(|&&byte| continues_ascii_word(byte)).count();
    match byte(text, end) {
        b'\'' | b'&' if end == start + 1 => prefix(text, start, end),
        _ => Some(end),
    }
}

/// The prefixes b, n and x change how a string is read, not where it ends; e
/// does only if there is a backslash. U& would need its UESCAPE.
fn prefix(text: &[u8], start: usize, end: usize) -> Option<usize> {
    match (text[start] | 0x20, text[end], byte(text, end + 1)) {
        (b'u', b'&', b'\'' | b'"') => None,
        (b'e', b'\'', _) => {
            let string_end = spans::string(text, end + 1, false)?;
            (!text[end..string_end].contains(&b'\\')).then_some(end)
        }
        _ => Some(end),
    }
}

/// Behind a number which every version of PostgreSQL reads alike.
fn number(text: &[u8], mut at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        while byte(text, at).is_ascii_digit() {
            at += 1;
        }
        at
    };
    at = digits(at);
    if byte(text, at) == b'.' {
        at = digits(at + 1);
    }
    if byte(text, at) | 0x20 == b'e' {
        let sign = matches!(byte(text, at + 1), b'+' | b'-') as usize;
        let end = digits(at + 1 + sign);
        if end == at + 1 + sign {
            return None;
        }
        at = end;
    }
    let next = byte(text, at);
    (!starts_word(next) && !matches!(next, b'.' | b'$')).then_some(at)
}

/// Behind `$1`; a dollar quote, or `$1a`, has no shape.
fn parameter(text: &[u8], start: usize) -> Option<usize> {
    let mut end = start + 1;
    while byte(text, end).is_ascii_digit() {
        end += 1;
    }
    let next = byte(text, end);
    (end > start + 1 && !starts_word(next) && next != b'$').then_some(end)
}

/// With standard_conforming_strings off this string goes on behind a quote that
/// ends it otherwise: what stands there is no text, but part of the statement.
fn is_ambiguous(string: &[u8]) -> bool {
    string.windows(2).any(|pair| pair == b"\\'")
}
