#![allow(clippy::unwrap_used)]
use super::*;

const SECOND: Duration = Duration::from_secs(1);

const NONE: Limits = Limits { client_idle: None, idle_transaction: None, query: None, transaction: None };

/// What a session in this state for two seconds, in a transaction for ten, has exceeded.
fn exceeded(limits: Limits, doing: Doing) -> Option<&'static str> {
    let clocks = Clocks::default();
    let clock = clocks.enter();
    let now = Instant::now() + 10 * SECOND;
    clock.doing.set(doing);
    clock.since.set(now - 2 * SECOND);
    clock.began.set(now - 10 * SECOND);
    limits.exceeded(&clock, now).map(|exceeded| match exceeded.limit {
        Limit::ClientIdle => "idle",
        Limit::IdleTransaction => "idle in transaction",
        Limit::Query => "query",
        Limit::Transaction => "transaction",
    })
}

#[test]
fn each_limit_is_about_what_it_says() {
    use Doing::{Idle, IdleInTransaction, Query};
    let one = Some(SECOND);
    let client_idle = Limits { client_idle: one, ..NONE };
    assert_eq!(
        [Idle, IdleInTransaction, Query].map(|doing| exceeded(client_idle, doing)),
        [Some("idle"), Some("idle"), None]
    );
    let idle_transaction = Limits { idle_transaction: one, ..NONE };
    assert_eq!(exceeded(idle_transaction, Idle), None);
    assert_eq!(exceeded(idle_transaction, IdleInTransaction), Some("idle in transaction"));
    assert_eq!(exceeded(idle_transaction, Query), None);
    assert_eq!(exceeded(Limits { query: one, ..NONE }, Query), Some("query"));
    assert_eq!(exceeded(Limits { query: Some(3 * SECOND), ..NONE }, Query), None);
    let transaction = Limits { transaction: Some(5 * SECOND), ..NONE };
    assert_eq!([Idle, Query].map(|doing| exceeded(transaction, doing)), [None, Some("transaction")]);
}

#[test]
fn a_pipeline_s_statements_each_have_their_time() {
    let clocks = Clocks::default();
    let clock = clocks.enter();
    clock.note(Doing::Query, &clocks);
    let before = (clock.since.get(), clock.began.get());
    clocks.soon.set(clocks.soon.get() + SECOND);
    clock.note(Doing::Query, &clocks);
    assert_eq!((clock.since.get(), clock.began.get()), before);
    clock.answered(false, &clocks);
    assert!(clock.since.get() > before.0 && clock.began.get() == before.1);
    clock.answered(true, &clocks);
    assert!(clock.began.get() > before.1);
}

#[test]
fn the_shortest_limit_says_how_often_is_looked() {
    assert_eq!(NONE.period(), LONGEST_PERIOD);
    assert_eq!(Limits { query: Some(SECOND), ..NONE }.period(), SECOND / 10);
    assert_eq!(Limits { query: Some(SECOND / 1000), ..NONE }.period(), SHORTEST_PERIOD);
}

#[test]
fn sessions_that_are_over_are_forgotten() {
    let clocks = Clocks::default();
    let (one, two) = (clocks.enter(), clocks.enter());
    drop(one);
    clocks.look(&NONE);
    assert_eq!(clocks.all.borrow().len(), 1);
    drop(two);
}
