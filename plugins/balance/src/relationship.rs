//! dml_adaptive_object_relationship_list: what else changes with a table.

use crate::config::Items;

/// Pairs of a table, or function, and the table that depends on it; bare
/// names in lower case.
#[derive(Debug, Default)]
pub struct Relationships {
    tables: Vec<(String, String)>,
    functions: Vec<(String, String)>,
}

impl Relationships {
    pub fn new(items: &Items) -> Result<Self, String> {
        let mut made = Self::default();
        for item in items.iter() {
            let wrong = || {
                format!(
                    "dml_adaptive_object_relationship_list = \"{item}\": \
                     it has the form table:table or function():table"
                )
            };
            let (left, right) = item.split_once(':').ok_or_else(wrong)?;
            let (left, right) = (bare(left.trim()), bare(right.trim()));
            let (names, left) = match left.strip_suffix("()") {
                Some(function) => (&mut made.functions, function),
                None => (&mut made.tables, left.as_str()),
            };
            if left.is_empty() || right.is_empty() || format!("{left}{right}").contains([':', '(', ')']) {
                return Err(wrong());
            }
            names.push((left.to_owned(), right));
        }
        Ok(made)
    }

    pub fn of_function(&self, function: &str) -> impl Iterator<Item = &str> {
        depending(&self.functions, bare(function))
    }

    /// Adds to these tables what depends on them, directly or not.
    pub fn extend(&self, tables: &mut Vec<String>) {
        let mut at = 0;
        while let Some(table) = tables.get(at) {
            for one in depending(&self.tables, table.clone()) {
                if !tables.iter().any(|known| known == one) {
                    tables.push(one.to_owned());
                }
            }
            at += 1;
        }
    }
}

fn depending(pairs: &[(String, String)], on: String) -> impl Iterator<Item = &str> {
    pairs.iter().filter(move |(left, _)| *left == on).map(|(_, right)| right.as_str())
}

/// Pgpool-II compares names without their schema, and in any case.
pub fn bare(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.trim_matches('"').to_lowercase()
}
