//! One value of `pgpool.conf`: booleans, numbers with units, words.

use crate::config::pgpool::{Kind, Parameter};

/// A value, understood as its parameter demands.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Boolean(bool),
    /// In the unit of the parameter, rounded as Pgpool-II rounds.
    Integer(i64),
    Real(f64),
    /// Words in lower case.
    Text(String),
}

const TIME: &[(&str, f64)] =
    &[("us", 0.000_001), ("ms", 0.001), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0)];
const SIZE: &[(&str, f64)] =
    &[("B", 1.0), ("kB", 1024.0), ("MB", 1_048_576.0), ("GB", 1_073_741_824.0), ("TB", 1_099_511_627_776.0)];

/// What `text` means as a value of `parameter`. The error is the end of a
/// sentence that begins with the value.
pub fn parse(parameter: &Parameter, text: &str) -> Result<Value, String> {
    match parameter.kind {
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::Word => word(parameter, text),
        Kind::Boolean => {
            boolean(text).map(Value::Boolean).ok_or_else(|| "is not a boolean: write on or off".to_owned())
        }
        Kind::Real => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Real(number)),
            _ => Err("is not a number".to_owned()),
        },
        Kind::Integer => integer(text, &[], 1.0),
        Kind::Seconds => integer(text, TIME, 1.0),
        Kind::Milliseconds => integer(text, TIME, 0.001),
        Kind::Minutes => integer(text, TIME, 60.0),
        Kind::Bytes => integer(text, SIZE, 1.0),
        Kind::Kilobytes => integer(text, SIZE, 1024.0),
    }
}

/// true, false, yes, no, on, off, 1, 0 and their beginnings; "o" alone could
/// be either.
pub fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let words =
        [("true", true), ("false", false), ("yes", true), ("no", false), ("on", true), ("off", false)];
    match text.as_str() {
        "" | "o" => None,
        "1" => Some(true),
        "0" => Some(false),
        text => words.iter().find(|(word, _)| word.starts_with(text)).map(|(_, value)| *value),
    }
}

/// One of the parameter's words. Where these know on and off, the other
/// booleans are understood too: such a parameter was one in older versions.
fn word(parameter: &Parameter, text: &str) -> Result<Value, String> {
    let words = parameter.words;
    let is_word = |wanted: &str| words.split('|').find(|word| word.eq_ignore_ascii_case(wanted));
    let as_boolean = || boolean(text).and_then(|on| is_word(if on { "on" } else { "off" }));
    match is_word(text).or_else(as_boolean) {
        Some(word) => Ok(Value::Text(word.to_ascii_lowercase())),
        None => Err(format!("is none of {}", words.replace('|', ", "))),
    }
}

/// Decimal, octal (`0777`), hexadecimal (`0xff`) or with a fraction; then a
/// unit. `base` is the parameter's own unit.
fn integer(text: &str, units: &[(&str, f64)], base: f64) -> Result<Value, String> {
    let text = text.trim();
    let is_hex = text.trim_start_matches(['+', '-']).starts_with("0x");
    let of_number = |c: char| match is_hex {
        true => c.is_ascii_hexdigit() || matches!(c, 'x' | '+' | '-'),
        false => c.is_ascii_digit() || matches!(c, '.' | '+' | '-'),
    };
    let end = text.find(|c| !of_number(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number_of(number).ok_or("is not a number")?;
    let unit = unit.trim();
    let each = match unit {
        "" => base,
        unit => match units.iter().find(|(name, _)| *name == unit) {
            Some((_, each)) => *each,
            None if units.is_empty() => return Err("takes no unit".to_owned()),
            None => {
                let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
                return Err(format!("has an unknown unit: the units are {}", names.join(", ")));
            }
        },
    };
    // Halves go to the even neighbour, as in C.
    let rounded = (number * each / base).round_ties_even();
    if rounded.abs() > 9e15 {
        return Err("is too large".to_owned());
    }
    Ok(Value::Integer(rounded as i64))
}

fn number_of(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let whole = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None if digits.len() > 1 && digits.starts_with('0') && !digits.contains('.') => {
            i64::from_str_radix(digits, 8).ok()
        }
        None => None,
    };
    match whole {
        Some(whole) => Some(sign * whole as f64),
        None if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            digits.parse::<f64>().ok().map(|number| sign * number)
        }
        None => None,
    }
}

#[cfg(test)]
mod tests;
