//! Questions and answers reach the other side whole.

use super::super::contract::{Admission, Changes, Depends, Edit, Newcomer, ReadAfter, Refusal, Value};
use super::*;

#[test]
fn a_verdict_arrives_whole() {
    let considered = asker().classify_with("harmless", &Known).unwrap();
    let verdict = considered.answer;
    assert_eq!(verdict.depends, Depends::Shape);
    assert_eq!(verdict.kind, Kind::Select);
    assert_eq!(verdict.servers, Servers::Any);
    assert_eq!(verdict.effects, Effects::SESSION_STATE | Effects::LOCKS);
    assert_eq!(verdict.name.as_deref(), Some("name"));
    assert_eq!(verdict.reads, ["db"]);
    assert_eq!(verdict.writes, ["FunctionFact::Found(Volatility::Volatile)"]);
    let facts = ["FunctionFact::Found(Volatility::Stable)", "RelationFact::Found(RelationFacts(VIEW))"];
    assert_eq!(verdict.functions, facts);
    assert_eq!(verdict.tags, ["harmless"]);
    assert_eq!(verdict.reason, "mark 1 call 1");
    assert_eq!(considered.missing, []);
    assert_eq!(considered.depends, Depends::Shape);
}

#[test]
fn facts_that_are_not_known_are_reported() {
    let mut asker = asker();
    let considered = asker.classify("harmless").unwrap();
    assert_eq!(considered.answer.servers, Servers::Primary);
    let function = FactKey::Function { schema: None, name: "f".to_owned() };
    let relation = FactKey::Relation { schema: Some("s".to_owned()), name: "r".to_owned() };
    let operator = FactKey::Operator { name: "<@@>".to_owned() };
    assert_eq!(considered.missing, [function, operator, relation]);
    // They are the call's, not the instance's.
    assert_eq!(asker.classify_with("harmless", &Known).unwrap().missing, []);
}

#[test]
fn a_decision_arrives_whole() {
    let mut asker = asker();
    asker.topology = topology(1, 3);
    let decision = asker.decide(0);
    assert_eq!(decision.servers, Servers::Any);
    assert_eq!(decision.node, 5);
    assert_eq!(decision.transaction_memory, 3, "it knows three nodes");
    assert_eq!(decision.session_memory, 1, "its mark");
    // An id that no server has is routing's business.
    assert_eq!(asker.decide(4).node, 999);
}

#[test]
fn the_topology_is_told_when_its_epoch_changes() {
    let mut asker = asker();
    let known = |asker: &mut Asker| asker.decide(0).transaction_memory;
    assert_eq!(known(&mut asker), 0);
    asker.topology = topology(1, 2);
    assert_eq!(known(&mut asker), 2);
    asker.topology = topology(1, 3);
    assert_eq!(known(&mut asker), 2, "the same epoch is the same topology");
    asker.topology = topology(2, 4);
    assert_eq!(known(&mut asker), 4);
}

#[test]
fn a_steady_decision_is_asked_for_once_until_the_topology_changes() {
    let mut asker = asker();
    asker.topology = topology(1, 2);
    let calls = |asker: &mut Asker, random| {
        asker.memories = Default::default();
        asker.decide(random).transaction_memory
    };
    let first = calls(&mut asker, 6);
    // Chance has no part in it, so whatever else it says now is not heard.
    assert_eq!([calls(&mut asker, 6), calls(&mut asker, 0)], [first, first]);
    // Another session's home is another question.
    asker.memories[0].session = 9;
    assert_eq!(asker.decide(6).transaction_memory, first + 1);
    asker.topology = topology(2, 2);
    assert_eq!(calls(&mut asker, 6), first + 2);
    let (plugins, chain) = asker.plugins();
    plugins.ask_anew(&chain);
    assert_eq!(calls(&mut asker, 6), first + 3);
}

#[test]
fn a_decision_that_looked_around_is_not_steady() {
    let mut asker = asker();
    asker.topology = topology(1, 2);
    // It says so, and has asked for the statement's tags.
    assert!(asker.decide(7).steady);
    assert!(!asker.decide(0).steady, "the call before was not taken for this one");
}

#[test]
fn a_session_gets_its_plan() {
    let mut asker = asker();
    asker.topology = topology(1, 3);
    let plan = SessionPlan { home: 2, memory: 11, read_after: Some(ReadAfter::User), wait_millis: 2 };
    assert_eq!(asker.plan_session().unwrap(), Some(plan));
    assert_eq!(asker.memories[0], Memory { transaction: 0, session: 11 });
}

