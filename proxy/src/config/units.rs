//! Durations and sizes in PostgreSQL's units: `"10s"`, `"1min"`, `"64MB"`.

use std::time::Duration;

/// Longer than any sensible limit, short enough that a point in time plus
/// this never overflows.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The unit of an integer without one; each option has that of its namesake
/// in Pgpool-II or PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    Milliseconds,
    Seconds,
}

const TIME: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

const SIZE: [(&str, u64); 5] = [("B", 1), ("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];

/// `"10s"` and the like; without a unit, in that of `bare`. The error is the
/// end of a sentence that begins with the option's name.
pub(super) fn duration(text: &str, bare: Bare) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let micros_each = match unit {
        "" => bare.micros(),
        unit => find(&TIME, unit)?,
    };
    let micros = whole_number(number, text)?.checked_mul(micros_each);
    match micros.map(Duration::from_micros) {
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("is too long: the most is \"366d\"".to_owned()),
    }
}

/// `"64MB"` and the like in bytes; without a unit, bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let bytes_each = if unit.is_empty() { 1 } else { find(&SIZE, unit)? };
    whole_number(number, text)?.checked_mul(bytes_each).ok_or_else(|| "is too large".to_owned())
}

/// As a person would write it: `10s`, `2min`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let micros = duration.as_micros() as u64;
    show(micros, &TIME, "0s")
}

/// As a person would write it: `64MB`.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE, "0B")
}

fn show(amount: u64, units: &[(&str, u64)], zero: &str) -> String {
    let largest_fitting =
        units.iter().rev().find(|(_, each)| amount >= *each && amount.is_multiple_of(*each));
    match largest_fitting {
        Some((name, each)) => format!("{}{name}", amount / each),
        None => zero.to_owned(),
    }
}

/// `"10 s"` → `("10", "s")`
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end_of_number =
        text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end_of_number);
    (number, unit.trim())
}

fn whole_number(number: &str, text: &str) -> Result<u64, String> {
    if number.starts_with('-') {
        return Err(format!("must not be negative, but is \"{text}\""));
    }
    if number.contains('.') {
        return Err(format!("must be a whole number, not \"{text}\": take a smaller unit"));
    }
    if number.is_empty() {
        return Err(format!("must begin with a number, but is \"{text}\""));
    }
    number.parse().map_err(|_| format!("is not a number that can be used: \"{text}\""))
}

/// Upper and lower case count the same: no unit here has a namesake that
/// differs in case alone.
fn find(units: &[(&str, u64)], wanted: &str) -> Result<u64, String> {
    units.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, each)| *each).ok_or_else(|| {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        format!("has the unknown unit \"{wanted}\": take one of {}", names.join(", "))
    })
}

// === impl Bare ===

impl Bare {
    fn micros(self) -> u64 {
        match self {
            Self::Milliseconds => 1_000,
            Self::Seconds => 1_000_000,
        }
    }
}

#[cfg(test)]
mod tests;
