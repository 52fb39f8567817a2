//! POSIX extended regular expressions, as Pgpool-II's settings have them, by
//! an engine with another syntax. Neither case nor the kind of a character
//! outside ASCII is known here; a back-reference (`\1`) is an error.

use regex_lite::{Regex, RegexBuilder};

#[cfg(test)]
mod tests;

/// A match takes time with the length of the text, and a plugin's call has a
/// limit: what is longer is taken to match.
const LONGEST: usize = 16 * 1024;

/// The patterns of one setting.
#[derive(Debug)]
pub struct Patterns(Vec<Regex>);

impl Patterns {
    /// `key` is the setting, for the error.
    pub fn new(key: &str, patterns: &[String]) -> Result<Self, String> {
        let compiled = patterns.iter().map(|pattern| {
            compile(pattern).map_err(|error| {
                format!("configuration key `{key}`: \"{pattern}\" is no extended regular expression: {error}")
            })
        });
        Ok(Self(compiled.collect::<Result<_, _>>()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does one of them match `text`, from which double quotes are removed?
    pub fn matches(&self, text: &str) -> bool {
        if self.is_empty() || text.len() > LONGEST {
            return !self.is_empty();
        }
        let unquoted;
        let text = match text.contains('"') {
            true => {
                unquoted = text.replace('"', "");
                &unquoted
            }
            false => text,
        };
        self.0.iter().any(|pattern| pattern.is_match(text))
    }
}

/// Anchored as Pgpool-II does it, by letters: `a|b` becomes `^a|b$`, which is
/// what begins with a or ends with b.
fn compile(pattern: &str) -> Result<Regex, regex_lite::Error> {
    let start = if pattern.starts_with('^') { "" } else { "^" };
    let end = if pattern.ends_with('$') { "" } else { "$" };
    RegexBuilder::new(&format!("{start}{}{end}", translate(pattern)))
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .build()
}

/// Where the two syntaxes differ: in brackets, and in what a backslash means.
fn translate(posix: &str) -> String {
    let mut out = String::with_capacity(posix.len() + 8);
    let mut rest = posix.chars();
    while let Some(char) = rest.next() {
        match char {
            '[' => bracket(&mut rest, &mut out),
            '\\' => escape(rest.next(), &mut out),
            _ => out.push(char),
        }
    }
    out
}

/// Behind a backslash. `\w`, `\s`, `\b` and their opposites are GNU's and the
/// engine's; another letter stands for itself.
fn escape(escaped: Option<char>, out: &mut String) {
    match escaped {
        Some(char) if char.is_ascii_alphabetic() && !"wWsSbB".contains(char) => out.push(char),
        Some('`') => out.push_str("\\A"),
        Some('\'') => out.push_str("\\z"),
        Some(char) if char.is_ascii() => out.extend(['\\', char]),
        Some(char) => out.push(char),
        None => out.push('\\'),
    }
}

/// Behind `[`: nothing in it is special but a leading `^`, `-` between two
/// characters, and `[:class:]`.
fn bracket(rest: &mut std::str::Chars, out: &mut String) {
    out.push('[');
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
        out.push('^');
    }
    let mut first = true;
    while let Some(char) = rest.next() {
        match char {
            ']' if !first => {
                out.push(']');
                return;
            }
            '[' if rest.as_str().starts_with(':') => class(rest, out),
            '[' | ']' | '\\' | '^' | '&' | '~' => out.extend(['\\', char]),
            _ => out.push(char),
        }
        first = false;
    }
    // Without its end, the engine refuses it.
}

/// Behind the first bracket of `[:alpha:]`
fn class(rest: &mut std::str::Chars, out: &mut String) {
    out.push('[');
    for char in rest.by_ref() {
        out.push(char);
        if char == ']' {
            return;
        }
    }
}
