//! Questions and answers reach the other side whole.

use super::super::contract::{Depends, Edit, Plan, ReadAfter, SessionInfo, SessionPlan, Value, Verdict};
use super::*;

#[test]
fn a_verdict_arrives_whole() {
    let classified = worker().classify("harmless", "db", &Known).unwrap();
    let verdict = classified.verdict;
    assert_eq!(verdict.depends, Depends::Shape);
    assert_eq!(verdict.kind, Kind::Select);
    assert_eq!(verdict.servers, Servers::Any);
    assert_eq!(verdict.effects, Effects::SESSION_STATE | Effects::LOCKS);
    assert_eq!(verdict.name.as_deref(), Some("name"));
    assert_eq!(verdict.reads, ["db"]);
    assert_eq!(verdict.writes, ["FunctionFact::Found(Volatility::Volatile)"]);
    let facts = ["FunctionFact::Found(Volatility::Stable)", "RelationFact::Found(RelationFacts(VIEW))"];
    assert_eq!(verdict.functions, facts);
    assert_eq!(verdict.reason, "mark 1 call 1");
    assert_eq!(classified.missing, []);
    assert_eq!(classified.generation, 1);
}

#[test]
fn facts_that_are_not_known_are_reported() {
    let mut worker = worker();
    let classified = worker.classify("harmless", "db", &NoFacts).unwrap();
    assert_eq!(classified.verdict.servers, Servers::Primary);
    let function = FactKey::Function { schema: None, name: "f".to_owned() };
    let relation = FactKey::Relation { schema: Some("s".to_owned()), name: "r".to_owned() };
    let operator = FactKey::Operator { name: "<@@>".to_owned() };
    assert_eq!(classified.missing, [function, operator, relation]);
    // They are the call's, not the instance's.
    assert_eq!(worker.classify("harmless", "db", &Known).unwrap().missing, []);
}

#[test]
fn a_decision_arrives_whole() {
    let mut worker = worker();
    worker.set_topology(1, &nodes(3)).unwrap();
    let decision = route(&mut worker, 0).unwrap();
    assert_eq!(decision.servers, Servers::Any);
    assert_eq!(decision.node, 5);
    assert_eq!(decision.transaction_memory, 3, "it knows three nodes");
    assert_eq!(decision.session_memory, 1, "its mark");
    // An id that no server has is routing's business.
    assert_eq!(route(&mut worker, 4).unwrap().node, 999);
}

#[test]
fn the_topology_is_told_when_its_epoch_changes() {
    let mut worker = worker();
    let known = |worker: &mut PluginWorker| route(worker, 0).unwrap().transaction_memory;
    assert_eq!(known(&mut worker), 0);
    worker.set_topology(1, &nodes(2)).unwrap();
    assert_eq!(known(&mut worker), 2);
    worker.set_topology(1, &nodes(3)).unwrap();
    assert_eq!(known(&mut worker), 2, "the same epoch is the same topology");
    worker.set_topology(2, &nodes(4)).unwrap();
    assert_eq!(known(&mut worker), 4);
}

#[test]
fn a_session_gets_its_home() {
    let mut worker = worker();
    worker.set_topology(1, &nodes(3)).unwrap();
    let session =
        SessionInfo { database: "db".to_owned(), user: "me".to_owned(), application_name: "psql".to_owned() };
    let words = Words::default();
    let setting = Setting { database: "db", verdict: None, words: &words };
    let plan = worker.session_start(&session, 5, &setting).unwrap();
    assert_eq!(plan, SessionPlan { home: 2, memory: 11, read_after: ReadAfter::User, wait_millis: 2 });
}

#[test]
fn a_balancer_may_ask_about_the_statement_and_keep_words() {
    let mut worker = worker();
    let verdict = Verdict {
        reads: vec!["r".to_owned()],
        writes: vec!["w".to_owned()],
        functions: vec!["f".to_owned()],
        ..Verdict::conservative("")
    };
    let words = Words::default();
    let setting = Setting { database: "db", verdict: Some(&verdict), words: &words };
    for _ in 0..2 {
        worker.route(READ, state(0), &setting).unwrap();
    }
    assert_eq!(words.all(), ["r", "w", "f"], "each once");
    assert!(worker.route(READ, state(5), &setting).unwrap().tell_end);
    assert_eq!(worker.explain(&setting).unwrap(), "mark 1");
}

#[test]
fn the_store_is_shared_by_threads_and_generations() {
    let host = host();
    let setting = Setting { database: "db", verdict: None, words: &Words::default() };
    let mut worker = PluginWorker::new(host.clone());
    worker.ended(true, &setting).unwrap();
    let ended =
        |host: &PluginHost| host.plugins().iter().find_map(|info| info.counts.own.get("ended").copied());
    assert_eq!(ended(&host), Some(2));
    PluginWorker::new(host.clone()).ended(false, &setting).unwrap();
    assert_eq!(ended(&host), Some(2 + 3));
}

#[test]
fn plans_arrive_whole() {
    let mut worker = worker();
    let mut plan = |text| worker.rewrite(text, "db", &NoFacts).unwrap().plan;
    assert_eq!(plan("harmless"), Plan::Keep);
    let edit = Edit { start: 0, end: 4, value: Value::StatementTimestamp };
    assert_eq!(plan("edit"), Plan::Edit(vec![edit]));
    let Plan::Reject(refusal) = plan("refuse") else { panic!("not refused") };
    assert_eq!(refusal.sqlstate, "42501");
}

#[test]
fn without_a_rewriter_texts_are_kept() {
    let two = vec![hostile(Role::Classifier, "{}"), hostile(Role::Balancer, "{}")];
    let mut worker = PluginWorker::new(PluginHost::new(two, options()).unwrap());
    let rewritten = worker.rewrite("refuse", "db", &NoFacts).unwrap();
    assert_eq!(rewritten.plan, Plan::Keep);
}

#[test]
fn calls_and_counts_are_counted() {
    let mut worker = worker();
    for _ in 0..3 {
        reason(&mut worker);
    }
    worker.host().note_overruled(Role::Classifier);
    let info = worker.host().plugins().into_iter().find(|info| info.role == Role::Classifier);
    let counts = info.unwrap().counts;
    assert_eq!(counts.calls, 3);
    assert_eq!(counts.overruled, 1);
    assert_eq!(counts.own["classified"], 4, "the probe counts too");
}
