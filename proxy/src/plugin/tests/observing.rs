//! Observers are told in batches, on a thread of their own.

use super::super::contract::Observation;
use super::*;
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn observation(who: &SessionInfo) -> Observation {
    Observation {
        session: 7,
        database: who.database.clone(),
        user: who.user.clone(),
        application_name: who.application_name.clone(),
        kind: Kind::Select,
        node: Some(1),
        duration_micros: 1,
        rows: 1,
        sqlstate: None,
        tags: Vec::new(),
    }
}

fn seen(database: &str, tag: &str) -> Observed {
    let who = SessionInfo {
        database: database.to_owned(),
        user: "me".to_owned(),
        application_name: "psql".to_owned(),
    };
    Observed {
        who: Arc::new(who),
        session: 7,
        kind: Kind::Select,
        node: Some(1),
        micros: 12,
        rows: 3,
        sqlstate: Some(*b"23505"),
        tags: vec![tag.to_owned()],
    }
}

fn observed(host: &PluginHost, name: &str) -> u64 {
    match counts(host, name).own.get("observed") {
        Some(Own::Counter(count)) => *count,
        _ => 0,
    }
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

#[test]
fn each_observer_is_told_of_its_sessions() {
    let mut one = named("one", "{}");
    one.entry.databases = limited_to("app");
    let host = host_of(before_own([one, named("two", "{}")]));
    let observers = Observers::default();
    let mut batch: Vec<_> = ["app", "app", "other"].map(|database| seen(database, "")).into();
    observers.tell(&host, &mut batch);
    assert!(batch.is_empty());
    wait_until("both have been told", || observed(&host, "one") == 2 && observed(&host, "two") == 3);
    assert_eq!((counts(&host, "one").calls, counts(&host, "two").calls), (1, 1), "in one call");
    // Nobody is asked about nothing.
    observers.tell(&host, &mut vec![seen("other", "")]);
    wait_until("the other one has been told", || observed(&host, "two") == 4);
    assert_eq!(counts(&host, "one").calls, 1);
    assert_eq!(observers.dropped(), 0);
}

fn limited_to(database: &str) -> Option<Vec<config::Pattern>> {
    let file = built("hostile.wasm");
    let config = configured(&format!("[plugins.one]\npath = {file:?}\ndatabases = [{database:?}]\n"));
    config.plugins.get("one").unwrap().databases.clone()
}

#[test]
fn an_observer_that_fails_is_counted_and_told_again() {
    let host = host();
    let observers = Observers::default();
    for deed in ["observe trap", "observe loop", "observe hog", "observe recurse", "decent"] {
        observers.tell(&host, &mut vec![seen("db", deed)]);
    }
    wait_until("it has been told of all", || counts(&host, "hostile").calls == 5);
    wait_until("it has counted all", || observed(&host, "hostile") == 5);
    let counts = counts(&host, "hostile");
    assert_eq!((counts.traps, counts.deadlines, counts.memory), (2, 1, 1));
}

#[test]
fn an_observer_that_is_too_slow_loses_what_it_cannot_take() {
    let mut slow = hostile(r#"{"only":["observer"]}"#);
    slow.entry.deadline = Duration::from_millis(200);
    let host = host_of(before_own([slow]));
    let observers = Observers::default();
    let began = Instant::now();
    let mut told = 0;
    while observers.dropped() == 0 {
        observers.tell(&host, &mut vec![seen("db", "observe loop"), seen("db", "observe loop")]);
        told += 2;
    }
    // 64 wait, one is under way; nobody waited for any of them.
    assert!(told <= 2 * 70, "{told} were taken");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(observers.dropped(), 2);
}

#[test]
fn observers_follow_a_swap() {
    let host = host();
    let observers = Observers::default();
    observers.tell(&host, &mut vec![seen("db", "")]);
    wait_until("the first has been told", || observed(&host, "hostile") == 1);
    swap(&host, hostile(r#"{"misbehave":{"observe":"trap"},"after":1}"#));
    observers.tell(&host, &mut vec![seen("db", "")]);
    wait_until("the second has been told", || observed(&host, "hostile") == 2);
    observers.tell(&host, &mut vec![seen("db", "")]);
    wait_until("the second has failed", || counts(&host, "hostile").traps == 1);
}
