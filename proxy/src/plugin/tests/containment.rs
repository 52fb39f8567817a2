//! Whatever a plugin does, in whichever hook: the caller gets an error, and the
//! next call works.

use super::super::contract::{Newcomer, Observation};
use super::*;
use tracing::Level;

/// The hooks that are called for sessions and statements.
const HOOKS: [&str; 9] = [
    "classify",
    "refine",
    "rewrite",
    "topology",
    "plan_session",
    "route",
    "ended",
    "session_start",
    "observe",
];

/// One call of this hook.
fn call(asker: &mut Asker, hook: &str) -> Result<(), CallError> {
    match hook {
        "classify" => asker.classify("harmless").map(drop),
        "refine" => asker.classify("refine").map(drop),
        "rewrite" => asker.rewrite("harmless").map(drop),
        "topology" => {
            asker.topology.epoch += 1;
            asker.route(0).map(drop)
        }
        "plan_session" => asker.plan_session().map(drop),
        "route" => asker.route(0).map(drop),
        "ended" => asker.ended(true),
        "session_start" => {
            let (plugins, chain) = asker.plugins();
            plugins.session_start(&chain, &mut newcomer(), |_, _| true)
        }
        "observe" => {
            let (plugins, _) = asker.plugins();
            let faults = |asker: &Asker| counts(asker.host(), "hostile").faults();
            let before = faults(asker);
            plugins.observe(|_| vec![observation()]);
            // Nobody waits for its answer: it is only counted.
            let failed = CallError {
                plugin: Arc::from("hostile"),
                fault: Fault::Trap,
                message: String::new(),
                backtrace: String::new(),
                on_error: OnError::Reject,
            };
            if faults(asker) > before { Err(failed) } else { Ok(()) }
        }
        other => panic!("{other}"),
    }
}

fn newcomer() -> Newcomer {
    Newcomer {
        database: "db".to_owned(),
        user: "me".to_owned(),
        application_name: "psql".to_owned(),
        address: None,
        tls: false,
    }
}

fn observation() -> Observation {
    Observation {
        session: 7,
        database: "db".to_owned(),
        user: "me".to_owned(),
        application_name: "psql".to_owned(),
        kind: Kind::Select,
        node: None,
        duration_micros: 1,
        rows: 1,
        sqlstate: None,
        tags: Vec::new(),
    }
}

