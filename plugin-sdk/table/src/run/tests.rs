#![allow(clippy::unwrap_used)]

use super::*;
use crate::subject::{Decision, Newcomer, Refusal};

/// A plugin with all roles that follows simple orders.
#[derive(Default)]
struct Fake {
    roles: Vec<Role>,
    world: World,
    counted: BTreeMap<String, f64>,
}

fn refusal() -> Refusal {
    Refusal { sqlstate: "42501".into(), message: "you may not".into(), hint: None }
}

impl Subject for Fake {
    fn roles(&self) -> Vec<Role> {
        self.roles.clone()
    }

    fn start(&mut self, world: &World) -> Result<(), String> {
        self.world = world.clone();
        self.counted.clear();
        Ok(())
    }

    fn rewrite(&mut self, text: &str) -> Result<Plan, String> {
        let edit = |start, end, text: &str| Plan::Edit(vec![Edit { start, end, text: text.to_owned() }]);
        Ok(match text {
            "delete" => Plan::Reject(refusal()),
            "edit" => edit(0, 2, "cr"),
            "beyond" => edit(2, 9, ""),
            "fail" => return Err("told to".to_owned()),
            // Looks at a literal, and does not say so.
            text if text.contains("'secret'") => Plan::Reject(refusal()),
            _ => Plan::Keep("shape".to_owned()),
        })
    }

    fn classify(&mut self, text: &str) -> Result<Opinion, String> {
        Ok(match text {
            "read" => Opinion::Answer(Verdict::default()),
            "refine" => Opinion::Refine,
            _ => Opinion::Pass("text".to_owned()),
        })
    }

    fn refine(&mut self, _: &str, verdict: &Verdict) -> Result<Verdict, String> {
        Ok(Verdict { tags: vec!["refined".to_owned(), "b".to_owned()], ..verdict.clone() })
    }

    fn plan_session(&mut self, random: u64) -> Result<Option<u32>, String> {
        Ok(Some(random as u32))
    }

    fn route(&mut self, question: &Question) -> Result<Routing, String> {
        *self.counted.entry("routed".to_owned()).or_default() += 1.0;
        let Question { home, session_memory, .. } = *question;
        Ok(match (question.verdict.tags.first().map(String::as_str), session_memory) {
            (Some("wait"), _) => Routing::Wait(5),
            (Some("watch"), _) => Routing::Watch,
            (Some("refuse"), _) => Routing::Refuse(refusal()),
            (_, 2) => Routing::Pass,
            _ => Routing::To(Decision {
                servers: question.verdict.servers.clone(),
                node: home,
                transaction_memory: 0,
                session_memory: session_memory + 1,
                tell_end: false,
            }),
        })
    }

    fn session_start(&mut self, newcomer: &Newcomer) -> Result<Admission, String> {
        Ok(match newcomer.user.as_str() {
            "anna" => Admission::Pass,
            "mallory" => Admission::Refuse(refusal()),
            user => Admission::Change {
                database: None,
                user: Some(format!("{user}_app")),
                parameters: [("statement_timeout".to_owned(), "5s".to_owned())].into(),
            },
        })
    }

    fn counted(&self) -> BTreeMap<String, f64> {
        self.counted.clone()
    }
}

const TEXTS: [Role; 2] = [Role::Rewriter, Role::Classifier];

fn report(roles: &[Role], text: &str) -> Report {
    let mut fake = Fake { roles: roles.to_vec(), ..Fake::default() };
    run(&Table::parse("t.toml", text).unwrap(), &mut fake)
}

#[track_caller]
fn passes(roles: &[Role], text: &str) {
    let report = report(roles, text);
    assert!(report.is_ok(), "{report}");
}

#[test]
fn what_is_expected_may_come() {
    passes(
        &TEXTS,
        r#"
        case = [
            { statement = "edit", rewritten = "crit", depends = "text" },
            { statement = "delete", refused = "42501", message = "may not", passes = false },
            { statement = "read", kind = "select", servers = "any", effects = [], depends = "shape" },
            { statement = "refine", behind = { kind = "dml" }, kind = "dml", tags = ["b", "refined"] },
            { statement = "SELECT 1", passes = true, depends = "text" },
            { statement = "fail", fails = "told" },
            { statement = "beyond", fails = "out of order or of range" },
        ]
        "#,
    );
    passes(
        &[Role::Balancer],
        r#"
        case = [
            { statement = "x", random = 3, routed_to = 3, planned_home = 3 },
            { statement = "x", home = 1, behind = { servers = "all" }, routed_to = "all" },
            { statement = "x", behind = { servers = "primary" }, routed_to = "primary" },
            { statement = "x", behind = { tags = ["wait"] }, waits = 5, watches = false },
            { statement = "x", behind = { tags = ["watch"] }, watches = true, passes = false },
            { statement = "x", behind = { tags = ["refuse"] }, refused = "42501" },
            { statement = "x", repeat = 3, passes = true, counted = { routed = 3, other = 0 } },
        ]
        "#,
    );
    passes(
        &[Role::Gate],
        r#"
        case = [
            { user = "anna", passes = true },
            { user = "mallory", refused = "42501" },
            { user = "shop", user_becomes = "shop_app", parameters = { statement_timeout = "5s" } },
        ]
        "#,
    );
}

#[test]
fn what_differs_stands_side_by_side() {
    let report = report(
        &TEXTS,
        r#"
[[case]]
statement = "read"
about = "for a reason"
servers = "primary"
effects = ["writes", "locks"]
reason = "writes"

[[case]]
statement = "SELECT 1"
kind = "select"
"#,
    );
    assert_eq!(
        report.to_string(),
        "t.toml:2: read
  # for a reason
  what     expected       came
  servers  primary        any
  effects  writes, locks  nothing
  reason   writes         reads
  in all: keeps the text (depends on the shape); \
answers kind = select, servers = any, depends = shape, reason = \"reads\"

t.toml:9: SELECT 1
  what       expected  came
  a verdict  one       none: it passes, or refuses the text
  in all: keeps the text (depends on the shape); passes (depends on the text)

t.toml: 2 cases, 2 not as expected"
    );
}

#[test]
fn a_failure_is_a_difference_by_itself() {
    let said = report(&TEXTS, "case = [{ statement = 'fail', kind = 'select' }]").to_string();
    assert!(said.contains("fails  no        rewrite: told to"), "{said}");
    let said = report(&TEXTS, "case = [{ statement = 'read', fails = 'x' }]").to_string();
    assert!(said.contains("fails  x         it does not fail"), "{said}");
}

#[test]
fn what_is_kept_by_shape_must_not_depend_on_a_literal() {
    let said = report(&TEXTS, "case = [{ statement = \"SELECT 'secret'\", refused = '42501' }]").to_string();
    assert!(said.contains("rewrite contradicts itself"), "{said}");
    assert!(said.contains("for this text: refuses it with 42501"), "{said}");
    assert!(said.contains("for \"SELECT ''\": keeps it (depends on the shape)"), "{said}");
    passes(&TEXTS, "case = [{ statement = \"SELECT 'other'\" }]");
}

#[test]
fn a_role_that_is_missing_is_named() {
    let said = report(&[Role::Gate], "case = [{ statement = 'x', kind = 'dml' }]").to_string();
    assert!(said.contains("none: the plugin is no classifier"), "{said}");
    assert!(said.contains("in all: the plugin was not asked"), "{said}");
}
