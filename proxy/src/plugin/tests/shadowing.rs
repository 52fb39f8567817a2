//! A shadow is asked as well, and changes nothing.

use super::*;

/// A host where a version with this configuration shadows the other.
fn shadowed(live: &str, shadow: &str, share: f64) -> Asker {
    let host = host_of(before_own([hostile(live)]));
    host.candidate(hostile(shadow)).unwrap();
    assert_eq!(host.shadow("hostile", share, &by()).unwrap(), 2);
    Asker::new(&host)
}

fn shadow_info(asker: &Asker) -> ShadowInfo {
    info(asker.host(), "hostile").unwrap().shadow.unwrap()
}

#[test]
fn differences_are_counted_with_examples() {
    let mut asker = shadowed("{}", r#"{"only":["classifier","rewriter"]}"#, 1.0);
    asker.topology = topology(1, 2);
    for _ in 0..3 {
        asker.classify_with("SELECT 1", &Known).unwrap();
        asker.rewrite("edit").unwrap();
        asker.route(0).unwrap();
    }
    let info = shadow_info(&asker);
    // Classify, rewrite and route; the balancer's answers are others.
    assert_eq!((info.asked, info.differed, info.failed), (9, 3, 0), "{:?}", info.examples);
    assert_eq!(info.examples.len(), 1, "each once: {:?}", info.examples);
    let example = &info.examples[0];
    assert_eq!((example.call, &*example.shadow), ("route", "Pass"));
    assert!(example.statement.starts_with("Select"), "{example:?}");
    assert_eq!(example.live, "Any, node 5");
}

#[test]
fn an_example_tells_the_statement_and_both_answers() {
    let mut asker = shadowed("{}", r#"{"only":[]}"#, 1.0);
    asker.classify_with("harmless", &Known).unwrap();
    asker.rewrite("edit").unwrap();
    let [classify, rewrite] = &shadow_info(&asker).examples[..] else { panic!("{:?}", shadow_info(&asker)) };
    assert_eq!((classify.call, &*classify.statement), ("classify", "harmless"));
    assert!(classify.live.starts_with("Any (Select"), "{classify:?}");
    assert_eq!(classify.shadow, "pass (Text)");
    assert_eq!((rewrite.call, &*rewrite.statement), ("rewrite", "edit"));
    assert!(rewrite.live.starts_with("Edit"), "{rewrite:?}");
    assert_eq!(rewrite.shadow, "Keep(Text)");
}

#[test]
fn reasons_and_memories_are_no_differences() {
    // The mark is in the verdict's reason and in the session's memory.
    let mut asker = shadowed(r#"{"mark":1}"#, r#"{"mark":2}"#, 1.0);
    asker.topology = topology(1, 2);
    for _ in 0..3 {
        asker.classify_with("harmless", &Known).unwrap();
        asker.classify_with("refine it", &Known).unwrap();
        asker.route(0).unwrap();
    }
    let info = shadow_info(&asker);
    assert_eq!((info.asked, info.differed), (12, 0), "{:?}", info.examples);
}

#[test]
fn a_shadow_that_fails_leaves_the_live_one_alone() {
    let mut asker = shadowed(r#"{"mark":1}"#, r#"{"trap_after_probe":true}"#, 1.0);
    for number in 1..=20 {
        let reason = asker.classify_with("harmless", &Known).unwrap().answer.reason;
        assert_eq!(reason, format!("mark 1 call {number}"));
    }
    let info = shadow_info(&asker);
    assert_eq!((info.asked, info.differed, info.failed), (20, 0, 20));
    assert_eq!(counts(asker.host(), "hostile").faults(), 0);
    assert_eq!(asker.host().generation(), 2);
}

#[test]
fn what_a_shadow_counts_and_keeps_is_its_own() {
    let mut asker = shadowed("{}", r#"{"only":["classifier"]}"#, 1.0);
    asker.classify_with("harmless", &Known).unwrap();
    asker.ended(true).unwrap();
    let counts = counts(asker.host(), "hostile");
    assert_eq!(counts.own["classified"], Own::Counter(1));
    assert_eq!(counts.calls, 2 + 1, "classify, ended, and topology before it");
    // Words that it keeps are not the session's.
    let verdict = Verdict { reads: vec!["r".to_owned()], ..Verdict::conservative("") };
    asker.words.clear();
    asker.route_as(&verdict, 0).unwrap();
    assert_eq!(asker.words.of(0), ["r"]);
}

#[test]
fn a_share_of_the_calls_is_shadowed() {
    let mut asker = shadowed("{}", "{}", 0.25);
    for _ in 0..2_000 {
        asker.classify_with("harmless", &Known).unwrap();
    }
    let asked = shadow_info(&asker).asked;
    assert!((350..650).contains(&asked), "{asked} of 2000");
    let mut asker = shadowed("{}", "{}", 0.0);
    asker.classify_with("harmless", &Known).unwrap();
    assert_eq!(shadow_info(&asker).asked, 0);
    let error = asker.host().shadow("hostile", 1.5, &by()).unwrap_err();
    assert!(matches!(error, PluginError::Share(_)), "{error}");
}

#[test]
fn before_facts_are_known_nothing_is_compared() {
    let mut asker = shadowed("{}", r#"{"only":[]}"#, 1.0);
    asker.classify("harmless").unwrap();
    assert_eq!(shadow_info(&asker).asked, 0);
}

/// The live one does not ask for facts which its shadow wants: the shadow's
/// answer is only a careful one.
#[test]
fn facts_that_a_shadow_asks_for_are_looked_up() {
    let mut asker = shadowed(r#"{"only":[]}"#, "{}", 1.0);
    let considered = asker.classify("harmless").unwrap();
    assert_eq!(shadow_info(&asker).asked, 0);
    assert_eq!(considered.missing.len(), 3);
    asker.classify_with("harmless", &Known).unwrap();
    assert_eq!((shadow_info(&asker).asked, shadow_info(&asker).differed), (1, 1));
}

#[test]
fn a_shadow_ends_and_its_version_can_be_swapped_in() {
    let mut asker = shadowed(r#"{"mark":1}"#, r#"{"mark":2}"#, 1.0);
    let host = Arc::clone(asker.host());
    assert_eq!(host.end_shadow("hostile", &by()).unwrap(), 3);
    assert!(info(&host, "hostile").unwrap().shadow.is_none());
    assert_eq!(asker.reason(), "mark 1 call 1");
    host.swap("hostile", &by()).unwrap();
    assert_eq!(asker.reason(), "mark 2 call 1");
    let actions: Vec<_> = host.history().iter().map(|change| change.action).collect();
    assert_eq!(actions[4..], [Action::Shadow, Action::EndShadow, Action::Swap]);
}

#[test]
fn a_shadow_needs_a_candidate_and_a_plugin() {
    let host = host();
    assert!(matches!(host.shadow("hostile", 1.0, &by()), Err(PluginError::NoCandidate(_))));
    host.candidate(named("other", "{}")).unwrap();
    assert!(matches!(host.shadow("other", 1.0, &by()), Err(PluginError::NothingToCompare(_))));
    assert_eq!(info(&host, "other").unwrap().state, State::New);
}
