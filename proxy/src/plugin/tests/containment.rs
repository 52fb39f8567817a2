//! Whatever a plugin does, the caller gets an error and the next call works.

use super::*;

fn fault_of(text: &str) -> CallError {
    let mut worker = worker();
    assert_eq!(reason(&mut worker), "mark 1 call 1");
    let error = worker.classify(text, "db", &NoFacts).unwrap_err();
    assert_eq!(error.on_error, OnError::Reject);
    assert_eq!(&*error.plugin, "hostile-classifier");
    // A fresh instance: it has not seen the calls before.
    assert_eq!(reason(&mut worker), "mark 1 call 1");
    error
}

#[test]
fn a_trap() {
    let error = fault_of("trap");
    assert_eq!(error.fault, Fault::Trap);
    assert!(error.message.contains("was told to trap"), "{}", error.message);
    assert!(error.backtrace.contains("classify"), "{}", error.backtrace);
}

#[test]
fn a_loop() {
    let error = fault_of("loop");
    assert_eq!(error.fault, Fault::Deadline);
    assert!(error.message.contains("500ms"), "{}", error.message);
}

#[test]
fn a_memory_hog() {
    let error = fault_of("hog");
    assert_eq!(error.fault, Fault::Memory);
    assert!(error.message.contains("16777216"), "{}", error.message);
}

#[test]
fn an_endless_recursion() {
    assert_eq!(fault_of("recurse").fault, Fault::Trap);
}

#[test]
fn plans_that_cannot_be_carried_out() {
    let mut worker = worker();
    for text in ["bad sqlstate", "beyond", "ä inside"] {
        let error = worker.rewrite(text, "db", &NoFacts).unwrap_err();
        assert_eq!(error.fault, Fault::Malformed, "{text}: {error}");
    }
    assert!(worker.rewrite("harmless", "db", &NoFacts).is_ok());
}

#[test]
fn a_fresh_balancer_knows_the_servers() {
    let mut worker = worker();
    worker.set_topology(1, &nodes(3)).unwrap();
    for (random, fault) in [(1, Fault::Trap), (2, Fault::Deadline), (3, Fault::Memory)] {
        let error = route(&mut worker, random).unwrap_err();
        assert_eq!(error.fault, fault, "{error}");
        let decision = route(&mut worker, 0).unwrap();
        assert_eq!(decision.transaction_memory, 3);
    }
}

#[test]
fn an_instance_that_swells_is_replaced_before_it_fails() {
    let mut worker = worker();
    let mut starts = 0;
    for _ in 0..40 {
        let verdict = worker.classify("grow", "db", &NoFacts).unwrap().verdict;
        starts += u32::from(verdict.reason.ends_with("call 1"));
    }
    assert!(starts >= 3, "{starts} instances for 40 MiB in 16");
}

#[test]
fn failures_are_counted_by_their_kind() {
    let mut worker = worker();
    for text in ["trap", "loop", "hog", "trap"] {
        worker.classify(text, "db", &NoFacts).unwrap_err();
    }
    let counts = worker.host().plugins()[0].counts.clone();
    assert_eq!((counts.traps, counts.deadlines, counts.memory), (2, 1, 1));
    assert_eq!(counts.calls, 4);
}

#[test]
fn one_workers_trap_leaves_the_others_alone() {
    let host = host();
    let (mut one, mut other) = (PluginWorker::new(Arc::clone(&host)), PluginWorker::new(host));
    reason(&mut other);
    one.classify("trap", "db", &NoFacts).unwrap_err();
    assert_eq!(reason(&mut other), "mark 1 call 2");
}
