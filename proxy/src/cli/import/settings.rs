//! The parameters of a `pgpool.conf`: which are set, to what, what the others
//! default to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::report::{Group, Report};
use super::syntax::Assignment;
use super::value::{self, Value};
use crate::config::pgpool::{self, Kind, Parameter};

/// What is set, by name and number (`backend_weight1`).
#[derive(Debug, Default)]
pub struct Settings {
    set: BTreeMap<(&'static str, Option<usize>), Setting>,
}

#[derive(Debug)]
pub struct Setting {
    pub parameter: Parameter,
    pub value: Value,
    pub place: String,
}

// === impl Settings ===

impl Settings {
    /// Of several settings of one parameter the last counts. Unknown names and
    /// impossible values are reported and left out.
    pub fn new(assignments: Vec<Assignment>, report: &mut Report) -> Self {
        let mut settings = Settings::default();
        for assignment in assignments {
            settings.take(assignment, report);
        }
        settings
    }

    fn take(&mut self, assignment: Assignment, report: &mut Report) {
        let Assignment { key, value: text, place } = assignment;
        let shown = format!("{key} ({place})");
        let Some((parameter, number)) = newest(&key) else {
            report.add(Group::Unknown, &shown, nearest(&key));
            return;
        };
        let value = match value::parse(&parameter, &text) {
            Ok(value) => value,
            Err(wrong) => {
                report.add(Group::Wrong, &shown, format!("\"{text}\" {wrong}: left out"));
                return;
            }
        };
        let key = (parameter.name, number);
        let earlier = self.set.insert(key, Setting { parameter, value, place });
        let is_list = parameter.name == "primary_routing_query_pattern_list";
        if let (Some(earlier), true) = (earlier, is_list) {
            report.add(
                Group::Attention,
                parameter.name,
                format!(
                    "set twice: the last counts here; Pgpool-II adds the patterns of {} to them",
                    earlier.place
                ),
            );
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<usize>, &Setting)> {
        self.set.iter().map(|((name, number), setting)| (*name, *number, setting))
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.get(name, None).is_some()
    }

    pub fn get(&self, name: &str, number: Option<usize>) -> Option<&Setting> {
        self.iter().find(|(n, i, _)| *n == name && *i == number).map(|(_, _, setting)| setting)
    }

    /// The settings of a numbered parameter.
    pub fn numbered(&self, name: &str) -> impl Iterator<Item = (usize, &Setting)> {
        self.iter().filter(move |(n, _, _)| *n == name).filter_map(|(_, i, setting)| Some((i?, setting)))
    }

    // --- values, or defaults

    pub fn boolean(&self, name: &str) -> bool {
        matches!(self.value(name, None), Value::Boolean(true))
    }

    pub fn integer(&self, name: &str) -> i64 {
        self.integer_of(name, None)
    }

    pub fn integer_of(&self, name: &str, number: Option<usize>) -> i64 {
        match self.value(name, number) {
            Value::Integer(integer) => integer,
            _ => 0,
        }
    }

    pub fn real_of(&self, name: &str, number: Option<usize>) -> f64 {
        match self.value(name, number) {
            Value::Real(real) => real,
            _ => 0.0,
        }
    }

    pub fn text(&self, name: &str) -> String {
        self.text_of(name, None)
    }

    pub fn text_of(&self, name: &str, number: Option<usize>) -> String {
        match self.value(name, number) {
            Value::Text(text) => text,
            _ => String::new(),
        }
    }

    pub fn duration(&self, name: &str) -> Duration {
        let units = u64::try_from(self.integer(name)).unwrap_or_default();
        match pgpool::find(name).map(|(parameter, _)| parameter.kind) {
            Some(Kind::Milliseconds) => Duration::from_millis(units),
            Some(Kind::Minutes) => Duration::from_secs(units.saturating_mul(60)),
            _ => Duration::from_secs(units),
        }
    }

    /// The parts of a list, without blanks around them and empty ones.
    pub fn list(&self, name: &str, separator: char) -> Vec<String> {
        let text = self.text(name);
        text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn value(&self, name: &str, number: Option<usize>) -> Value {
        let set = self.get(name, number).map(|setting| setting.value.clone());
        set.or_else(|| default(&pgpool::find_by_name(name)?)).unwrap_or(Value::Boolean(false))
    }
}

// === impl Setting ===

impl Setting {
    /// Nothing would be different without it.
    pub fn is_default(&self) -> bool {
        self.parameter.default == "*" || default(&self.parameter).is_some_and(|value| value == self.value)
    }
}

/// A test sees to it that every default is a value.
fn default(parameter: &Parameter) -> Option<Value> {
    value::parse(parameter, parameter.default).ok()
}

/// The parameter of this name; for an older name that which replaced it.
fn newest(key: &str) -> Option<(Parameter, Option<usize>)> {
    let (parameter, number) = pgpool::find(key)?;
    match parameter.fate.strip_prefix('=') {
        Some(newer) => pgpool::find(newer),
        None => Some((parameter, number)),
    }
}

/// What to say about an unknown name.
fn nearest(key: &str) -> String {
    let digits = key.len() - key.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let name = key[..key.len() - digits].to_ascii_lowercase();
    let near = pgpool::parameters()
        .map(|parameter| (strsim::damerau_levenshtein(&name, parameter.name), parameter.name))
        .filter(|(slips, _)| *slips <= (name.chars().count() / 4).max(1))
        .min();
    match near {
        Some((0, name)) if digits == 0 => format!("{name} needs the number of a server at its end"),
        Some((0, name)) => format!("{name} takes no number"),
        Some((_, near)) => format!("did you mean {near}?"),
        None => "not a parameter of Pgpool-II 4.8".to_owned(),
    }
}

#[cfg(test)]
mod tests;
