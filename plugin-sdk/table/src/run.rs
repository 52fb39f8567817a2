//! Asking a plugin, as the proxy would.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::compare::compare;
use crate::report::{Failure, Report};
use crate::shapes;
use crate::subject::{Admission, Edit, Opinion, Plan, Question, Role, Routing, Subject, Verdict, World};
use crate::table::Table;

/// What a plugin said in one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Came {
    pub plan: Option<Plan>,
    /// The text that is sent on
    pub text: String,
    pub opinion: Option<Opinion>,
    /// The plugin's own, or one that it refined
    pub verdict: Option<Verdict>,
    pub planned_home: Option<u32>,
    pub routing: Option<Routing>,
    pub admission: Option<Admission>,
    pub counted: BTreeMap<String, f64>,
    /// What failed, and why
    pub error: Option<String>,
}

/// Runs all cases, each in a fresh instance.
pub fn run(table: &Table, subject: &mut dyn Subject) -> Report {
    let mut report = Report { file: table.file.clone(), cases: 0, failures: Vec::new() };
    for (line, case) in table.cases() {
        report.cases += 1;
        let came = play(table, case, subject);
        let mut failure = Failure::new(line, case, &came);
        failure.differences = compare(case, &came, &subject.roles());
        failure.notes.extend(shapes::check(table, case, &came, subject));
        if !failure.is_empty() {
            report.failures.push(failure);
        }
    }
    report
}

/// One case from the beginning.
fn play(table: &Table, case: &Case, subject: &mut dyn Subject) -> Came {
    let mut came = Came::default();
    if let Err(error) = play_into(&mut came, table, case, subject) {
        came.error = Some(error);
    }
    came.counted = subject.counted();
    came
}

fn play_into(came: &mut Came, table: &Table, case: &Case, subject: &mut dyn Subject) -> Result<(), String> {
    subject.start(&table.world(case)).map_err(|error| format!("init: {error}"))?;
    let roles = subject.roles();
    let Some(text) = &case.statement else {
        return admit(came, table, case, subject);
    };
    let mut session = Session::new(case, table.home(case));
    if roles.contains(&Role::Balancer) {
        let planned = subject.plan_session(case.random).map_err(|error| format!("plan_session: {error}"))?;
        came.planned_home = planned;
        session.home = table.home(case).or(planned).unwrap_or_default();
    }
    for _ in 0..case.repeat.unwrap_or(1).max(1) {
        *came = Came { planned_home: came.planned_home, ..Came::default() };
        judge(came, text, &case.behind, subject)?;
        let refused = matches!(came.plan, Some(Plan::Reject(_)));
        if !refused && roles.contains(&Role::Balancer) {
            session.route(came, case, subject)?;
        }
    }
    Ok(())
}

fn admit(came: &mut Came, table: &Table, case: &Case, subject: &mut dyn Subject) -> Result<(), String> {
    if subject.roles().contains(&Role::Gate) {
        let admission = subject.session_start(&table.newcomer(case));
        came.admission = Some(admission.map_err(|error| format!("session_start: {error}"))?);
    }
    Ok(())
}

/// What depends on the text: the rewriter, then the classifier.
pub(crate) fn judge(
    came: &mut Came,
    text: &str,
    behind: &Verdict,
    subject: &mut dyn Subject,
) -> Result<(), String> {
    let roles = subject.roles();
    came.text = text.to_owned();
    if roles.contains(&Role::Rewriter) {
        let plan = subject.rewrite(text).map_err(|error| format!("rewrite: {error}"))?;
        if let Plan::Edit(edits) = &plan {
            came.text = edited(text, edits).map_err(|error| format!("rewrite: {error}"))?;
        }
        let refused = matches!(plan, Plan::Reject(_));
        came.plan = Some(plan);
        if refused {
            return Ok(());
        }
    }
    if roles.contains(&Role::Classifier) {
        let opinion = subject.classify(&came.text).map_err(|error| format!("classify: {error}"))?;
        came.verdict = match &opinion {
            Opinion::Pass(_) => None,
            Opinion::Answer(verdict) => Some(verdict.clone()),
            Opinion::Refine => {
                let refined = subject.refine(&came.text, behind);
                Some(refined.map_err(|error| format!("refine: {error}"))?)
            }
        };
        came.opinion = Some(opinion);
    }
    Ok(())
}

/// The text with its edits, which have to be in order, apart, and between
/// characters, as the proxy wants them.
fn edited(text: &str, edits: &[Edit]) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        let (start, end) = (edit.start as usize, edit.end as usize);
        let kept = text.get(done..start).filter(|_| end >= start && text.is_char_boundary(end));
        let Some(kept) = kept.filter(|_| end <= text.len()) else {
            return Err(format!(
                "the edit of the bytes {start} to {end} is out of order or of range, or splits a character"
            ));
        };
        out.push_str(kept);
        out.push_str(&edit.text);
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Ok(out)
}

/// What the proxy keeps for a balancer.
struct Session {
    home: u32,
    transaction_memory: u32,
    session_memory: u32,
}

impl Session {
    fn new(case: &Case, home: Option<u32>) -> Self {
        Session {
            home: home.unwrap_or_default(),
            transaction_memory: case.transaction_memory,
            session_memory: case.session_memory,
        }
    }

    fn route(&mut self, came: &mut Came, case: &Case, subject: &mut dyn Subject) -> Result<(), String> {
        let question = Question {
            verdict: came.verdict.clone().unwrap_or_else(|| case.behind.clone()),
            transaction: case.transaction.clone().unwrap_or_else(|| "idle".to_owned()),
            transaction_memory: self.transaction_memory,
            session_memory: self.session_memory,
            home: self.home,
            waited_millis: case.waited_millis,
            random: case.random,
        };
        let routing = subject.route(&question).map_err(|error| format!("route: {error}"))?;
        if let Routing::To(decision) = &routing {
            self.session_memory = decision.session_memory;
            if question.transaction != "idle" {
                self.transaction_memory = decision.transaction_memory;
            }
        }
        came.routing = Some(routing);
        Ok(())
    }
}

/// A fresh instance is asked about a text alone.
pub(crate) fn judge_anew(
    world: &World,
    text: &str,
    behind: &Verdict,
    subject: &mut dyn Subject,
) -> Result<Came, String> {
    let mut came = Came::default();
    subject.start(world).map_err(|error| format!("init: {error}"))?;
    judge(&mut came, text, behind, subject)?;
    Ok(came)
}

#[cfg(test)]
mod tests;