#[test]
fn a_balancer_may_ask_about_the_statement_and_keep_words() {
    let mut asker = asker();
    let verdict = Verdict {
        reads: vec!["r".to_owned()],
        writes: vec!["w".to_owned()],
        functions: vec!["f".to_owned()],
        ..Verdict::conservative("")
    };
    for _ in 0..2 {
        asker.route_as(&verdict, 0).unwrap();
    }
    assert_eq!(asker.words.of(0), ["r", "w", "f"], "each once");
    assert!(asker.decide(5).tell_end);
    let (plugins, chain) = asker.plugins();
    let about = About::statement(&asker.who, &verdict, &asker.words);
    assert_eq!(plugins.explain(&chain, 0, &about).unwrap(), "mark 1");
    assert_eq!(&*plugins.balancer_name(&chain, 0), "hostile");
}

#[test]
fn a_balancer_may_pass_refuse_and_let_wait() {
    let mut asker = asker();
    let mut routing = |said| asker.route_as(&saying(said), 0).unwrap().map(|routed| routed.routing);
    assert_eq!(routing("route pass"), None, "nobody is behind it");
    let refusal =
        Refusal { sqlstate: "42501".to_owned(), message: "was told to refuse".to_owned(), hint: None };
    assert_eq!(routing("route refuse"), Some(Routing::Refuse(refusal)));
    assert_eq!(routing("route later"), Some(Routing::Wait(50)));
}

#[test]
fn the_store_is_shared_by_threads_and_versions() {
    let host = host();
    let ended = || counts(&host, "hostile").own.get("ended").copied();
    Asker::new(&host).ended(true).unwrap();
    assert_eq!(ended(), Some(Own::Counter(2)));
    // It adds what it finds in the store to its counter: 2 + (2 + 1).
    Asker::new(&host).ended(false).unwrap();
    assert_eq!(ended(), Some(Own::Counter(2 + 3)));
    swap(&host, marked(2));
    Asker::new(&host).ended(false).unwrap();
    assert_eq!(ended(), Some(Own::Counter(2 + 3 + 4)));
}

#[test]
fn plans_arrive_whole() {
    let mut asker = asker();
    let mut plans = |text| asker.rewrite(text).unwrap().1;
    assert_eq!(plans("harmless"), []);
    let edit = Edit { start: 0, end: 4, value: Value::StatementTimestamp };
    assert_eq!(plans("edit"), [Plan::Edit(vec![edit])]);
    let [Plan::Reject(refusal)] = &plans("refuse")[..] else { panic!("not refused") };
    assert_eq!(refusal.sqlstate, "42501");
}

fn newcomer(application_name: &str) -> Newcomer {
    Newcomer {
        database: "db".to_owned(),
        user: "me".to_owned(),
        application_name: application_name.to_owned(),
        address: Some("192.0.2.7".to_owned()),
        tls: true,
    }
}

#[test]
fn admissions_arrive_whole() {
    let mut asker = asker();
    let mut admissions = |application_name| {
        let (plugins, chain) = asker.plugins();
        let mut all = Vec::new();
        let mut newcomer = newcomer(application_name);
        plugins
            .session_start(&chain, &mut newcomer, |_, admission| {
                all.push(admission);
                true
            })
            .unwrap();
        all
    };
    assert_eq!(admissions("psql"), [Admission::Pass]);
    let parameters = vec![("application_name".to_owned(), "mapped".to_owned())];
    assert_eq!(admissions("map"), [Admission::Change(Changes { parameters, ..Changes::default() })]);
    let [Admission::Refuse(refusal)] = &admissions("refuse")[..] else { panic!("not refused") };
    assert_eq!((&*refusal.sqlstate, &*refusal.message), ("28000", "was told to refuse"));
}

#[test]
fn a_plugin_describes_itself_without_its_configuration() {
    let (roles, sha256, description) = host().describe(&hostile(r#"{"refuse":"always"}"#)).unwrap();
    assert_eq!(roles.to_string(), "classifier, rewriter, balancer, gate, observer");
    assert_eq!(sha256.len(), 64);
    assert_eq!(description.about, "Misbehaves on demand");
    assert!(description.config.contains(r#""mark":0"#), "{}", description.config);
}

#[test]
fn calls_and_counts_are_counted() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    for _ in 0..3 {
        asker.reason();
    }
    let (plugins, chain) = asker.plugins();
    plugins.note_overruled(&chain, 0);
    let counts = counts(&host, "hostile");
    assert_eq!(counts.calls, 3);
    assert_eq!(counts.overruled, 1);
    assert_eq!(counts.own["classified"], Own::Counter(3), "the probe's is nobody's");
    assert_eq!(counts.faults(), 0);
}
