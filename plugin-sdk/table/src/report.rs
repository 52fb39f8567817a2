//! What is printed.

use std::fmt;

use crate::case::Case;
use crate::compare::{assigned, listed};
use crate::run::Came;
use crate::subject::{Admission, Opinion, Plan, Refusal, Routing, Verdict};

/// How a table went.
#[derive(Debug)]
pub struct Report {
    pub file: String,
    pub cases: usize,
    pub failures: Vec<Failure>,
}

/// One case that went otherwise than expected.
#[derive(Debug)]
pub struct Failure {
    /// Of the case, in the file
    pub line: usize,
    pub title: String,
    pub about: Option<String>,
    pub differences: Vec<Difference>,
    /// What is wrong besides, in sentences
    pub notes: Vec<String>,
    /// All that the plugin said
    pub came: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: String,
    pub expected: String,
    pub came: String,
}

impl Difference {
    pub(crate) fn new(what: &str, expected: &str, came: &str) -> Self {
        Difference { what: what.to_owned(), expected: expected.to_owned(), came: came.to_owned() }
    }
}

impl Failure {
    pub(crate) fn new(line: usize, case: &Case, came: &Came) -> Self {
        Failure {
            line,
            title: case.title(),
            about: case.about.clone(),
            differences: Vec::new(),
            notes: Vec::new(),
            came: came.to_string(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.differences.is_empty() && self.notes.is_empty()
    }
}

impl Report {
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{}:{}: {}", self.file, failure.line, failure.title)?;
            write!(f, "{failure}")?;
            writeln!(f)?;
        }
        let cases = if self.cases == 1 { "case" } else { "cases" };
        match self.failures.len() {
            0 => write!(f, "{}: {} {cases}, all as expected", self.file, self.cases),
            failed => write!(f, "{}: {} {cases}, {failed} not as expected", self.file, self.cases),
        }
    }
}

/// Without its title.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(about) = &self.about {
            writeln!(f, "  # {about}")?;
        }
        if !self.differences.is_empty() {
            columns(f, &self.differences)?;
            writeln!(f, "  in all: {}", self.came)?;
        }
        for line in self.notes.iter().flat_map(|note| note.lines()) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

/// Side by side, or one below the other where that is too wide.
fn columns(f: &mut fmt::Formatter, rows: &[Difference]) -> fmt::Result {
    const MOST: usize = 40;
    let width = |cells: &mut dyn Iterator<Item = &String>| cells.map(|cell| cell.chars().count()).max();
    let what = width(&mut rows.iter().map(|row| &row.what)).unwrap_or(0).max("what".len());
    let expected = width(&mut rows.iter().map(|row| &row.expected)).unwrap_or(0).max("expected".len());
    if expected > MOST || rows.iter().any(|row| row.came.contains('\n') || row.expected.contains('\n')) {
        for row in rows {
            writeln!(f, "  {:what$}  expected: {}", row.what, row.expected)?;
            writeln!(f, "  {:what$}  came:     {}", "", row.came)?;
        }
        return Ok(());
    }
    writeln!(f, "  {:what$}  {:expected$}  came", "what", "expected")?;
    for row in rows {
        writeln!(f, "  {:what$}  {:expected$}  {}", row.what, row.expected, row.came)?;
    }
    Ok(())
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let parts = [
            self.error.as_ref().map(|error| format!("fails ({error})")),
            self.plan.as_ref().and_then(|plan| shown_plan(plan, &self.text)),
            shown_opinion(self),
            self.planned_home.map(|home| format!("plans the home {home}")),
            self.routing.as_ref().map(shown_routing),
            self.admission.as_ref().map(shown_admission),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "the plugin was not asked" } else { "" })?;
        f.write_str(&parts.join("; "))
    }
}

fn shown_plan(plan: &Plan, text: &str) -> Option<String> {
    match plan {
        Plan::Keep(depends) => Some(format!("keeps the text (depends on the {depends})")),
        Plan::Reject(refusal) => Some(shown_refusal(refusal)),
        Plan::Edit(_) => Some(format!("makes it {text:?}")),
    }
}

fn shown_opinion(came: &Came) -> Option<String> {
    match (came.opinion.as_ref()?, &came.verdict) {
        (Opinion::Pass(depends), _) => Some(format!("passes (depends on the {depends})")),
        (Opinion::Refine, Some(verdict)) => Some(format!("refines to {}", shown_verdict(verdict))),
        (_, Some(verdict)) => Some(format!("answers {}", shown_verdict(verdict))),
        (_, None) => None,
    }
}

/// On one line; what is empty is left out.
pub(crate) fn shown_verdict(verdict: &Verdict) -> String {
    let Verdict { depends, kind, servers, effects, name, reads, writes, functions, tags, reason } = verdict;
    let mut line = format!("kind = {kind}, servers = {servers}, depends = {depends}");
    let name: Vec<String> = name.iter().cloned().collect();
    let lists = [
        ("effects", effects),
        ("name", &name),
        ("reads", reads),
        ("writes", writes),
        ("functions", functions),
        ("tags", tags),
    ];
    for (what, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
        line += &format!(", {what} = {}", listed(list).replace(", ", " "));
    }
    format!("{line}, reason = {reason:?}")
}

fn shown_routing(routing: &Routing) -> String {
    match routing {
        Routing::Pass => "leaves the choice of the server to others".to_owned(),
        Routing::Watch => "leaves the choice of the server to others, and watches".to_owned(),
        Routing::To(decision) => match decision.servers.as_str() {
            "primary" => "routes to the primary".to_owned(),
            "all" => format!("routes to the primary and node {}", decision.node),
            _ => format!("routes to node {}", decision.node),
        },
        Routing::Wait(millis) => format!("waits {millis} ms"),
        Routing::Refuse(refusal) => shown_refusal(refusal),
    }
}

fn shown_admission(admission: &Admission) -> String {
    match admission {
        Admission::Pass => "lets the client in".to_owned(),
        Admission::Change { database, user, parameters } => {
            let database = database.as_ref().map(|name| format!("database {name}"));
            let user = user.as_ref().map(|name| format!("user {name}"));
            let parameters = (!parameters.is_empty()).then(|| assigned(parameters));
            let changes: Vec<String> = [database, user, parameters].into_iter().flatten().collect();
            format!("lets the client in with {}", listed(&changes))
        }
        Admission::Refuse(refusal) => shown_refusal(refusal),
    }
}

fn shown_refusal(refusal: &Refusal) -> String {
    let hint = refusal.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
    format!("refuses with {}: {}{hint}", refusal.sqlstate, refusal.message)
}
