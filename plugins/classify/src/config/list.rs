//! Settings that are lists.

use serde::{Deserialize, Serialize};

/// An array of TOML, or Pgpool-II's form: one string with separators.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "a string or an array of strings was expected")]
pub enum List {
    Array(Vec<String>),
    Text(String),
}

impl Default for List {
    fn default() -> Self {
        List::Array(Vec::new())
    }
}

impl List {
    /// The items, empty ones left out. Those of an array are as they stand; a
    /// string is cut at the separator, unless a backslash stands before it.
    pub fn items(&self, separator: char) -> Vec<String> {
        let items = match self {
            List::Array(items) => items.clone(),
            List::Text(text) => cut(text, separator),
        };
        items.into_iter().filter(|item| !item.is_empty()).collect()
    }
}

/// The backslash stays: in a pattern, `\;` is a semicolon and `\,` a comma.
fn cut(text: &str, separator: char) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut escaped = false;
    for char in text.chars() {
        if char == separator && !escaped {
            items.push(String::new());
            continue;
        }
        escaped = char == '\\' && !escaped;
        if let Some(item) = items.last_mut() {
            item.push(char);
        }
    }
    match separator {
        // White space may be part of a query.
        ';' => items,
        _ => items.iter().map(|item| item.trim().to_owned()).collect(),
    }
}
