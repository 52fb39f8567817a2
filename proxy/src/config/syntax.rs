//! Mistakes of TOML itself: a missing quote, an open bracket, a key twice.

use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use super::errors::{ConfigErrors, Position, Problems};
use super::read;

/// The mistakes, if there are any, together with those mistakes of content
/// that the damage does not touch.
pub(super) fn check(
    text: &str,
    file: &Path,
    table: &Spanned<DeTable<'_>>,
    mistakes: &[toml::de::Error],
) -> Option<ConfigErrors> {
    if mistakes.is_empty() {
        return None;
    }
    let mut places: Vec<(Position, &str)> = mistakes
        .iter()
        .map(|mistake| {
            let offset = mistake.span().map_or(0, |span| span.start);
            (Position::of(text, offset), mistake.message())
        })
        .collect();
    places.sort_by_key(|(position, _)| *position);
    // One mistake of a line is enough: the others tend to follow from it.
    places.dedup_by_key(|(position, _)| position.line);

    let swallows_the_rest = mistakes.iter().any(|m| leaves_something_open(m.message()));
    if swallows_the_rest {
        places.truncate(1);
    }

    let mut errors = ConfigErrors::new(file);
    for (position, message) in &places {
        errors.add(Some(*position), describe(text, *position, message));
    }
    if !swallows_the_rest {
        add_mistakes_elsewhere(text, file, table, &mut errors);
    }
    Some(errors)
}

/// An open array or string takes in the lines that follow, so that nothing
/// can be said about them. These are the parser's words; should they change,
/// the answer gets longer, not wrong.
fn leaves_something_open(message: &str) -> bool {
    message.contains("unclosed") || message.contains("invalid multi-line")
}

fn describe(text: &str, position: Position, message: &str) -> String {
    let line = text.lines().nth(position.line - 1).unwrap_or_default().trim();
    let shown = if may_hold_a_secret(text, position.line) {
        line.split_once('=').map_or("", |(key, _)| key.trim_end())
    } else {
        line
    };
    if shown.is_empty() {
        format!("not valid TOML: {message}")
    } else {
        format!("not valid TOML: {message}: {shown}")
    }
}

/// This line is not printed: logs are read by more people than this file.
fn may_hold_a_secret(text: &str, line_number: usize) -> bool {
    let lines: Vec<&str> = text.lines().take(line_number).collect();
    let in_users = lines
        .iter()
        .rev()
        .find(|line| line.trim_start().starts_with('['))
        .is_some_and(|header| header.contains("users"));
    let last = lines.last().copied().unwrap_or_default();
    in_users || last.contains("password") || last.contains("users")
}

/// What is wrong in lines that TOML could read. Missing things are not
/// reported: they may stand in a line that it could not.
fn add_mistakes_elsewhere(text: &str, file: &Path, table: &Spanned<DeTable<'_>>, errors: &mut ConfigErrors) {
    let problems = Problems::new(text, file);
    let config = read::config(table.get_ref(), file, &problems);
    let Err(others) = problems.into_result(config) else {
        return;
    };
    for other in others.iter() {
        let Some(position) = other.position else {
            continue;
        };
        let line_is_broken =
            errors.iter().any(|error| error.position.is_some_and(|p| p.line == position.line));
        if !line_is_broken {
            errors.add(Some(position), other.message.clone());
        }
    }
}
