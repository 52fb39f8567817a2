//! Where the longer tokens end. Each function takes the text and a position
//! and answers with the position just behind; `None` means that the text ends
//! first (an unterminated token). Named after the rules of scan.l.

use crate::class::{continues_word, is_operator, starts_word};

/// The byte at `at`, or NUL behind the end: no token continues with NUL.
#[inline(always)]
pub(crate) fn byte(text: &[u8], at: usize) -> u8 {
    if at < text.len() { text[at] } else { 0 }
}

/// Behind a word which begins before `at`.
#[inline(always)]
pub(crate) fn word(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| continues_word(byte)).count()
}

/// Up to the newline that ends a `--` comment, or the end of the text.
pub(crate) fn line_comment(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && !matches!(text[at], b'\n' | b'\r') {
        at += 1;
    }
    at
}

/// Behind a `/* … */` comment whose `/*` begins at `at`. Such comments nest.
pub(crate) fn block_comment(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            (b'/', b'*') => {
                depth += 1;
                at += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// Behind a string whose opening quote is just before `at`, with everything
/// that continues it on later lines. `escapes`: a backslash protects what
/// follows (E'' strings).
#[inline]
pub(crate) fn string(text: &[u8], mut at: usize, escapes: bool) -> Option<usize> {
    loop {
        match *text.get(at)? {
            b'\\' if escapes => at += 2,
            b'\'' if byte(text, at + 1) == b'\'' => at += 2,
            b'\'' => match continued(text, at + 1) {
                Some(reopened) => at = reopened,
                None => return Some(at + 1),
            },
            _ => at += 1,
        }
    }
}

/// A string goes on if only white space with a newline in it, and `--`
/// comments, stand between its quote and another: `'a'⏎'b'` is `'ab'`.
/// Answers behind that other quote.
fn continued(text: &[u8], mut at: usize) -> Option<usize> {
    let mut newline = false;
    loop {
        match *text.get(at)? {
            b' ' | b'\t' | 0x0b | 0x0c => at += 1,
            b'\n' | b'\r' => {
                newline = true;
                at += 1;
            }
            b'-' if byte(text, at + 1) == b'-' => at = line_comment(text, at),
            b'\'' if newline => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Behind a quoted identifier whose opening quote is just before `at`.
pub(crate) fn quoted_identifier(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *text.get(at)? {
            b'"' if byte(text, at + 1) == b'"' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// The delimiter `$tag$` that begins at `at`, as its end; `None` if there is none.
pub(crate) fn dollar_delimiter(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    if starts_word(byte(text, end)) {
        while continues_word(byte(text, end)) && text[end] != b'$' {
            end += 1;
        }
    }
    (byte(text, end) == b'$').then_some(end + 1)
}

/// Behind a dollar-quoted string whose delimiter is `text[start..body]`.
pub(crate) fn dollar_string(text: &[u8], start: usize, body: usize) -> Option<usize> {
    let delimiter = &text[start..body];
    let mut at = body;
    loop {
        at += text.get(at..)?.iter().position(|&byte| byte == b'$')?;
        if text[at..].starts_with(delimiter) {
            return Some(at + delimiter.len());
        }
        at += 1;
    }
}

/// Digits with single underscores between them (`decinteger` and its kin).
#[inline]
fn digits(text: &[u8], mut at: usize, digit: impl Fn(u8) -> bool) -> usize {
    while digit(byte(text, at)) || (byte(text, at) == b'_' && digit(byte(text, at + 1))) {
        at += 1;
    }
    at
}

/// Behind a number that begins at `at` with a digit, or with a dot before one.
pub(crate) fn number(text: &[u8], at: usize) -> usize {
    if text[at] == b'0' {
        let start = at + 2;
        let end = match byte(text, at + 1) | 0x20 {
            b'x' => digits(text, start, |byte| byte.is_ascii_hexdigit()),
            b'o' => digits(text, start, |byte| matches!(byte, b'0'..=b'7')),
            b'b' => digits(text, start, |byte| matches!(byte, b'0' | b'1')),
            _ => start,
        };
        if end > start {
            return end;
        }
    }
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let mut end = digits(text, at, is_digit);
    // `1..2` is the range of PL/pgSQL, not the number `1.`
    if byte(text, end) == b'.' && byte(text, end + 1) != b'.' {
        end += 1;
        if byte(text, end).is_ascii_digit() {
            end = digits(text, end, is_digit);
        }
    }
    if byte(text, end) | 0x20 == b'e' {
        let sign = matches!(byte(text, end + 1), b'+' | b'-') as usize;
        if byte(text, end + 1 + sign).is_ascii_digit() {
            end = digits(text, end + 1 + sign, is_digit);
        }
    }
    end
}

/// Behind the operator that begins at `at`, and behind the run of operator
/// characters of which it is the beginning. A comment ends the run; a
/// trailing `+` or `-` belongs to an operator only if that has a character
/// which no operator of the SQL standard has (`=-1` is `=` and `-1`).
pub(crate) fn operator(text: &[u8], at: usize) -> (usize, usize) {
    let mut run = at + 1;
    while is_operator(byte(text, run)) {
        let pair = (text[run], byte(text, run + 1));
        if matches!(pair, (b'/', b'*') | (b'-', b'-')) {
            break;
        }
        run += 1;
    }
    let is_sign = |byte: u8| matches!(byte, b'+' | b'-');
    let mut end = run;
    if end - at > 1 && is_sign(text[end - 1]) {
        let special = |byte: &u8| b"~!@#^&|`?%".contains(byte);
        if !text[at..end - 1].iter().any(special) {
            while end - at > 1 && is_sign(text[end - 1]) {
                end -= 1;
            }
        }
    }
    (end, run)
}
