//! The `waypool.toml` that is written, line by line.

use std::fmt::{Display, Write};

/// TOML with comments. Values come as TOML: numbers and booleans as they are,
/// the rest from the functions below.
#[derive(Debug, Default)]
pub struct Document {
    text: String,
}

/// A string of an array, with comments to stand above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub comments: Vec<String>,
    pub text: String,
}

// === impl Document ===

impl Document {
    /// A comment line; an empty text is an empty line.
    pub fn comment(&mut self, text: &str) {
        match text {
            "" => self.text.push('\n'),
            // A file's name may have anything in it.
            text => self.line(format_args!("# {}", text.replace(char::is_control, " "))),
        }
    }

    /// What follows is about `title`.
    pub fn section(&mut self, title: &str) {
        self.line(format_args!("\n# --- {title} {}", "-".repeat(68_usize.saturating_sub(title.len()))));
    }

    /// `[table]` or `[[table]]`.
    pub fn table(&mut self, header: &str) {
        self.line(format_args!("\n{header}"));
    }

    pub fn set(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key} = {value}"));
    }

    /// With a comment at the end of the line.
    pub fn set_because(&mut self, key: &str, value: impl Display, why: &str) {
        self.line(format_args!("{key} = {value}  # {why}"));
    }

    /// An array of strings, one a line.
    pub fn array(&mut self, key: &str, elements: &[Element]) {
        self.line(format_args!("{key} = ["));
        for element in elements {
            for comment in &element.comments {
                self.line(format_args!("  # {}", comment.replace(char::is_control, " ")));
            }
            self.line(format_args!("  {},", text(&element.text)));
        }
        self.line(format_args!("]"));
    }

    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// A TOML string. What has backslashes, such as a regular expression, stands
/// in single quotes where it can: they keep it legible.
pub fn text(value: &str) -> String {
    let literal = value.contains('\\') && !value.contains(|c: char| c == '\'' || c.is_control());
    if literal {
        return format!("'{value}'");
    }
    let mut quoted = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A TOML array of strings.
pub fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.into_iter().map(text).collect();
    format!("[{}]", values.join(", "))
}

/// A key: bare where TOML allows it.
pub fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { name.to_owned() } else { text(name) }
}
