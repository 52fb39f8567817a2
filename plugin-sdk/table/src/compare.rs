//! What was expected beside what came.

use std::collections::BTreeMap;

use crate::case::{Case, Target, TargetWord};
use crate::report::Difference;
use crate::run::Came;
use crate::subject::{Admission, Opinion, Plan, Refusal, Role, Routing, Verdict};

/// All that differs.
pub(crate) fn compare(case: &Case, came: &Came, roles: &[Role]) -> Vec<Difference> {
    let mut rows = Rows(Vec::new());
    match (&case.fails, &came.error) {
        (Some(part), Some(error)) => rows.part("fails", Some(part), Some(error)),
        (Some(part), None) => rows.add("fails", part, "it does not fail"),
        // Whatever else was expected, this is why it did not come.
        (None, Some(error)) => return vec![Difference::new("fails", "no", error)],
        (None, None) => {}
    }
    if let Some(passes) = case.passes.filter(|passes| *passes != came.passes()) {
        rows.add("passes", &passes.to_string(), &came.passes().to_string());
    }
    verdict(&mut rows, case, came, roles);
    texts(&mut rows, case, came);
    routing(&mut rows, case, came);
    admission(&mut rows, case, came);
    for (name, expected) in &case.counted {
        let counted = came.counted.get(name).copied().unwrap_or_default();
        if counted != *expected {
            rows.add(&format!("counted.{name}"), &expected.to_string(), &counted.to_string());
        }
    }
    rows.0
}

impl Came {
    /// Had the plugin nothing to say, in all that it was asked?
    fn passes(&self) -> bool {
        self.error.is_none()
            && matches!(self.plan, None | Some(Plan::Keep(_)))
            && matches!(self.opinion, None | Some(Opinion::Pass(_)))
            && matches!(self.routing, None | Some(Routing::Pass))
            && matches!(self.admission, None | Some(Admission::Pass))
    }

    /// By whichever role
    fn refusal(&self) -> Option<&Refusal> {
        match (&self.plan, &self.routing, &self.admission) {
            (Some(Plan::Reject(refusal)), _, _)
            | (_, Some(Routing::Refuse(refusal)), _)
            | (_, _, Some(Admission::Refuse(refusal))) => Some(refusal),
            _ => None,
        }
    }
}

/// What differs so far.
struct Rows(Vec<Difference>);

impl Rows {
    fn add(&mut self, what: &str, expected: &str, came: &str) {
        self.0.push(Difference::new(what, expected, came));
    }

    fn equal(&mut self, what: &str, expected: Option<&String>, came: Option<&String>) {
        if expected.is_some() && expected != came {
            self.add(what, shown(expected), shown(came));
        }
    }

    /// It is enough if what came has it in it.
    fn part(&mut self, what: &str, expected: Option<&String>, came: Option<&String>) {
        let Some(part) = expected else { return };
        if !came.is_some_and(|came| came.contains(part.as_str())) {
            self.add(what, part, shown(came));
        }
    }

    fn list(&mut self, what: &str, expected: Option<&Vec<String>>, came: &[String]) {
        let Some(expected) = expected else { return };
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        if sorted(expected) != sorted(came) {
            self.add(what, &listed(expected), &listed(came));
        }
    }
}

const NOTHING: &str = "nothing";

fn shown(text: Option<&String>) -> &str {
    text.map_or(NOTHING, String::as_str)
}

pub(crate) fn listed(list: &[String]) -> String {
    if list.is_empty() { NOTHING.to_owned() } else { list.join(", ") }
}

fn verdict(rows: &mut Rows, case: &Case, came: &Came, roles: &[Role]) {
    let single = [&case.kind, &case.servers, &case.name, &case.reason];
    let lists = [&case.effects, &case.reads, &case.writes, &case.functions, &case.tags];
    let expected = single.iter().any(|it| it.is_some()) || lists.iter().any(|it| it.is_some());
    rows.equal("depends", case.depends.as_ref(), depends(came).as_ref());
    let Some(verdict) = &came.verdict else {
        if expected {
            let came = match roles.contains(&Role::Classifier) {
                true => "none: it passes, or refuses the text",
                false => "none: the plugin is no classifier",
            };
            rows.add("a verdict", "one", came);
        }
        return;
    };
    let Verdict { kind, servers, effects, name, reads, writes, functions, tags, reason, .. } = verdict;
    rows.equal("kind", case.kind.as_ref(), Some(kind));
    rows.equal("servers", case.servers.as_ref(), Some(servers));
    rows.equal("name", case.name.as_ref(), name.as_ref());
    rows.list("effects", case.effects.as_ref(), effects);
    rows.list("reads", case.reads.as_ref(), reads);
    rows.list("writes", case.writes.as_ref(), writes);
    rows.list("functions", case.functions.as_ref(), functions);
    rows.list("tags", case.tags.as_ref(), tags);
    rows.part("reason", case.reason.as_ref(), Some(reason));
}

