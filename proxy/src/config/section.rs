//! One TOML table, from which typed values are fetched.
//!
//! Each method names a key, the default and what is allowed, and returns the
//! value. A wrong value is recorded as a mistake and the default returned in
//! its place, so that reading goes on and finds the next mistake.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::Problems;
use super::keys::{self, Kind};
use super::units::{self, Bare};

pub(super) struct Section<'a> {
    pub(super) kind: Kind,
    table: &'a DeTable<'a>,
    /// Where the table begins; the top has no header.
    header: Option<Range<usize>>,
    asked: RefCell<Vec<&'a str>>,
    problems: &'a Problems<'a>,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Section<'a> {
    pub(super) fn top(table: &'a DeTable<'a>, problems: &'a Problems<'a>) -> Self {
        Self { kind: Kind::Top, table, header: None, asked: RefCell::default(), problems }
    }

    fn inner(&self, kind: Kind, table: &'a DeTable<'a>, header: Range<usize>) -> Self {
        Self { kind, table, header: Some(header), asked: RefCell::default(), problems: self.problems }
    }

    // --- numbers and words

    pub(super) fn integer<T>(&self, key: &'static str, default: T, allowed: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy,
    {
        let Some(value) = self.find(key) else {
            return default;
        };
        let Some(number) = integer_of(value.get_ref()) else {
            return self.wrong_type(key, value, "an integer", &default.to_string(), default);
        };
        match number.try_into() {
            Ok(number) if allowed.contains(&number) => number,
            _ => {
                let (least, most) = (allowed.start(), allowed.end());
                self.at(value, format!("{key} must be from {least} to {most}, not {number}"));
                default
            }
        }
    }

    pub(super) fn number(&self, key: &'static str, default: f64) -> f64 {
        let Some(value) = self.find(key) else {
            return default;
        };
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            other => integer_of(other).map(|integer| integer as f64),
        };
        match number {
            Some(number) => number,
            None => self.wrong_type(key, value, "a number", &format!("{default:?}"), default),
        }
    }

    pub(super) fn boolean(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.find(key) else {
            return default;
        };
        match value.get_ref() {
            DeValue::Boolean(boolean) => *boolean,
            _ => self.wrong_type(key, value, "true or false", &default.to_string(), default),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        default: T,
        words: &[(&str, T)],
        not_supported_yet: &[&str],
    ) -> T {
        let Some(value) = self.find(key) else {
            return default;
        };
        let first = words.first().map_or("", |(word, _)| *word);
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong_type(key, value, "a string", &format!("\"{first}\""), default);
        };
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == text) {
            return *choice;
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = if not_supported_yet.contains(&text) {
            format!("{key} = \"{text}\" is not supported yet: write {}", keys::one_of(&known))
        } else {
            format!("{key} = \"{text}\" is unknown: write {}", keys::one_of(&known))
        };
        self.at(value, message);
        default
    }

    // --- durations and sizes

    pub(super) fn duration(&self, key: &'static str, default: Duration, bare: Bare) -> Duration {
        let Some(value) = self.find(key) else {
            return default;
        };
        let example = format!("\"{}\"", units::show_duration(default));
        let wanted = "a duration";
        let text = match self.text_or_integer(key, value, wanted, &example) {
            Some(text) => text,
            None => return default,
        };
        units::duration(&text, bare).unwrap_or_else(|wrong| {
            self.at(value, format!("{key} {wrong}, for example {key} = {example}"));
            default
        })
    }

    /// A duration that cannot be zero.
    pub(super) fn period(&self, key: &'static str, default: Duration, bare: Bare) -> Duration {
        let duration = self.duration(key, default, bare);
        if duration.is_zero() {
            let example = units::show_duration(default);
            self.complain(key, format!("{key} must not be zero: write {key} = \"{example}\""));
            return default;
        }
        duration
    }

    /// A duration where zero means "off".
    pub(super) fn limit(&self, key: &'static str, default: Option<Duration>, bare: Bare) -> Option<Duration> {
        let duration = self.duration(key, default.unwrap_or_default(), bare);
        (!duration.is_zero()).then_some(duration)
    }

    pub(super) fn size(&self, key: &'static str, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.find(key) else {
            return default;
        };
        let example = format!("\"{}\"", units::show_size(default));
        let Some(text) = self.text_or_integer(key, value, "a size", &example) else {
            return default;
        };
        match units::size(&text) {
            Ok(size) if allowed.contains(&size) => size,
            Ok(_) => {
                let least = units::show_size(*allowed.start());
                let most = units::show_size(*allowed.end());
                self.at(value, format!("{key} must be from \"{least}\" to \"{most}\", not \"{text}\""));
                default
            }
            Err(wrong) => {
                self.at(value, format!("{key} {wrong}, for example {key} = {example}"));
                default
            }
        }
    }

    // --- text

    /// An empty string counts as none, as in pgpool.conf.
    pub(super) fn text(&self, key: &'static str, example: &str) -> Option<&'a str> {
        let value = self.find(key)?;
        match value.get_ref().as_str() {
            Some(text) => (!text.is_empty()).then_some(text),
            None => self.wrong_type(key, value, "a string", &format!("\"{example}\""), None),
        }
    }

    /// An array of strings, or one string whose parts `separator` divides.
    pub(super) fn list(&self, key: &'static str, separator: char, default: &[&str]) -> Vec<String> {
        let default = || default.iter().map(|part| (*part).to_owned()).collect();
        let Some(value) = self.find(key) else {
            return default();
        };
        let Some(text) = value.get_ref().as_str() else {
            let Some(lines) = self.strings(key) else {
                return default();
            };
            return lines.into_iter().map(|(text, _)| text).collect();
        };
        text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// An array of strings, each with its line.
    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<(String, usize)>> {
        let value = self.find(key)?;
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong_type(key, value, "an array of strings", "[\"…\", \"…\"]", None);
        };
        let mut strings = Vec::with_capacity(array.len());
        for element in array {
            match element.get_ref().as_str().map(str::trim) {
                Some("") => self.at(element, format!("{key} has an empty string: remove it")),
                Some(text) => {
                    let line = self.problems.position(&element.span()).line;
                    strings.push((text.to_owned(), line));
                }
                None => {
                    let kind = type_of(element.get_ref());
                    self.at(element, format!("{key} must hold strings, not {kind}: put quotes around it"));
                }
            }
        }
        Some(strings)
    }

    // --- files

    /// A path; relative ones are taken from the folder of `source`.
    pub(super) fn path(&self, key: &'static str, example: &str, source: &Path) -> Option<PathBuf> {
        let text = self.text(key, example)?;
        Some(in_folder_of(source, text))
    }

    /// A path whose file must be there and readable.
    pub(super) fn file(&self, key: &'static str, example: &str, source: &Path) -> Option<PathBuf> {
        let path = self.path(key, example, source)?;
        let readable = std::fs::File::open(&path).and_then(|file| file.metadata());
        match readable {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => self.complain(key, format!("{key}: {} is not a file", path.display())),
            Err(error) => self.complain(key, format!("{key}: cannot read {}: {error}", path.display())),
        }
        Some(path)
    }

    // --- tables

    /// `[key]`, for a kind of table of which there is one.
    pub(super) fn table(&self, key: &'a str, kind: Kind) -> Option<Self> {
        let value = self.find(key)?;
        if let Some(table) = value.get_ref().as_table() {
            return Some(self.inner(kind, table, value.span()));
        }
        let found = type_of(value.get_ref());
        let header = match self.kind {
            Kind::Plugins => format!("[plugins.{key}]"),
            Kind::Plugin => format!("[plugins.NAME.{key}]"),
            Kind::Databases => format!("[databases.{key}]"),
            Kind::Top | Kind::Backend | Kind::Admin | Kind::Database | Kind::User | Kind::Free => {
                format!("[{key}]")
            }
        };
        self.at(value, format!("{key} must be a table, not {found}: write {header}"));
        None
    }

    /// `[[key]]`, each.
    pub(super) fn tables(&self, key: &'static str, kind: Kind) -> Vec<Self> {
        let Some(value) = self.find(key) else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        for element in value.get_ref().as_array().into_iter().flatten() {
            match element.get_ref().as_table() {
                Some(table) => sections.push(self.inner(kind, table, element.span())),
                None => self.at(element, format!("each {key} must be a table: write [[{key}]]")),
            }
        }
        if !value.get_ref().is_array() {
            let wrong = type_of(value.get_ref());
            self.at(value, format!("{key} must be written [[{key}]], with two brackets, not as {wrong}"));
        }
        sections
    }

    /// Everything in it, for tables whose keys are free.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value<'a>, Range<usize>)> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), value, key.span()))
    }

    // --- mistakes

    /// A mistake at the value of `key`, else where the table begins.
    pub(super) fn complain(&self, key: &str, message: impl Into<String>) {
        match (self.table.get(key), &self.header) {
            (Some(value), _) => self.problems.at(&value.span(), message),
            (None, Some(header)) => self.problems.at(header, message),
            (None, None) => self.problems.missing(message),
        }
    }

    pub(super) fn at(&self, value: &Value<'_>, message: impl Into<String>) {
        self.problems.at(&value.span(), message);
    }

    pub(super) fn at_span(&self, span: &Range<usize>, message: impl Into<String>) {
        self.problems.at(span, message);
    }

    /// To be called when all keys have been fetched: the others are unknown.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        // Plugins have free names.
        debug_assert!(
            self.kind == Kind::Plugins || asked.iter().all(|key| self.kind.keys().contains(key)),
            "keys.rs lacks one of {asked:?}"
        );
        for (key, _, span) in self.entries() {
            if !asked.contains(&key) {
                self.problems.at(&span, keys::explain_unknown(self.kind, key));
            }
        }
    }

    // --- inside

    /// For the few keys with rules of their own.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value<'a>> {
        self.find(key)
    }

    fn find(&self, key: &'a str) -> Option<&'a Value<'a>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// Durations and sizes may be written with a unit, or as a bare integer.
    fn text_or_integer(&self, key: &str, value: &Value<'_>, wanted: &str, example: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => match integer_of(other) {
                Some(number) => Some(number.to_string()),
                None => self.wrong_type(key, value, wanted, example, None),
            },
        }
    }

    fn wrong_type<T>(&self, key: &str, value: &Value<'_>, wanted: &str, example: &str, default: T) -> T {
        let found = type_of(value.get_ref());
        self.at(value, format!("{key} must be {wanted}, not {found}: write {key} = {example}"));
        default
    }
}

/// `path`, seen from the folder in which `source` stands.
pub(super) fn in_folder_of(source: &Path, path: &str) -> PathBuf {
    match source.parent() {
        Some(folder) => folder.join(path),
        None => PathBuf::from(path),
    }
}

fn integer_of(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

pub(super) fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
