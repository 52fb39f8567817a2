//! Names to compare with: as they are, or by a regular expression, as in
//! `pg_hba.conf`.

use std::fmt;

use regex::Regex;

/// `"app"`: this name. `"/^app_"`: names in which the regular expression finds
/// something.
#[derive(Clone)]
pub struct Pattern(Form);

#[derive(Clone)]
enum Form {
    Name(String),
    Expression(Regex),
}

// === impl Pattern ===

impl Pattern {
    /// The error is the end of a sentence that begins with the pattern.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(expression) = text.strip_prefix('/') else {
            return Ok(Self(Form::Name(text.to_owned())));
        };
        match Regex::new(expression) {
            Ok(expression) => Ok(Self(Form::Expression(expression))),
            Err(error) => Err(format!("is no regular expression: {}", last_line(&error))),
        }
    }

    pub fn matches(&self, name: &str) -> bool {
        match &self.0 {
            Form::Name(wanted) => wanted == name,
            Form::Expression(expression) => expression.is_match(name),
        }
    }
}

/// The others of its lines draw a picture of the place.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// As it stands in the file.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Name(name) => f.write_str(name),
            Form::Expression(expression) => write!(f, "/{expression}"),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Name(this), Form::Name(other)) => this == other,
            (Form::Expression(this), Form::Expression(other)) => this.as_str() == other.as_str(),
            (Form::Name(_), Form::Expression(_)) | (Form::Expression(_), Form::Name(_)) => false,
        }
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests;
