//! Is an answer that holds for a statement's shape the same for other texts of
//! that shape?
//!
//! The other text is the shape itself, which is a statement as well: literals
//! and comments folded. If the plugin looks at what is folded away and yet says
//! that its answer does not depend on it, then the two differ.

use waypool_scan::{Shape, shape};

use crate::case::Case;
use crate::run::{Came, judge_anew};
use crate::subject::{Opinion, Plan, Role, Subject, Verdict};
use crate::table::Table;

/// What is wrong, in words.
pub(crate) fn check(table: &Table, case: &Case, came: &Came, subject: &mut dyn Subject) -> Option<String> {
    let text = case.statement.as_deref()?;
    let asked = subject.roles().iter().any(|role| matches!(role, Role::Rewriter | Role::Classifier));
    let folded = folded(text).filter(|folded| asked && came.error.is_none() && folded != text)?;
    let other = match judge_anew(&table.world(case), &folded, &case.behind, subject) {
        Ok(other) => other,
        Err(error) => return Some(format!("for its shape, {folded:?}, the plugin fails: {error}")),
    };
    let by_shape = |plan: &Plan| matches!(plan, Plan::Keep(depends) if depends == "shape");
    if let (Some(here), Some(there)) = (&came.plan, &other.plan) {
        if here != there && (by_shape(here) || by_shape(there)) {
            return Some(contradiction(&folded, "rewrite", &shown_plan(here), &shown_plan(there)));
        }
        if here != there || matches!(here, Plan::Edit(_)) {
            return None;
        }
    }
    let (here, there) = (opinion(came)?, opinion(&other)?);
    let differ = here != there && (here.by_shape() || there.by_shape());
    differ.then(|| contradiction(&folded, "classify", &here.to_string(), &there.to_string()))
}

fn folded(text: &str) -> Option<String> {
    let mut folded = Vec::new();
    match shape(text.as_bytes(), true, &mut folded) {
        Shape::Folded => String::from_utf8(folded).ok(),
        Shape::Exact => None,
    }
}

fn contradiction(folded: &str, hook: &str, here: &str, there: &str) -> String {
    format!(
        "{hook} contradicts itself about texts of one shape, which the proxy would not ask about twice:\n\
         for this text: {here}\n\
         for {folded:?}: {there}\n\
         Say that it depends on the text wherever a literal or a comment was looked at"
    )
}

/// What is kept by shape, or is not.
#[derive(PartialEq)]
enum Said<'a> {
    Pass(&'a str),
    Verdict(&'a Verdict),
}

fn opinion(came: &Came) -> Option<Said<'_>> {
    match (came.opinion.as_ref()?, &came.verdict) {
        (Opinion::Pass(depends), _) => Some(Said::Pass(depends)),
        (_, verdict) => Some(Said::Verdict(verdict.as_ref()?)),
    }
}

impl Said<'_> {
    fn by_shape(&self) -> bool {
        match self {
            Said::Pass(depends) => *depends == "shape",
            Said::Verdict(verdict) => verdict.depends == "shape",
        }
    }
}

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Said::Pass(depends) => write!(f, "passes (depends on the {depends})"),
            Said::Verdict(verdict) => f.write_str(&crate::report::shown_verdict(verdict)),
        }
    }
}

fn shown_plan(plan: &Plan) -> String {
    match plan {
        Plan::Keep(depends) => format!("keeps it (depends on the {depends})"),
        Plan::Reject(refusal) => format!("refuses it with {}", refusal.sqlstate),
        Plan::Edit(_) => "edits it".to_owned(),
    }
}