/// The strictest of what rewriter and classifier say. What is edited or refused
/// holds for the text.
fn depends(came: &Came) -> Option<String> {
    let of_plan = came.plan.as_ref().map(|plan| match plan {
        Plan::Keep(depends) => depends.as_str(),
        Plan::Reject(_) | Plan::Edit(_) => "text",
    });
    let of_opinion = match (&came.opinion, &came.verdict) {
        (Some(Opinion::Pass(depends)), _) => Some(depends.as_str()),
        (_, verdict) => verdict.as_ref().map(|verdict| verdict.depends.as_str()),
    };
    let strictness = |word: &&str| crate::words::DEPENDS.iter().position(|known| known == word);
    of_plan.into_iter().chain(of_opinion).max_by_key(strictness).map(str::to_owned)
}

fn texts(rows: &mut Rows, case: &Case, came: &Came) {
    let edited = matches!(came.plan, Some(Plan::Edit(_))).then_some(&came.text);
    rows.equal("rewritten", case.rewritten.as_ref(), edited);
    let refusal = came.refusal();
    rows.equal("refused", case.refused.as_ref(), refusal.map(|refusal| &refusal.sqlstate));
    rows.part("message", case.message.as_ref(), refusal.map(|refusal| &refusal.message));
    rows.part("hint", case.hint.as_ref(), refusal.and_then(|refusal| refusal.hint.as_ref()));
}

fn routing(rows: &mut Rows, case: &Case, came: &Came) {
    let number = |number: Option<u32>| number.map_or(NOTHING.to_owned(), |number| number.to_string());
    if case.planned_home.is_some() && case.planned_home != came.planned_home {
        rows.add("planned_home", &number(case.planned_home), &number(came.planned_home));
    }
    let (routed_to, waits) = match &came.routing {
        Some(Routing::To(decision)) => (
            Some(match decision.servers.as_str() {
                "primary" => Target::Word(TargetWord::Primary),
                "all" => Target::Word(TargetWord::All),
                _ => Target::Node(decision.node),
            }),
            None,
        ),
        Some(Routing::Wait(millis)) => (None, Some(*millis)),
        _ => (None, None),
    };
    if let Some(target) = case.routed_to.filter(|target| Some(*target) != routed_to) {
        let came = routed_to.map_or(NOTHING.to_owned(), |target| target.to_string());
        rows.add("routed_to", &target.to_string(), &came);
    }
    let watches = came.routing == Some(Routing::Watch);
    if let Some(expected) = case.watches.filter(|expected| *expected != watches) {
        rows.add("watches", &expected.to_string(), &watches.to_string());
    }
    if case.waits.is_some() && case.waits != waits {
        rows.add("waits", &number(case.waits), &number(waits));
    }
}

fn admission(rows: &mut Rows, case: &Case, came: &Came) {
    let unchanged = (&None, &None, &BTreeMap::new());
    let (database, user, parameters) = match &came.admission {
        Some(Admission::Change { database, user, parameters }) => (database, user, parameters),
        _ => unchanged,
    };
    rows.equal("database_becomes", case.database_becomes.as_ref(), database.as_ref());
    rows.equal("user_becomes", case.user_becomes.as_ref(), user.as_ref());
    if let Some(expected) = case.parameters.as_ref().filter(|expected| *expected != parameters) {
        rows.add("parameters", &assigned(expected), &assigned(parameters));
    }
}

pub(crate) fn assigned(parameters: &BTreeMap<String, String>) -> String {
    let list: Vec<String> = parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    listed(&list)
}
