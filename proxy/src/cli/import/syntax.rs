//! The syntax of `pgpool.conf`, which is that of `postgresql.conf`:
//! `key = value`, `key value`, comments, quotes, `include`.
//!
//! Backslashes in quotes stay, as in Pgpool-II, whose regular expressions are
//! full of them; only `\'` and `''` are one quote.

use std::path::Path;

use anyhow::Context;

use super::report::{Group, Report};

/// `key = value`, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// As it is written.
    pub key: String,
    pub value: String,
    /// `line 12`, or `other.conf line 12`
    pub place: String,
}

/// Pgpool-II's own limit.
const DEEPEST_INCLUDE: usize = 10;

/// Reads a file and those that it includes. Lines that cannot be understood
/// are reported.
pub fn read(path: &Path, report: &mut Report) -> anyhow::Result<Vec<Assignment>> {
    let mut assignments = Vec::new();
    read_into(path, "", 0, &mut assignments, report)?;
    Ok(assignments)
}

fn read_into(
    path: &Path,
    prefix: &str,
    depth: usize,
    assignments: &mut Vec<Assignment>,
    report: &mut Report,
) -> anyhow::Result<()> {
    anyhow::ensure!(depth <= DEEPEST_INCLUDE, "{}: files include each other too deeply", path.display());
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    for assignment in parse(&text, prefix, report) {
        if assignment.key != "include" {
            assignments.push(assignment);
            continue;
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let included = folder.join(&assignment.value);
        read_into(&included, &format!("{} ", assignment.value), depth + 1, assignments, report)?;
    }
    Ok(())
}

/// The settings of one text, in its order.
pub fn parse(text: &str, prefix: &str, report: &mut Report) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{prefix}line {}", index + 1);
        match assignment(line) {
            Ok(Some((key, value))) => assignments.push(Assignment { key, value, place }),
            Ok(None) => {}
            Err(wrong) => report.add(Group::Wrong, &place, wrong),
        }
    }
    assignments
}

/// What a line says; `None` if it is empty.
fn assignment(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if is_over(line) {
        return Ok(None);
    }
    let belongs = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
    let end_of_key = line.find(|c| !belongs(c)).unwrap_or(line.len());
    let (key, rest) = line.split_at(end_of_key);
    if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("does not begin with the name of a parameter: left out".to_owned());
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let (value, rest) = match rest.strip_prefix('\'') {
        Some(quoted) => {
            in_quotes(quoted).ok_or_else(|| format!("{key}: the closing quote is missing: left out"))?
        }
        None => {
            let end = rest.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        }
    };
    if value.is_empty() && !line.contains('\'') {
        return Err(format!("{key} has no value: left out"));
    }
    if !is_over(rest.trim_start()) {
        return Err(format!("{key}: more follows after the value: left out"));
    }
    Ok(Some((key.to_owned(), value)))
}

/// Nothing but a comment is left.
fn is_over(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('#')
}

/// The text up to the closing quote, and what follows it.
fn in_quotes(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, tail) = rest.split_once('\'')?;
        value.push_str(part);
        if let Some(doubled) = tail.strip_prefix('\'') {
            value.push('\'');
            rest = doubled;
        } else if part.ends_with('\\') && tail.contains('\'') {
            // With no other quote to come, the backslash is the last character.
            value.pop();
            value.push('\'');
            rest = tail;
        } else {
            return Some((value, tail));
        }
    }
}

#[cfg(test)]
mod tests;
