//! Plugins change under load, and change back by themselves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;

fn marked(mark: u64) -> PluginSource {
    hostile(Role::Classifier, &format!(r#"{{"mark":{mark}}}"#))
}

#[test]
fn a_swap_reaches_workers_at_their_next_call() {
    let mut worker = worker();
    assert_eq!(reason(&mut worker), "mark 1 call 1");
    let host = Arc::clone(worker.host());
    assert_eq!(host.swap(&marked(2), "test").unwrap(), 2);
    assert_eq!(reason(&mut worker), "mark 2 call 1");
    assert_eq!(host.generation_of(Role::Classifier), 2);
    assert_eq!(host.generation_of(Role::Balancer), 1);
    assert_eq!(worker.classify("harmless", "db", &NoFacts).unwrap().generation, 2);
}

#[test]
fn a_swap_leaves_the_other_roles_instances_alone() {
    let mut worker = worker();
    reason(&mut worker);
    let host = Arc::clone(worker.host());
    host.swap(&hostile(Role::Balancer, "{}"), "test").unwrap();
    assert_eq!(reason(&mut worker), "mark 1 call 2");
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
                let mut worker = PluginWorker::new(Arc::clone(&host));
                let mut newest = 0;
                while !over.load(Ordering::Relaxed) {
                    let classified = worker.classify("harmless", "db", &NoFacts).unwrap();
                    let mark = format!("mark {} ", classified.generation);
                    assert!(classified.verdict.reason.starts_with(&mark));
                    assert!(classified.generation >= newest);
                    newest = classified.generation;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for generation in 2..30 {
            let seen = answers.load(Ordering::Relaxed);
            assert_eq!(host.swap(&marked(generation), "test").unwrap(), generation);
            while answers.load(Ordering::Relaxed) < seen + 20 {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_new_plugin_that_keeps_failing_is_taken_back() {
    let mut worker = worker();
    let host = Arc::clone(worker.host());
    let bad = hostile(Role::Classifier, r#"{"mark":2,"trap_after_probe":true}"#);
    host.swap(&bad, "test").unwrap();
    for _ in 0..5 {
        worker.classify("harmless", "db", &NoFacts).unwrap_err();
    }
    assert_eq!(reason(&mut worker), "mark 1 call 1");
    assert_eq!(host.generation(), 3);
    let last = host.history().pop().unwrap();
    assert_eq!((last.generation, last.role), (3, Role::Classifier));
    assert!(last.why.contains("failed 5 times in a row"), "{}", last.why);
    // The failing one is not kept to go back to.
    assert!(matches!(host.rollback(Role::Classifier, "test"), Err(PluginError::NothingEarlier(_))));
}

#[test]
fn a_success_in_between_starts_the_count_anew() {
    let mut worker = worker();
    let host = Arc::clone(worker.host());
    host.swap(&marked(2), "test").unwrap();
    for _ in 0..3 {
        for _ in 0..4 {
            worker.classify("trap", "db", &NoFacts).unwrap_err();
        }
        reason(&mut worker);
    }
    assert_eq!(host.generation(), 2);
}

#[test]
fn a_plugin_that_has_proven_itself_stays() {
    let mut worker = worker();
    let host = Arc::clone(worker.host());
    host.swap(&marked(2), "test").unwrap();
    for _ in 0..1000 {
        reason(&mut worker);
    }
    for _ in 0..10 {
        worker.classify("trap", "db", &NoFacts).unwrap_err();
    }
    assert_eq!(reason(&mut worker), "mark 2 call 1");
}

#[test]
fn a_rewriter_that_was_the_first_is_taken_back_to_none() {
    let two = vec![hostile(Role::Classifier, "{}"), hostile(Role::Balancer, "{}")];
    let host = PluginHost::new(two, options()).unwrap();
    let mut worker = PluginWorker::new(Arc::clone(&host));
    host.swap(&hostile(Role::Rewriter, r#"{"trap_after_probe":true}"#), "test").unwrap();
    for _ in 0..5 {
        worker.rewrite("harmless", "db", &NoFacts).unwrap_err();
    }
    assert!(worker.rewrite("harmless", "db", &NoFacts).is_ok());
    assert!(host.plugins().iter().all(|info| info.role != Role::Rewriter));
}

#[test]
fn rollback_goes_back_and_forth() {
    let mut worker = worker();
    let host = Arc::clone(worker.host());
    let nothing = host.rollback(Role::Classifier, "test").unwrap_err();
    assert!(matches!(nothing, PluginError::NothingEarlier(Role::Classifier)));
    host.swap(&marked(2), "test").unwrap();
    assert_eq!(host.rollback(Role::Classifier, "test").unwrap(), 3);
    assert_eq!(reason(&mut worker), "mark 1 call 1");
    assert_eq!(host.rollback(Role::Classifier, "test").unwrap(), 4);
    assert_eq!(reason(&mut worker), "mark 2 call 1");
}

#[test]
fn the_rewriter_can_be_removed_and_the_others_cannot() {
    let mut worker = worker();
    let host = Arc::clone(worker.host());
    assert!(host.remove(Role::Balancer, "test").is_err());
    host.remove(Role::Rewriter, "test").unwrap();
    let plan = worker.rewrite("refuse", "db", &NoFacts).unwrap().plan;
    assert_eq!(plan, super::super::contract::Plan::Keep);
    host.rollback(Role::Rewriter, "test").unwrap();
    let plan = worker.rewrite("refuse", "db", &NoFacts).unwrap().plan;
    assert_ne!(plan, super::super::contract::Plan::Keep);
}

#[test]
fn what_fails_before_it_is_published_changes_nothing() {
    let mut worker = worker();
    let host = Arc::clone(worker.host());
    let attempt = |config: &str| host.swap(&hostile(Role::Classifier, config), "test").unwrap_err();

    let refused = attempt(r#"{"refuse":"key `x` has to be positive"}"#);
    assert!(matches!(refused, PluginError::Configuration { .. }));
    assert!(refused.to_string().contains("key `x`"), "{refused}");

    let unknown = attempt(r#"{"makr":2}"#);
    assert!(unknown.to_string().contains("makr"), "{unknown}");

    let trapped = attempt(r#"{"trap_in_init":true}"#);
    assert!(trapped.to_string().contains("init was told to trap"), "{trapped}");

    let probed = attempt(r#"{"always_trap":true}"#);
    assert!(matches!(probed, PluginError::Probe { .. }), "{probed}");

    assert_eq!(host.generation(), 1);
    assert_eq!(host.history().len(), 3);
    assert_eq!(reason(&mut worker), "mark 1 call 1");
}
