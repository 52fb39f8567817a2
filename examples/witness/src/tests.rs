#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{
    Admission, Balancer, Classifier, Gate, Kind, Newcomer, Opinion, Plan, Refusal, Rewriter, Routing,
    Servers, SessionState, Statement, Transaction, Verdict,
};

fn witness(config: &str) -> Witness {
    Witness::new(serde_json::from_str(config).unwrap()).unwrap()
}

#[test]
fn as_built_it_is_version_1_and_sound() {
    assert_eq!(stamp::read().unwrap(), (1, Mood::Sound));
    let longest = stamp::MOODS.iter().map(|(word, _)| word.len()).max();
    assert_eq!(longest, Some("stillborn".len()));
}

#[test]
fn texts_and_verdicts_bear_its_version() {
    let (mut witness, host) = (witness("{}"), FakeHost::new());
    let plan = witness.rewrite("SELECT witness_version()", &host).unwrap();
    assert_eq!(plan, Plan::Edit(vec![waypool_plugin_sdk::Edit::replace(7..24, "'v001'")]));
    assert_eq!(witness.classify("SELECT 1", &host).unwrap(), Opinion::Refine);
    assert_eq!(witness.refine("SELECT 1", Verdict::read(""), &host).unwrap().tags, ["v001"]);
}

#[test]
fn what_other_versions_left_is_counted() {
    let (mut witness, host) = (witness("{}"), FakeHost::new());
    let statement = Statement::from(&Verdict::read(""));
    let state = SessionState { transaction: Transaction::Open, ..SessionState::default() };
    host.set_statement(&Verdict::read("").tagged(["v001"]));
    let routed = witness.route(statement, state, &host).unwrap();
    let Routing::To(decision) = routed else { panic!("{routed:?}") };
    assert_eq!((decision.servers, decision.transaction_memory), (Servers::Any, 1));
    assert_eq!(host.counted("mixed v001"), 0);
    witness.route(statement, SessionState { transaction_memory: 2, ..state }, &host).unwrap();
    assert_eq!((host.counted("routed v001"), host.counted("mixed v001")), (2, 1));
    host.set_statement(&Verdict::read("").tagged(["v002"]));
    witness.route(statement, state, &host).unwrap();
    assert_eq!(host.counted("torn v001"), 1);
}

#[test]
fn sessions_fare_as_configured() {
    let mut witness = witness(
        r#"{"sessions": {
            "ada": {"database": "d", "parameters": {"work_mem": "1MB"}},
            "eve": {"refuse": ["28000", "not you", null]}
        }}"#,
    );
    let mut fate = |user: &str| {
        let newcomer = Newcomer { user: user.to_owned(), ..Newcomer::default() };
        witness.session_start(&newcomer, &FakeHost::new()).unwrap()
    };
    assert_eq!(fate("bob"), Admission::Pass);
    assert_eq!(fate("eve"), Refusal::new("28000", "not you").into());
    let Admission::Change(changes) = fate("ada") else { panic!("unchanged") };
    assert_eq!(changes.database.as_deref(), Some("d"));
    assert_eq!(changes.parameters, [("work_mem".to_owned(), "1MB".to_owned())]);
}

#[test]
fn an_observation_is_a_line_of_json() {
    let line = testimony(&Observation { rows: 7, kind: Kind::Select, ..Observation::default() });
    let json: serde_json::Value = serde_json::from_str(line.strip_prefix("observed ").unwrap()).unwrap();
    assert_eq!((json["rows"].as_u64(), json["kind"].as_str()), (Some(7), Some("Select")));
}