/// A plugin that does this in this hook; after two decent calls, so that it gets
/// through the probe.
fn misbehaving(hook: &str, deed: &str) -> Asker {
    let mut source = hostile(&format!(r#"{{"misbehave":{{"{hook}":"{deed}"}},"after":2}}"#));
    if deed == "loop" {
        source.entry.deadline = Duration::from_millis(20);
    }
    Asker::new(&host_of(vec![source]))
}

/// Calls the hook until the plugin fails, and then once more, which has to work:
/// the next instance has decent calls again.
fn failure(hook: &str, deed: &str) -> Option<Fault> {
    let mut asker = misbehaving(hook, deed);
    for _ in 0..4 {
        if let Err(error) = call(&mut asker, hook) {
            assert_eq!(&*error.plugin, "hostile");
            assert_eq!(error.on_error, OnError::Reject);
            let counts = counts(asker.host(), "hostile");
            assert_eq!(counts.faults(), 1, "{hook} {deed}: {counts:?}");
            call(&mut asker, hook).unwrap_or_else(|error| panic!("{hook} after {deed}: {error}"));
            let faults = [
                (counts.traps, Fault::Trap),
                (counts.deadlines, Fault::Deadline),
                (counts.memory, Fault::Memory),
                (counts.malformed, Fault::Malformed),
                (counts.errors, Fault::Error),
            ];
            return faults.into_iter().find_map(|(count, fault)| (count == 1).then_some(fault));
        }
    }
    None
}

#[test]
fn traps_loops_and_bombs_in_every_hook() {
    for hook in HOOKS {
        for (deed, fault) in [
            ("trap", Fault::Trap),
            ("loop", Fault::Deadline),
            ("hog", Fault::Memory),
            ("recurse", Fault::Trap),
        ] {
            assert_eq!(failure(hook, deed), Some(fault), "{deed} in {hook}");
        }
    }
}

#[test]
fn ten_megabytes_of_log_in_every_hook() {
    for hook in HOOKS {
        assert_eq!(failure(hook, "flood"), None, "{hook}");
    }
}

#[test]
fn answers_that_are_none() {
    for (hook, deed, fault) in [
        ("classify", "error", Fault::Error),
        ("refine", "error", Fault::Error),
        ("rewrite", "error", Fault::Error),
        ("route", "error", Fault::Error),
        ("session_start", "error", Fault::Error),
        ("rewrite", "garbage", Fault::Malformed),
        ("rewrite", "bad_sqlstate", Fault::Malformed),
        ("route", "bad_sqlstate", Fault::Malformed),
        ("session_start", "bad_sqlstate", Fault::Malformed),
        ("classify", "invalid_utf8", Fault::Malformed),
        ("refine", "invalid_utf8", Fault::Malformed),
        ("rewrite", "invalid_utf8", Fault::Malformed),
        ("route", "invalid_utf8", Fault::Malformed),
        ("session_start", "invalid_utf8", Fault::Malformed),
    ] {
        // An error that it returns leaves the instance whole, and it goes on.
        let found = match fault {
            Fault::Error => error_of(hook),
            _ => failure(hook, deed),
        };
        assert_eq!(found, Some(fault), "{deed} in {hook}");
    }
}

fn error_of(hook: &str) -> Option<Fault> {
    let mut asker = misbehaving(hook, "error");
    let errors: Vec<_> = (0..5).filter_map(|_| call(&mut asker, hook).err()).collect();
    assert!(errors.len() >= 2, "{hook}: {errors:?}");
    assert!(errors.iter().all(|error| error.message == "was told to fail"), "{hook}: {errors:?}");
    Some(errors[0].fault)
}

fn fault_of(text: &str) -> CallError {
    let mut asker = asker();
    assert_eq!(asker.reason(), "mark 1 call 1");
    let error = asker.classify(text).unwrap_err();
    // A fresh instance: it has not seen the calls before.
    assert_eq!(asker.reason(), "mark 1 call 1");
    error
}

#[test]
fn a_trap_is_told_with_its_last_words_and_its_place() {
    let error = fault_of("trap");
    assert_eq!(error.fault, Fault::Trap);
    assert!(error.message.contains("was told to trap"), "{}", error.message);
    assert!(error.backtrace.contains("classify"), "{}", error.backtrace);
}

#[test]
fn limits_are_told_with_their_numbers() {
    let error = fault_of("loop");
    assert!(error.message.contains("500ms"), "{}", error.message);
    let error = fault_of("hog");
    assert!(error.message.contains("16777216"), "{}", error.message);
}

#[test]
fn an_error_that_it_returns_leaves_the_instance_whole() {
    let mut asker = asker();
    asker.reason();
    assert_eq!(asker.classify("error").unwrap_err().message, "was told to fail");
    assert_eq!(asker.reason(), "mark 1 call 3");
}

#[test]
fn plans_that_cannot_be_carried_out() {
    let mut asker = asker();
    for text in ["bad sqlstate", "beyond", "ä inside", "twice"] {
        let error = asker.rewrite(text).unwrap_err();
        assert_eq!(error.fault, Fault::Malformed, "{text}: {error}");
    }
    assert!(asker.rewrite("harmless").is_ok());
}

#[test]
fn a_fresh_balancer_knows_the_servers() {
    let mut asker = asker();
    asker.topology = topology(1, 3);
    for (random, fault) in [(1, Fault::Trap), (2, Fault::Deadline), (3, Fault::Memory)] {
        let error = asker.route(random).unwrap_err();
        assert_eq!(error.fault, fault, "{error}");
        assert_eq!(asker.decide(0).transaction_memory, 3);
    }
}

#[test]
fn an_instance_that_swells_is_replaced_before_it_fails() {
    let mut asker = asker();
    let mut starts = 0;
    for _ in 0..40 {
        let verdict = asker.classify("grow").unwrap().answer;
        starts += u32::from(verdict.reason.ends_with("call 1"));
    }
    assert!(starts >= 3, "{starts} instances for 40 MiB in 16");
}

#[test]
fn failures_are_counted_by_their_kind() {
    let mut asker = asker();
    for text in ["trap", "loop", "hog", "trap", "error", "invalid_utf8"] {
        asker.classify(text).unwrap_err();
    }
    let counts = counts(asker.host(), "hostile");
    assert_eq!((counts.traps, counts.deadlines, counts.memory), (2, 1, 1));
    assert_eq!((counts.errors, counts.malformed, counts.starts), (1, 1, 0));
    assert_eq!((counts.calls, counts.faults()), (6, 6));
}

#[test]
fn an_instance_that_cannot_start_is_counted() {
    // Nobody has so many workers: the room for instances ends somewhere.
    let host = PluginHost::new(vec![marked(1)], Options { workers: 1, ..options() }).unwrap();
    let mut askers = Vec::new();
    let error = loop {
        assert!(askers.len() < 1_000);
        askers.push(Asker::new(&host));
        if let Err(error) = askers.last_mut().unwrap().classify("harmless") {
            break error;
        }
    };
    assert_eq!(error.fault, Fault::Start, "{error}");
    assert_eq!(counts(&host, "hostile").starts, 1);
    let mut last = askers.pop().unwrap();
    drop(askers);
    assert_eq!(last.reason(), "mark 1 call 1");
}

#[test]
fn one_workers_trap_leaves_the_others_alone() {
    let host = host();
    let (mut one, mut other) = (Asker::new(&host), Asker::new(&host));
    other.reason();
    one.classify("trap").unwrap_err();
    assert_eq!(other.reason(), "mark 1 call 2");
}

// === What it makes the proxy keep ===

#[test]
fn a_hundred_log_lines_a_second_are_written_and_the_rest_counted() {
    let (lines, subscriber) = lines::counting();
    let mut asker = asker();
    let began = std::time::Instant::now();
    tracing::subscriber::with_default(subscriber, || asker.classify("flood").unwrap());
    let seconds = began.elapsed().as_secs() + 2;
    let written = lines.of(Level::ERROR);
    // 10 MB in lines of 1 KB.
    let dropped = counts(asker.host(), "hostile").lines_dropped;
    assert!((90..=100 * seconds).contains(&written), "{written} lines in up to {seconds} s");
    assert!(written + dropped > 9_000, "{written} written, {dropped} dropped");
}

#[test]
fn a_hundred_counters_and_gauges_are_kept() {
    let counters = super::super::counters::Counters::default();
    for number in 0..150 {
        counters.add_own(format!("c{number:03}"), 1);
    }
    counters.add_own("c000".to_owned(), u64::MAX);
    counters.set_own("c001".to_owned(), 2.5);
    counters.set_own("one more".to_owned(), 2.5);
    let own = counters.counts().own;
    assert_eq!(own.len(), 100);
    assert_eq!(own["c000"], Own::Counter(u64::MAX), "it does not go around");
    assert_eq!(own["c001"], Own::Gauge(2.5));
    // A name of a megabyte is no name.
    let counters = super::super::counters::Counters::default();
    counters.add_own("x".repeat(1 << 20), 1);
    assert_eq!(counters.counts().own.len(), 0);
}

mod lines {
    //! Counts log lines.

    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::{Arc, Mutex};
    use tracing::{Event, Level, Metadata, Subscriber, span};

    #[derive(Clone, Default)]
    pub struct Lines(Arc<Mutex<Vec<Level>>>);

    impl Lines {
        pub fn of(&self, level: Level) -> u64 {
            self.0.lock().unwrap().iter().filter(|one| **one == level).count() as u64
        }
    }

    struct Counting(Lines, AtomicU64);

    impl Subscriber for Counting {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "waypool::plugin"
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(self.1.fetch_add(1, Relaxed) + 1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            self.0.0.lock().unwrap().push(*event.metadata().level());
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    pub fn counting() -> (Lines, impl Subscriber) {
        let lines = Lines::default();
        (lines.clone(), Counting(lines, AtomicU64::new(0)))
    }
}
