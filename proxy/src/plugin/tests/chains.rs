//! Several plugins of a role: who is asked, in which order, for whom.

use super::super::contract::{Depends, Edit, Value};
use super::*;

/// A hostile plugin in this role only.
fn only(name: &str, role: &str, mark: u32) -> PluginSource {
    named(name, &format!(r#"{{"only":["{role}"],"mark":{mark}}}"#))
}

fn asking(sources: Vec<PluginSource>) -> Asker {
    Asker::new(&host_of(sources))
}

// === classifiers ===

#[test]
fn the_first_classifier_that_answers_is_the_last_that_is_asked() {
    let two = [only("one", "classifier", 1), only("two", "classifier", 2)];
    let mut asker = asking(before_own(two));
    assert_eq!(asker.reason(), "mark 1 call 1");
    assert_eq!(counts(asker.host(), "two").calls, 0);
}

#[test]
fn classifiers_that_pass_leave_it_to_the_next() {
    let mut asker = asking(before_own([only("one", "rewriter", 1), only("two", "classifier", 2)]));
    assert_eq!(asker.reason(), "mark 2 call 1");
    // Both pass at this text, and Waypool's own answers.
    let verdict = asker.classify("pass").unwrap().answer;
    assert!(verdict.effects.contains(Effects::UNPARSED), "{verdict:?}");
}

#[test]
fn refining_goes_from_the_last_to_the_first() {
    let two = [only("one", "classifier", 1), only("two", "classifier", 2)];
    let mut asker = asking(before_own(two));
    let verdict = asker.classify("refine it").unwrap().answer;
    assert!(verdict.reason.starts_with("mark 1 refined: mark 2 refined: "), "{}", verdict.reason);
    assert_eq!(verdict.tags, ["refine it", "refine it"]);
}

#[test]
fn if_nobody_answers_the_primary_does() {
    let mut asker = asking(vec![marked(1)]);
    let considered = asker.classify("pass").unwrap();
    assert_eq!(considered.answer.servers, Servers::Primary);
    assert_eq!(considered.answer.effects, Effects::WRITES);
    assert_eq!(considered.depends, Depends::Moment, "it is asked again");
}

#[test]
fn an_answer_holds_as_long_as_the_strictest_says() {
    let read = "SELECT 1 FROM t";
    // Waypool's own looks at the shape alone.
    let mut asker = asking(own().to_vec());
    asker.who.database.clear();
    assert_eq!(asker.classify_with(read, &Known).unwrap().depends, Depends::Shape);
    assert_eq!(asker.rewrite(read).unwrap().0.depends, Depends::Shape);
    // This one has nothing to say, for the exact text.
    let mut asker = asking(before_own([only("quiet", "gate", 1)]));
    assert_eq!(asker.classify_with(read, &Known).unwrap().depends, Depends::Text);
    assert_eq!(asker.rewrite(read).unwrap().0.depends, Depends::Text);
}

#[test]
fn a_failing_classifier_ends_the_chain() {
    let mut first = only("one", "classifier", 1);
    first.entry.on_error = OnError::Primary;
    let mut asker = asking(before_own([first, only("two", "classifier", 2)]));
    let error = asker.classify("trap").unwrap_err();
    assert_eq!((&*error.plugin, error.on_error), ("one", OnError::Primary));
    assert_eq!(counts(asker.host(), "two").calls, 0);
    // The second one's failure is its own, and says what its entry says.
    let error = asker.classify("refine trap").unwrap_err();
    assert_eq!((&*error.plugin, error.on_error), ("two", OnError::Reject));
}

#[test]
fn whoever_can_ask_for_the_session_is_asked_anew_for_each() {
    // The hostile plugin can, Waypool's own classifier cannot.
    let mut asker = asking(own().to_vec());
    assert!(!asker.plugins().1.per_session);
    let mut asker = asking(before_own([only("any", "classifier", 1)]));
    assert!(asker.plugins().1.per_session);
    // A balancer or an observer that can changes nothing: their answers are not kept.
    let balance = info(asker.host(), "balance").unwrap();
    assert_eq!(balance.roles.to_string(), "balancer");
}

// === for whom ===

#[test]
fn a_plugin_is_asked_for_its_sessions_only() {
    let file = built("hostile.wasm");
    let sources = |keys: &str| {
        crate::proxy::sources(&configured(&format!("[plugins.hostile]\npath = {file:?}\n{keys}\n")))
    };
    for (keys, who, applies) in [
        ("", ["db", "me", "psql"], true),
        ("databases = [\"db\"]", ["db", "me", "psql"], true),
        ("databases = [\"db\"]", ["db2", "me", "psql"], false),
        ("users = [\"you\", \"/^m\"]", ["db", "me", "psql"], true),
        ("users = [\"you\", \"/^m\"]", ["db", "him", "psql"], false),
        ("application_names = [\"/^pg\"]", ["db", "me", "pgbench"], true),
        ("application_names = [\"/^pg\"]", ["db", "me", ""], false),
        ("databases = [\"db\"]\nusers = [\"me\"]", ["db", "you", "psql"], false),
    ] {
        let mut asker = asking(sources(keys));
        let [database, user, application_name] = who.map(str::to_owned);
        asker.who = SessionInfo { database, user, application_name };
        let (_, chain) = asker.plugins();
        assert_eq!(chain.has_gates(), applies, "{keys} for {who:?}");
        assert_eq!(chain.observed, applies, "{keys} for {who:?}");
        assert_eq!(chain.balancers().len(), 1 + usize::from(applies), "{keys} for {who:?}");
        assert_eq!(asker.reason().starts_with("mark"), applies, "{keys} for {who:?}");
    }
}

#[test]
fn own_plugins_stand_last_and_take_part_if_they_are_configured() {
    let asker = asking(before_own([only("one", "gate", 1)]));
    assert_eq!(names(asker.host()), ["one", "classify", "balance", "rewrite"]);
    let (plugins, chain) = { asker }.plugins();
    let [classifiers, rewriters] = plugins.text_names(&chain);
    assert_eq!((classifiers, rewriters), (vec!["one", "classify"], vec!["one", "rewrite"]));
}

// === rewriters ===

#[test]
fn each_rewriter_sees_the_text_of_the_one_before() {
    let mut asker = asking(before_own([only("one", "rewriter", 1), only("two", "rewriter", 2)]));
    // The first makes "StatementTimestamp" of it, which the second leaves alone.
    let edit = Edit { start: 0, end: 4, value: Value::StatementTimestamp };
    let (considered, plans) = asker.rewrite("edit").unwrap();
    assert_eq!(plans, [Plan::Edit(vec![edit])]);
    assert_eq!(considered.depends, Depends::Text, "an edit is for the exact text");
    assert_eq!(counts(asker.host(), "two").calls, 1);
    // The first refuses: nobody else is asked.
    let (_, plans) = asker.rewrite("refuse").unwrap();
    assert!(matches!(plans[..], [Plan::Reject(_)]), "{plans:?}");
    assert_eq!(counts(asker.host(), "two").calls, 1);
}

#[test]
fn a_plan_that_does_not_fit_those_before_is_malformed() {
    let mut asker = asking(before_own([only("one", "rewriter", 1)]));
    let (plugins, chain) = asker.plugins();
    let about = About::text(&asker.who, &NoFacts);
    let error = plugins.rewrite(&chain, "edit", &about, |_| Err("it cuts through".to_owned())).unwrap_err();
    assert_eq!((&*error.plugin, error.fault), ("one", Fault::Malformed));
    assert_eq!(error.message, "it cuts through");
    assert_eq!(counts(asker.host(), "one").malformed, 1);
}

#[test]
fn a_rewriter_that_rejects_on_error_insists_on_seeing_each_statement() {
    let mut asker = asking(before_own([only("one", "rewriter", 1)]));
    let (plugins, chain) = asker.plugins();
    assert_eq!(plugins.insists(&chain), Some("one"));
    let mut quiet = own();
    quiet[2].entry.on_error = OnError::Primary;
    let mut asker = asking(quiet.to_vec());
    let (plugins, chain) = asker.plugins();
    assert_eq!(plugins.insists(&chain), None);
}

// === balancers ===

#[test]
fn balancers_pass_to_the_next_and_keep_their_own_memories() {
    let mut asker = asking(before_own([only("one", "balancer", 1), only("two", "balancer", 2)]));
    asker.topology = topology(1, 2);
    let first = asker.route_as(&saying("route other"), 0).unwrap().unwrap();
    assert_eq!(first.by, 0);
    assert_eq!(asker.memories[0], Memory { transaction: 2, session: 1 });
    // Both pass, and Waypool's own decides.
    let own = asker.route_as(&saying("route pass"), 0).unwrap().unwrap();
    assert_eq!(own.by, 2);
    let Routing::To(decision) = own.routing else { panic!("{own:?}") };
    assert_eq!(asker.memories[0], Memory { transaction: 2, session: 1 });
    assert_eq!(asker.memories[1], Memory::default());
    let kept = Memory { transaction: decision.transaction_memory, session: decision.session_memory };
    assert_eq!(asker.memories[2], kept);
}

#[test]
fn balancers_that_watch_leave_the_choice_to_those_behind() {
    let watching = |name| named(name, r#"{"modest":true}"#);
    let mut asker = asking(before_own([watching("one"), watching("two"), only("three", "balancer", 3)]));
    let turn = asker.turn(&saying("ended well"), 0);
    assert_eq!(turn.watching, 0b011);
    assert_eq!(turn.said.unwrap().unwrap().by, 2);
    // A failure behind them leaves them watching.
    let turn = asker.turn(&saying("ended well"), 1);
    let (by, error) = turn.said.unwrap_err();
    assert_eq!((turn.watching, by, &*error.plugin), (0, 0, "one"));
}

#[test]
fn each_balancer_has_words_of_its_own() {
    let mut asker = asking(before_own([only("one", "balancer", 1), only("two", "balancer", 2)]));
    asker.words.add(1, "of the second".to_owned());
    let mark = asker.words.mark();
    asker.route_as(&saying("route pass"), 0).unwrap();
    assert_eq!(asker.words.of(0), ["route pass"]);
    assert_eq!(asker.words.of(1), ["of the second", "route pass"]);
    // It does not run; but the first one's are kept.
    asker.words.back_to(mark, 0b01);
    assert_eq!(asker.words.of(0), ["route pass"]);
    assert_eq!(asker.words.of(1), ["of the second"]);
}

#[test]
fn a_session_is_planned_by_the_first_and_what_it_leaves_open_by_the_next() {
    let mut asker = asking(before_own([named("one", r#"{"modest":true}"#), only("two", "balancer", 2)]));
    asker.topology = topology(1, 2);
    let plan = asker.plan_session().unwrap().unwrap();
    assert_eq!((plan.memory, plan.wait_millis), (11, 2));
    let memory = |session| Memory { transaction: 0, session };
    assert_eq!(asker.memories[..2], [memory(0), memory(11)]);
}

#[test]
fn more_balancers_than_a_session_has_memories_for_are_refused() {
    let names = ["a", "b", "c", "d"];
    let four = names.map(|name| only(name, "balancer", 1));
    let error = PluginHost::new(before_own(four.clone()), options()).err().unwrap();
    assert!(matches!(error, PluginError::TooMany { role: Role::Balancer, max: 4 }), "{error}");
    // Pushed ones count too, whatever a reload brings.
    let host = host_of(before_own([]));
    for plugin in four[..2].iter().cloned() {
        swap(&host, plugin);
    }
    let error = host.reload(before_own(four[2..].iter().cloned()), &by()).unwrap_err();
    assert!(matches!(error, PluginError::TooMany { role: Role::Balancer, .. }), "{error}");
    assert_eq!(super::names(&host), ["a", "b", "classify", "balance", "rewrite"]);
}

#[test]
fn the_end_is_told_to_the_balancer_that_asked() {
    let mut asker = asking(before_own([only("one", "balancer", 1), only("two", "balancer", 2)]));
    asker.ended(true).unwrap();
    assert!(counts(asker.host(), "one").own.contains_key("ended"));
    assert!(!counts(asker.host(), "two").own.contains_key("ended"));
}
