//! `backend_*N` become `[[backend]]` tables.

use std::collections::BTreeSet;

use super::document::{Document, text};
use super::report::{Group, Report};
use super::settings::Settings;

/// Where Pgpool-II looks for a socket when a server has no host name.
const SOCKETS: &str = "/tmp";

/// The servers of Pgpool-II by their numbers there, in the order in which they
/// are numbered here, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers(Vec<usize>);

/// The servers that Pgpool-II would use: those with a port.
pub fn numbers(settings: &Settings, report: &mut Report) -> Numbers {
    let used: Vec<usize> = settings
        .numbered("backend_port")
        .map(|(number, _)| number)
        .filter(|number| settings.integer_of("backend_port", Some(*number)) != 0)
        .collect();
    let with_host: BTreeSet<usize> =
        settings.numbered("backend_hostname").map(|(number, _)| number).collect();
    for number in with_host.iter().filter(|number| !used.contains(number)) {
        let why = format!("left out, as Pgpool-II does: backend_port{number} is not set");
        report.add(Group::Attention, &format!("backend_hostname{number}"), why);
    }
    let moved: Vec<String> = used
        .iter()
        .enumerate()
        .filter(|(new, old)| new != *old)
        .map(|(new, old)| format!("{old} is now {new}"))
        .collect();
    if !moved.is_empty() {
        let why = format!("servers are numbered without gaps, from 0: {}", moved.join(", "));
        report.add(Group::Changed, "backend_hostname", why);
    }
    Numbers(used)
}

/// Writes the tables.
pub fn write(numbers: &Numbers, settings: &Settings, document: &mut Document, report: &mut Report) {
    document.section("The servers");
    if numbers.0.is_empty() {
        report.add(Group::Attention, "backend_hostname0", "no server is configured: write a [[backend]]");
    }
    let mut has_primary = false;
    for (new, old) in numbers.0.iter().enumerate() {
        let number = Some(*old);
        document.table("[[backend]]");
        document.comment(&match new == *old {
            true => format!("Server {new}"),
            false => format!("Server {new}, in Pgpool-II {old}"),
        });
        let hostname = settings.text_of("backend_hostname", number);
        if hostname.is_empty() {
            let why = format!("it is empty: the socket in {SOCKETS} is used");
            report.add(Group::Changed, &format!("backend_hostname{old}"), why);
            document.set("hostname", text(SOCKETS));
        } else {
            document.set("hostname", text(&hostname));
        }
        document.set("port", settings.integer_of("backend_port", number));
        document.set("weight", format!("{:?}", settings.real_of("backend_weight", number)));
        if let Some(flag) = flag(settings, *old, &mut has_primary, report) {
            document.set("flag", text(&flag));
        }
        let name = settings.text_of("backend_application_name", number);
        if !name.is_empty() {
            document.set("application_name", text(&name));
        }
        let is_socket = hostname.is_empty() || hostname.starts_with('/');
        if !is_socket && !settings.boolean("ssl") {
            document.set_because("sslmode", text("disable"), "ssl = off");
        }
    }
}

/// `None` where it is the default.
fn flag(settings: &Settings, number: usize, has_primary: &mut bool, report: &mut Report) -> Option<String> {
    let flag = settings.text_of("backend_flag", Some(number)).to_ascii_uppercase();
    let mut words: Vec<&str> = flag.split('|').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.contains(&"ALWAYS_PRIMARY") && std::mem::replace(has_primary, true) {
        words.retain(|word| *word != "ALWAYS_PRIMARY");
        let why = "ALWAYS_PRIMARY left out: the first server that has it is the primary";
        report.add(Group::Changed, &format!("backend_flag{number}"), why);
    }
    words.dedup();
    (!words.is_empty() && words != ["ALLOW_TO_FAILOVER"]).then(|| words.join("|"))
}

// === impl Numbers ===

impl Numbers {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A redirect list (`pattern:node(ratio)`, commas between) with the
    /// numbers that the servers have here, and the numbers in it of which
    /// there is no server.
    pub fn in_redirects(&self, list: &str) -> (String, Vec<usize>) {
        let mut missing = Vec::new();
        let entries: Vec<String> = list.split(',').map(|entry| self.in_entry(entry, &mut missing)).collect();
        (entries.join(","), missing)
    }

    fn in_entry(&self, entry: &str, missing: &mut Vec<usize>) -> String {
        let Some((pattern, node)) = entry.rsplit_once(':') else {
            return entry.to_owned();
        };
        let (name, ratio) = node.split_at(node.find('(').unwrap_or(node.len()));
        let Ok(old) = name.trim().parse::<usize>() else {
            return entry.to_owned();
        };
        let new = self.0.iter().position(|number| *number == old).unwrap_or_else(|| {
            missing.push(old);
            // Still a number that no server has.
            old.max(self.len())
        });
        format!("{pattern}:{new}{ratio}")
    }
}
