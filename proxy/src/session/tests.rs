#![allow(clippy::unwrap_used)]
use super::link::bit;
use super::listening::{Brought, Listening};
use super::prepared::{Portal, Prepared, Statement, Undo};
use super::settings::Settings;
use super::{Session, login};
use crate::protocol::backend::{TransactionStatus, message};
use crate::routing::Classified;

fn parse_frame(name: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, b'P', |body| {
        for part in [name, text] {
            body.extend_from_slice(part);
            body.push(0);
        }
        body.extend([0, 0]);
    });
    out
}

#[test]
fn what_was_brought_goes_with_the_savepoint() {
    let mut listening = Listening::default();
    assert!(!listening.is_due(TransactionStatus::Idle));
    listening.savepoint("a");
    listening.brought = Brought::Inside;
    listening.savepoint("b");
    listening.leave_savepoint("b", true);
    assert_eq!(listening.brought, Brought::Inside, "it was there at b");
    listening.leave_savepoint("a", true);
    assert_eq!(listening.brought, Brought::No);
    listening.brought = Brought::Inside;
    listening.leave_savepoint("of before anybody listened", true);
    assert_eq!(listening.brought, Brought::No);
    listening.brought = Brought::Outside;
    listening.rolled_back();
    listening.leave_savepoint("a", true);
    assert_eq!(listening.brought, Brought::Outside, "it is committed");
}

#[test]
fn settings_follow_their_transaction() {
    let mut settings = Settings::default();
    let now = |settings: &Settings| {
        settings.now().iter().map(|(_, statement)| statement.to_vec()).collect::<Vec<_>>()
    };
    settings.set("work_mem", b"SET work_mem = 1");
    settings.begin();
    settings.set("work_mem", b"SET work_mem = 2");
    settings.set("role", b"SET ROLE bob");
    settings.end(false);
    assert_eq!(now(&settings), [b"SET work_mem = 1".to_vec()]);
    settings.begin();
    settings.set("role", b"SET ROLE bob");
    settings.reset("work_mem");
    settings.end(true);
    assert_eq!(now(&settings), [b"SET ROLE bob".to_vec()]);
    settings.reset_all();
    assert_eq!(now(&settings), [b"SET ROLE bob".to_vec()], "RESET ALL leaves the role");
    settings.discard();
    assert!(now(&settings).is_empty());
}

#[test]
fn a_failed_parse_leaves_the_name_as_it_was() {
    let mut prepared = Prepared::default();
    let what = Classified::function_call();
    let first = parse_frame(b"s", b"SELECT 1");
    assert!(prepared.parse(b"s", &first, None, what.clone(), 0).is_some());
    let undo = prepared.parse(b"s", &parse_frame(b"s", b"SELECT 2"), None, what.clone(), 0).unwrap();
    prepared.undo(undo);
    assert_eq!(*prepared.get(b"s").unwrap().parse(), *first);
    let undo = prepared.parse(b"t", &first, None, what, 0).unwrap();
    prepared.undo(undo);
    assert!(prepared.get(b"t").is_none());
}

#[test]
fn a_closed_name_is_stale_where_it_was_prepared_too() {
    let mut prepared = Prepared::default();
    prepared.parse(b"s", &parse_frame(b"s", b"SELECT 1"), None, Classified::function_call(), 0);
    let statement = prepared.get(b"s").unwrap();
    statement.on.set(bit(0) | bit(1));
    prepared.close(b"s", 0);
    assert!(!prepared.take_stale(b"s", 0));
    assert!(prepared.take_stale(b"s", 1));
    assert!(!prepared.take_stale(b"s", 1), "it is closed there now");
}

#[test]
fn an_edited_statement_is_prepared_as_edited_and_known_as_asked() {
    let mut prepared = Prepared::default();
    let (asked, edited) = (parse_frame(b"s", b"SELECT 1"), parse_frame(b"s", b"SELECT 2"));
    prepared.parse(b"s", &asked, Some(&edited), Classified::function_call(), 0);
    let statement = prepared.get(b"s").unwrap().clone();
    assert_eq!((statement.parse(), statement.asked()), (&*edited, &*asked));
    // Another text takes its place: where it was prepared the name is stale.
    prepared.replace(b"s", Statement::new(&asked, None, Classified::function_call(), 0));
    assert_eq!(*prepared.get(b"s").unwrap().parse(), *asked);
    assert!(prepared.take_stale(b"s", 0));
    assert!(!prepared.take_stale(b"s", 1));
}

#[test]
fn an_unnamed_statement_that_was_edited_is_not_taken_for_the_same() {
    let mut prepared = Prepared::default();
    let (asked, edited) = (parse_frame(b"", b"SELECT 1"), parse_frame(b"", b"SELECT 2"));
    for (frame, by) in [(&asked, None), (&asked, Some(&*edited)), (&edited, None), (&asked, None)] {
        prepared.parse(b"", frame, by, Classified::function_call(), 0);
        let statement = prepared.get(b"").unwrap();
        assert_eq!((statement.parse(), statement.asked()), (by.unwrap_or(frame), &**frame));
    }
}

#[test]
fn what_a_lost_server_had_is_forgotten() {
    let mut prepared = Prepared::default();
    let what = Classified::function_call();
    prepared.parse(b"s", &parse_frame(b"s", b"SELECT 1"), None, what.clone(), 1);
    prepared.bind(b"p", Portal { server: 1, classified: what });
    prepared.forget_server(1);
    assert_eq!(prepared.get(b"s").unwrap().on.get(), 0);
    assert!(prepared.portal(b"p").is_none());
    let statement = prepared.get(b"s").unwrap().clone();
    statement.on.set(bit(0));
    prepared.undo(Undo::Prepare { statement: statement.clone(), server: 0 });
    assert_eq!(statement.on.get(), 0);
}

#[test]
fn no_server_has_no_bit() {
    assert_eq!(bit(usize::MAX), 0);
    assert_eq!(bit(127).trailing_zeros(), 127);
}

/// What a function's future takes; a task is a little larger.
fn future_size<A, B, C, D, E, F: Future>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
    size_of::<F>()
}

/// Idle clients are many: what is awaited for once only has to be boxed.
#[test]
fn a_session_that_waits_is_small() {
    assert!(size_of::<Session>() <= 1280, "{}", size_of::<Session>());
    assert!(future_size(login::serve) <= 640, "{}", future_size(login::serve));
}
