//! Mistakes in the configuration, with their place in the file.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// All mistakes of one file, in the order of the file. Displayed one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    file: PathBuf,
    errors: Vec<ConfigError>,
}

/// One mistake: `waypool.toml:12:1: unknown key "prot": did you mean "port"?`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub file: PathBuf,
    /// `None` where the mistake is that something is missing.
    pub position: Option<Position>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// A place in a text; both count from 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// Collects mistakes while a text is read. Shared by all who read it, hence
/// the cell.
pub(super) struct Problems<'a> {
    text: &'a str,
    found: RefCell<ConfigErrors>,
}

// === impl ConfigErrors ===

impl ConfigErrors {
    /// A list for `file`, empty for now: other modules that check a part of
    /// the file (the hba lines, say) collect their mistakes in the same form.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), errors: Vec::new() }
    }

    /// A single mistake without a place.
    pub fn whole_file(file: &Path, message: impl Into<String>) -> Self {
        let mut errors = Self::new(file);
        errors.add(None, message);
        errors
    }

    pub fn add(&mut self, position: Option<Position>, message: impl Into<String>) {
        self.errors.push(ConfigError { file: self.file.clone(), position, message: message.into() });
        // Stable, so that mistakes at one place keep their order; those
        // without a place come first.
        self.errors.sort_by_key(|error| error.position);
    }

    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.errors.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

// === impl Position ===

impl Position {
    /// The place of the byte `offset` of `text`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        // An offset from the TOML parser can stand one past the end.
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

// === impl Problems ===

impl<'a> Problems<'a> {
    pub(super) fn new(text: &'a str, file: &Path) -> Self {
        Self { text, found: RefCell::new(ConfigErrors::new(file)) }
    }

    /// A mistake at `span` of the text.
    pub(super) fn at(&self, span: &Range<usize>, message: impl Into<String>) {
        let position = self.position(span);
        self.found.borrow_mut().add(Some(position), message);
    }

    /// A mistake of the file as a whole: something is missing.
    pub(super) fn missing(&self, message: impl Into<String>) {
        self.found.borrow_mut().add(None, message);
    }

    pub(super) fn position(&self, span: &Range<usize>) -> Position {
        Position::of(self.text, span.start)
    }

    /// `value` if nothing was found, else what was found.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, ConfigErrors> {
        let found = self.found.into_inner();
        if found.is_empty() { Ok(value) } else { Err(found) }
    }
}
