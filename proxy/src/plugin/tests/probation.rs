//! A new version that keeps failing goes out of use by itself.

use super::*;

const FAILING: &str = r#"{"mark":2,"trap_after_probe":true}"#;

#[test]
fn a_new_version_that_keeps_failing_is_taken_back() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    swap(&host, hostile(FAILING));
    for _ in 0..5 {
        asker.classify("harmless").unwrap_err();
    }
    assert_eq!(asker.reason(), "mark 1 call 1");
    assert_eq!(host.generation(), 3);
    let last = host.history().pop().unwrap();
    assert_eq!((last.generation, last.action), (3, Action::GiveUp));
    assert_eq!((&*last.plugin, &*last.by.who), ("hostile", "waypool"));
    assert_eq!(last.by.why, "it fails again and again (at last: trap)");
    // The failing one is not kept to go back to.
    assert!(matches!(host.rollback("hostile", &by()), Err(PluginError::NothingEarlier(_))));
}

#[test]
fn failures_of_all_threads_count_together() {
    let host = host();
    swap(&host, hostile(FAILING));
    let mut askers: Vec<_> = (0..5).map(|_| Asker::new(&host)).collect();
    for asker in &mut askers {
        assert_eq!(host.generation(), 2);
        asker.classify("harmless").unwrap_err();
    }
    assert_eq!(askers[0].reason(), "mark 1 call 1");
}

#[test]
fn failures_in_any_hook_count() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    swap(&host, marked(2));
    for text in ["trap", "loop", "hog", "recurse"] {
        asker.classify(text).unwrap_err();
    }
    asker.rewrite("beyond").unwrap_err();
    assert_eq!(asker.reason(), "mark 1 call 1");
}

#[test]
fn successes_make_up_for_few_failures_only() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    swap(&host, marked(2));
    // One failure in twenty calls.
    for _ in 0..10 {
        asker.classify("trap").unwrap_err();
        for _ in 0..20 {
            asker.reason();
        }
    }
    assert_eq!(host.generation(), 2);
    // More than every second call.
    for _ in 0..5 {
        asker.classify("trap").unwrap_err();
        asker.reason();
    }
    asker.classify("trap").unwrap_err();
    assert_eq!(host.generation(), 3);
}

#[test]
fn errors_that_it_returns_are_no_failure_of_the_version() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    swap(&host, marked(2));
    for _ in 0..20 {
        assert_eq!(asker.classify("error").unwrap_err().fault, Fault::Error);
    }
    assert_eq!(asker.reason(), "mark 2 call 21");
    // Nor do they make the first trap its last.
    asker.classify("trap").unwrap_err();
    assert_eq!(host.generation(), 2);
    assert_eq!(counts(&host, "hostile").errors, 20);
}

#[test]
fn a_version_that_has_proven_itself_stays() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    // The calls of the version before are no proof.
    for _ in 0..1_000 {
        asker.reason();
    }
    swap(&host, marked(2));
    for _ in 0..1_000 {
        asker.reason();
    }
    for _ in 0..10 {
        asker.classify("trap").unwrap_err();
    }
    assert_eq!(asker.reason(), "mark 2 call 1");
}

#[test]
fn the_calls_of_the_version_before_are_no_proof() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    for _ in 0..2_000 {
        asker.reason();
    }
    swap(&host, hostile(FAILING));
    for _ in 0..5 {
        asker.classify("harmless").unwrap_err();
    }
    assert_eq!(asker.reason(), "mark 1 call 1");
}

#[test]
fn a_rollback_begins_a_probation_too() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    swap(&host, hostile(r#"{"mark":2}"#));
    swap(&host, hostile(FAILING));
    // Somebody goes back before it has failed often enough, and forth again.
    asker.classify("harmless").unwrap_err();
    host.rollback("hostile", &by()).unwrap();
    asker.reason();
    host.rollback("hostile", &by()).unwrap();
    for _ in 0..5 {
        asker.classify("harmless").unwrap_err();
    }
    assert_eq!(asker.reason(), "mark 2 call 1");
}

/// The rewriter of a new name, failing.
fn fail_as_a_new_name(on_error: OnError) -> Arc<PluginHost> {
    let host = host_of(own().to_vec());
    let mut asker = Asker::new(&host);
    let mut new = named("new", r#"{"only":["rewriter"],"trap_after_probe":true}"#);
    new.entry.on_error = on_error;
    swap(&host, new);
    for _ in 0..5 {
        asker.rewrite("harmless").unwrap_err();
    }
    host
}

#[test]
fn a_new_plugin_that_keeps_failing_is_taken_back_to_none() {
    let host = fail_as_a_new_name(OnError::Primary);
    Asker::new(&host).rewrite("harmless").unwrap();
    assert_eq!(info(&host, "new").map(|info| info.state), Some(State::Disabled));
    assert_eq!(host.history().pop().unwrap().action, Action::GiveUp);
}

#[test]
fn a_new_plugin_without_which_nothing_may_pass_stays() {
    let host = fail_as_a_new_name(OnError::Reject);
    Asker::new(&host).rewrite("harmless").unwrap_err();
    assert_eq!(info(&host, "new").map(|info| info.state), Some(State::Active(2)));
}

#[test]
fn what_stood_there_at_the_start_stays_whatever_it_does() {
    // There is nothing to go back to; what its failures lead to, on_error says.
    let host = host_of(vec![hostile(FAILING)]);
    let mut asker = Asker::new(&host);
    for _ in 0..20 {
        asker.classify("harmless").unwrap_err();
    }
    assert_eq!((host.generation(), counts(&host, "hostile").traps), (1, 20));
}

#[test]
fn an_observer_on_probation_is_watched_too() {
    let host = host();
    swap(&host, hostile(r#"{"misbehave":{"observe":"trap"},"after":1}"#));
    let mut asker = Asker::new(&host);
    let (plugins, _) = asker.plugins();
    let told = vec![observing::observation(&asker.who)];
    // The probe's instance had one decent call, and so has each other.
    for _ in 0..5 {
        plugins.observe(|_| told.clone());
        assert_eq!(host.generation(), 2);
        plugins.observe(|_| told.clone());
    }
    assert_eq!(counts(&host, "hostile").traps, 5);
    // A success was between them.
    assert_eq!(host.generation(), 2);
}
