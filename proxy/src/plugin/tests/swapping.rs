//! Plugins change under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;

#[test]
fn a_swap_reaches_workers_at_their_next_call() {
    let mut asker = asker();
    assert_eq!(asker.reason(), "mark 1 call 1");
    let host = Arc::clone(asker.host());
    let (roles, sha256) = host.candidate(marked(2)).unwrap();
    assert!(roles.contains(Role::Gate));
    let waiting = info(&host, "hostile").unwrap();
    assert_eq!((waiting.candidate.as_ref(), waiting.state), (Some(&sha256), State::Active(1)));
    assert_eq!(asker.reason(), "mark 1 call 2", "it only waits");

    assert_eq!(host.swap("hostile", &by()).unwrap(), 2);
    assert_eq!(asker.reason(), "mark 2 call 1");
    assert_eq!((host.generation(), asker.plugins().0.number()), (2, 2));
    let now = info(&host, "hostile").unwrap();
    assert_eq!((now.candidate, now.state, now.earlier), (None, State::Active(2), Some(sha256)));
    assert!(matches!(host.swap("hostile", &by()), Err(PluginError::NoCandidate(_))));
}

#[test]
fn a_session_that_keeps_its_generation_is_answered_by_it() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    let (plugins, chain) = asker.plugins();
    swap(&host, marked(2));
    assert_eq!(asker.reason(), "mark 2 call 1");
    let about = About::text(&asker.who, &NoFacts);
    let kept = plugins.classify(&chain, "harmless", &about).unwrap().answer.reason;
    assert_eq!(kept, "mark 1 call 1");
}

