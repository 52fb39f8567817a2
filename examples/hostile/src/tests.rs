#![allow(clippy::unwrap_used)]

use super::*;
use crate::deeds::ordered;
use waypool_plugin_sdk::testing::{FakeHost, primary};
use waypool_plugin_sdk::{
    Admission, Balancer, Classifier, Edit, Gate, Newcomer, Observation, Observer, Opinion, Plan, Rewriter,
    Routing, SessionInfo, SessionState, Statement, Value, Verdict,
};

fn hostile(config: &str) -> Hostile {
    Hostile::new(serde_json::from_str(config).unwrap()).unwrap()
}

#[test]
fn orders_are_for_one_hook_or_for_any() {
    for (hook, said, deed) in [
        (Hook::Classify, "trap", Some(Deed::Trap)),
        (Hook::Classify, "refine trap", None),
        (Hook::Refine, "refine trap", Some(Deed::Trap)),
        (Hook::PlanSession, "plan_session bad_sqlstate", Some(Deed::BadSqlstate)),
        (Hook::Classify, "SELECT 1", None),
        (Hook::Route, "SELECT 1 /* route trap */", Some(Deed::Trap)),
        (Hook::Classify, "SELECT 1 /* route trap */", None),
        (Hook::Classify, "SELECT 1 /* trap", None),
        (Hook::Classify, "", None),
    ] {
        assert_eq!(ordered(hook, said), deed, "{said}");
    }
}

#[test]
fn deeds_of_the_configuration_begin_after_some_calls() {
    let mut hostile = hostile(r#"{"misbehave":{"rewrite":"error"},"after":2,"only":["rewriter"]}"#);
    let host = FakeHost::new();
    let mut said = || hostile.rewrite("x", &host).map_err(String::from);
    assert_eq!((said(), said()), (Ok(Plan::keep()), Ok(Plan::keep())));
    assert_eq!(said(), Err("was told to fail".to_owned()));
    assert_eq!(hostile.classify("trap", &host).unwrap(), Opinion::pass());
}

#[test]
fn each_text_is_edited_if_the_configuration_says_so() {
    let mut hostile = hostile(r#"{"edit":[0,4]}"#);
    let edit = Edit { start: 0, end: 4, value: Value::StatementTimestamp };
    assert_eq!(hostile.rewrite("SELECT 1", &FakeHost::new()).unwrap(), Plan::Edit(vec![edit]));
}

#[test]
fn newcomers_are_mapped_and_refused_by_their_application() {
    let mut hostile = hostile("{}");
    let mut admit = |application_name: &str| {
        let newcomer = Newcomer { application_name: application_name.to_owned(), ..Newcomer::default() };
        hostile.session_start(&newcomer, &FakeHost::new()).unwrap()
    };
    assert_eq!(admit("psql"), Admission::Pass);
    assert!(matches!(admit("mapped"), Admission::Refuse(_)));
    let Admission::Change(changes) = admit("database other") else { panic!("not changed") };
    assert_eq!(changes.database.as_deref(), Some("other"));
}

#[test]
fn a_modest_one_leaves_answers_to_others() {
    let (mut hostile, host) = (hostile(r#"{"modest":true}"#), FakeHost::new());
    assert_eq!(hostile.classify("SELECT 1", &host).unwrap(), Opinion::pass());
    let ordered = "SELECT 1 /* ended trap */";
    assert_eq!(hostile.classify(ordered, &host).unwrap(), Opinion::Refine);
    let verdict = hostile.refine(ordered, Verdict::read(""), &host).unwrap();
    assert_eq!(verdict.tags, ["ended trap"]);
    let statement = Statement::from(&verdict);
    let mut route = || hostile.route(statement, SessionState::default(), &host).unwrap();
    assert_eq!(route(), Routing::Pass);
    host.set_statement(&verdict);
    assert_eq!(route(), Routing::Watch);
    assert_eq!(hostile.plan_session(&SessionInfo::default(), 0, &host), None);
}

#[test]
fn garbage_is_garbage() {
    let host = FakeHost::new();
    let mut hostile = hostile("{}");
    let reversed = Edit { start: 3, end: 2, value: Value::StatementTimestamp };
    assert_eq!(hostile.rewrite("rewrite garbage", &host).unwrap(), Plan::Edit(vec![reversed]));
    let verdict = Verdict::read("");
    assert!(hostile.refine("refine garbage", verdict.clone(), &host).unwrap().reason.len() > 1 << 20);
    host.set_statement(&verdict.tagged(["route garbage"]));
    let routing = hostile.route(Statement::from(&Verdict::read("")), SessionState::default(), &host).unwrap();
    let Routing::To(decision) = routing else { panic!("{routing:?}") };
    assert_eq!(decision.node, 999);
    let newcomer = Newcomer { user: "session_start bad_sqlstate".to_owned(), ..Newcomer::default() };
    let admission = hostile.session_start(&newcomer, &host).unwrap();
    let Admission::Refuse(refusal) = admission else { panic!("{admission:?}") };
    assert_eq!(refusal.sqlstate, "oops");
}

#[test]
fn what_it_is_told_reaches_every_hook() {
    let host = FakeHost::new();
    let mut hostile = hostile("{}");
    assert_eq!(hostile.classify("refine", &host).unwrap(), Opinion::Refine);
    assert_eq!(hostile.refine("refine", Verdict::read("a"), &host).unwrap().reason, "mark 0 refined: a");
    hostile.topology(&[primary(3)], &host);
    host.set_statement(&Verdict::read("").tagged(["ended flood"]));
    hostile.route(Statement::from(&Verdict::read("")), SessionState::default(), &host).unwrap();
    hostile.ended(true, &host);
    assert!(host.logs().len() > 9_000);
    let flood = Observation { tags: vec!["observe flood".to_owned()], ..Observation::default() };
    hostile.observe(&[flood], &host);
    assert!(host.logs().len() > 18_000);
    assert_eq!(host.counted("observed"), 1);
    assert!(hostile.self_test(&host).is_ok());
}
