//! `pool_hba.conf` becomes `hba = [...]`.

use std::path::Path;

use super::document::Element;
use super::report::{Group, Report};
use crate::auth::hba::Rules;

/// What Pgpool-II and PostgreSQL know as methods.
const METHODS: [&str; 14] = [
    "trust",
    "reject",
    "md5",
    "password",
    "scram-sha-256",
    "cert",
    "pam",
    "ldap",
    "gss",
    "sspi",
    "ident",
    "peer",
    "radius",
    "bsd",
];

/// The lines of a text as elements of `hba`, each with the comments above it.
///
/// The first rule that fits decides. So a rule that Waypool does not know is
/// never just left out: that could let in by a later rule whom it keeps out.
/// Where only its method is unknown, it rejects; else it stays as it is, and
/// `waypool check` asks for a decision.
pub fn convert(text: &str, file: &Path, report: &mut Report) -> Vec<Element> {
    let mut rules = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{} line {}", file.display(), index + 1);
        rules.push(rule(line, &place, report));
    }
    rules
}

fn rule(line: &str, place: &str, report: &mut Report) -> Element {
    let Err(error) = Rules::parse([line]) else {
        return Element { comments: Vec::new(), text: single_spaced(line) };
    };
    let wrong = error.message;
    match rejecting(line).filter(|line| Rules::parse([line.as_str()]).is_ok()) {
        Some(rejecting) => {
            report.add(Group::Attention, place, format!("rejects these clients, because {wrong}"));
            Element { comments: vec![format!("was: {line}"), wrong], text: rejecting }
        }
        None => {
            report.add(Group::Attention, place, format!("must be changed by hand: {wrong}"));
            Element { comments: vec![wrong], text: line.to_owned() }
        }
    }
}

/// The same rule with the method `reject`.
fn rejecting(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    // Before these stand the type, the databases and the users.
    let method = fields.iter().skip(3).position(|field| METHODS.contains(&field.to_lowercase().as_str()))?;
    let mut fields: Vec<&str> = fields.into_iter().take(method + 3).collect();
    fields.push("reject");
    Some(fields.join(" "))
}

/// Columns are aligned in such files; within quotes blanks count.
fn single_spaced(line: &str) -> String {
    let line = line.split_once(" #").filter(|_| !line.contains('"')).map_or(line, |(rule, _)| rule);
    match line.contains('"') {
        true => line.to_owned(),
        false => line.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests;