#[test]
fn a_swap_leaves_the_other_plugins_instances_alone() {
    let host = host_of(vec![named("one", r#"{"mark":1}"#), named("two", "{}")]);
    let mut asker = Asker::new(&host);
    asker.reason();
    swap(&host, named("two", r#"{"mark":2}"#));
    assert_eq!(asker.reason(), "mark 1 call 2");
    assert_eq!(info(&host, "one").unwrap().state, State::Active(1));
    assert_eq!(info(&host, "two").unwrap().state, State::Active(2));
}

#[test]
fn a_balancers_place_is_found_again_unless_it_was_swapped() {
    let host = host_of(vec![named("one", "{}"), named("two", "{}")]);
    let mut asker = Asker::new(&host);
    let (before, chain) = asker.plugins();
    assert_eq!(chain.balancers(), [0, 1]);
    swap(&host, named("three", "{}"));
    swap(&host, named("one", r#"{"mark":2}"#));
    let (after, now) = asker.plugins();
    assert_eq!(after.same_balancer(&now, &before, 0), None, "another version has other memories");
    assert_eq!(after.same_balancer(&now, &before, 1), Some(1));
}

#[test]
fn a_new_name_stands_before_waypools_own() {
    let host = host_of(before_own([]));
    let mut asker = Asker::new(&host);
    swap(&host, named("late", r#"{"mark":3}"#));
    assert_eq!(names(&host), ["late", "classify", "balance", "rewrite"]);
    assert_eq!(asker.reason(), "mark 3 call 1");
}

/// Each answer is of one generation, whole, and never of an older one than the
/// answer before.
#[test]
fn swaps_under_load_lose_nothing() {
    let host = host();
    let over = AtomicBool::new(false);
    let answers = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut asker = Asker::new(&host);
                let mut newest = 0;
                while !over.load(Ordering::Relaxed) {
                    let (plugins, chain) = asker.plugins();
                    let about = About::text(&asker.who, &NoFacts);
                    let answer = plugins.classify(&chain, "harmless", &about).unwrap().answer;
                    let mark = format!("mark {} ", plugins.number());
                    assert!(answer.reason.starts_with(&mark), "{mark}: {}", answer.reason);
                    assert!(plugins.number() >= newest);
                    newest = plugins.number();
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for generation in 2..30 {
            let seen = answers.load(Ordering::Relaxed);
            assert_eq!(swap(&host, marked(generation)), generation);
            while answers.load(Ordering::Relaxed) < seen + 20 {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// Sessions may be idle for days, and keep their generation until they ask again.
#[test]
fn idle_sessions_of_old_generations_keep_no_instances() {
    let host = PluginHost::new(vec![marked(1)], Options { workers: 1, ..options() }).unwrap();
    let mut asker = Asker::new(&host);
    let mut idle = Vec::new();
    for mark in 1..100 {
        assert_eq!(asker.reason(), format!("mark {mark} call 1"));
        idle.push(asker.plugins());
        swap(&host, marked(mark + 1));
    }
    // The eldest is asked again.
    let (plugins, chain) = &idle[0];
    let about = About::text(&asker.who, &NoFacts);
    assert_eq!(plugins.classify(chain, "harmless", &about).unwrap().answer.reason, "mark 1 call 1");
}

#[test]
fn rollback_goes_back_and_forth() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    let nothing = host.rollback("hostile", &by()).unwrap_err();
    assert!(matches!(nothing, PluginError::NothingEarlier(_)), "{nothing}");
    swap(&host, marked(2));
    assert_eq!(host.rollback("hostile", &by()).unwrap(), 3);
    assert_eq!(asker.reason(), "mark 1 call 1");
    assert_eq!(host.rollback("hostile", &by()).unwrap(), 4);
    assert_eq!(asker.reason(), "mark 2 call 1");
}

#[test]
fn a_name_that_was_new_is_rolled_back_to_nothing_and_forth() {
    let host = host_of(own().to_vec());
    let mut asker = Asker::new(&host);
    let mut new = named("new", r#"{"mark":3}"#);
    new.entry.on_error = OnError::Primary;
    swap(&host, new);
    assert_eq!(asker.reason(), "mark 3 call 1");
    host.rollback("new", &by()).unwrap();
    assert_eq!(info(&host, "new").unwrap().state, State::Disabled);
    assert!(!asker.reason().starts_with("mark"));
    host.rollback("new", &by()).unwrap();
    assert_eq!(info(&host, "new").unwrap().state, State::Active(4));
    assert_eq!(asker.reason(), "mark 3 call 1");
}

#[test]
fn a_plugin_can_be_disabled_unless_it_is_indispensable() {
    let host = host_of(before_own([named("one", r#"{"mark":1}"#), named("two", r#"{"mark":2}"#)]));
    let mut asker = Asker::new(&host);
    assert_eq!(host.disable("one", &by()).unwrap(), 2);
    assert_eq!(asker.reason(), "mark 2 call 1");
    assert_eq!(info(&host, "one").unwrap().state, State::Disabled);
    assert_eq!(names(&host), ["two", "classify", "balance", "rewrite", "one"]);
    assert!(matches!(host.disable("one", &by()), Err(PluginError::NoSuchPlugin(_))));
    // It comes back to where it stood.
    assert_eq!(host.enable("one", &by()).unwrap(), 3);
    assert_eq!(names(&host), ["one", "two", "classify", "balance", "rewrite"]);
    assert_eq!(asker.reason(), "mark 1 call 1");
    assert!(matches!(host.enable("one", &by()), Err(PluginError::NotDisabled(_))));

    let host = host_of(own().to_vec());
    let error = host.disable("classify", &by()).unwrap_err();
    assert!(matches!(error, PluginError::Indispensable { role: Role::Classifier, .. }), "{error}");
    host.disable("rewrite", &by()).unwrap();
}

#[test]
fn what_fails_before_it_is_published_changes_nothing() {
    let mut asker = asker();
    let host = Arc::clone(asker.host());
    for config in [r#"{"refuse":"no"}"#, r#"{"always_trap":true}"#, r#"{"misbehave":{"self_test":"error"}}"#]
    {
        host.candidate(hostile(config)).unwrap_err();
        assert!(matches!(host.swap("hostile", &by()), Err(PluginError::NoCandidate(_))));
    }
    assert_eq!(host.generation(), 1);
    assert_eq!(host.history().len(), 1);
    assert_eq!(asker.reason(), "mark 1 call 1");
}

#[test]
fn the_history_tells_who_did_what_when_and_why() {
    let before = std::time::SystemTime::now();
    let host = host();
    swap(&host, marked(2));
    host.rollback("hostile", &By::new("ada", "too slow")).unwrap();
    let history = host.history();
    let told: Vec<_> = history
        .iter()
        .map(|change| (change.generation, change.action.to_string(), &*change.by.who))
        .collect();
    let expected = [(1, "start", "waypool"), (2, "swap", "test"), (3, "rollback", "ada")];
    assert_eq!(told, expected.map(|(number, action, who)| (number, action.to_owned(), who)));
    let last = history.last().unwrap();
    assert_eq!((&*last.plugin, &*last.by.why, last.sha256.len()), ("hostile", "too slow", 64));
    assert!(last.when >= before);
}
