#![allow(clippy::unwrap_used)]
use super::state::{Applied, State};
use super::statements::{OnConnection, SharedStatements};
use std::sync::Arc;

fn settings(list: &[(&str, &str)]) -> Applied {
    let own = |(name, statement): &(&str, &str)| ((*name).to_owned(), statement.as_bytes().into());
    Arc::new(list.iter().map(own).collect())
}

/// A connection that a session with these settings has given back.
fn left_with(list: &[(&str, &str)]) -> State {
    let mut state = State::fresh();
    state.leave(Some(&settings(list)), Vec::new());
    state
}

const A: (&str, &str) = ("work_mem", "SET work_mem = 1 -- one");
const B: (&str, &str) = ("my.tag", "SET my.tag = 'b'");

#[test]
fn nothing_is_said_to_a_connection_that_is_as_wanted() {
    assert_eq!(State::fresh().change(&settings(&[])), None);
    assert_eq!(left_with(&[A, B]).change(&settings(&[A, B])), None);
}

#[test]
fn only_what_differs_is_set_or_reset() {
    assert_eq!(left_with(&[A]).change(&settings(&[A, B])).unwrap(), B.1);
    assert_eq!(left_with(&[A, B]).change(&settings(&[A])).unwrap(), "RESET \"my\".\"tag\"");
    let other = ("work_mem", "SET work_mem = 2");
    assert_eq!(left_with(&[A]).change(&settings(&[other])).unwrap(), other.1);
}

#[test]
fn a_comment_at_the_end_of_a_statement_hides_nothing_behind_it() {
    assert_eq!(State::fresh().change(&settings(&[A, B])).unwrap(), format!("{}\n;{}", A.1, B.1));
}

#[test]
fn after_a_role_everything_is_reset_first() {
    let role = ("role", "SET ROLE bob");
    for (before, after) in [(&[role, A][..], &[A][..]), (&[A], &[role])] {
        let change = left_with(before).change(&settings(after)).unwrap();
        assert!(change.starts_with("RESET SESSION AUTHORIZATION;\nRESET ROLE;\nRESET ALL"), "{change}");
        assert!(change.ends_with(after[0].1), "{change}");
    }
}

#[test]
fn of_what_nobody_knows_everything_is_reset() {
    let mut state = State::fresh();
    state.leave(None, Vec::new());
    assert!(!state.is_fresh());
    let change = state.change(&settings(&[])).unwrap();
    assert!(change.contains("RESET ALL"), "{change}");
    state.changed(&settings(&[]));
    assert_eq!(state.change(&settings(&[])), None);
}

#[test]
fn names_of_others_are_dropped() {
    let mut state = State::fresh();
    state.leave(Some(&settings(&[])), vec!["a\"b".to_owned()]);
    state.has_name("c".to_owned());
    assert_eq!(state.change(&settings(&[])).unwrap(), "DEALLOCATE \"a\"\"b\"\n;DEALLOCATE \"c\"");
}

// === shared statements ===

#[test]
fn the_same_text_and_types_are_one_statement() {
    let known = SharedStatements::default();
    let one = known.find(b"SELECT 1\0\0\0");
    assert!(Arc::ptr_eq(&one, &known.find(b"SELECT 1\0\0\0")));
    let other = known.find(b"SELECT 1\0\0\x01\0\0\0\x17");
    assert_ne!(one.name(), other.name());
    // The name is part of the frame.
    assert!(one.parse.windows(one.name().len()).any(|part| part == one.name()));
    // Nobody has it any more: the next one is another.
    let name = one.name().to_vec();
    drop(one);
    assert_ne!(known.find(b"SELECT 1\0\0\0").name(), name);
}

#[test]
fn many_that_nobody_has_take_no_room() {
    let known = SharedStatements::default();
    let kept = known.find(b"kept\0\0\0");
    for n in 0..10_000 {
        known.find(format!("SELECT {n}\0\0\0").as_bytes());
    }
    assert!(known.count() < 100, "{}", known.count());
    assert!(Arc::ptr_eq(&kept, &known.find(b"kept\0\0\0")));
}

#[test]
fn the_one_used_least_makes_room() {
    let known = SharedStatements::default();
    let [a, b, c] = ["a\0\0\0", "b\0\0\0", "c\0\0\0"].map(|text| known.find(text.as_bytes()));
    let (mut on, epoch) = (OnConnection::default(), known.epoch());
    let mut closed = Vec::new();
    for statement in [&a, &b] {
        on.add(statement, epoch, 2, |gone| closed.push(gone.name().to_vec()));
    }
    assert!(on.has(&a, epoch));
    on.add(&c, epoch, 2, |gone| closed.push(gone.name().to_vec()));
    assert_eq!(closed, [b.name()]);
    assert!(on.has(&a, epoch) && !on.has(&b, epoch) && on.has(&c, epoch));
}

#[test]
fn what_is_in_doubt_or_outdated_is_closed_before_it_is_prepared_again() {
    let known = SharedStatements::default();
    let a = known.find(b"a\0\0\0");
    let mut on = OnConnection::default();
    on.add(&a, known.epoch(), 2, |_| panic!("nothing is there yet"));
    let spoil: [fn(&mut OnConnection, &SharedStatements); 2] =
        [|on, _| on.doubt_all(), |_, known| known.outdated()];
    for spoil in spoil {
        assert!(on.has(&a, known.epoch()));
        spoil(&mut on, &known);
        assert!(!on.has(&a, known.epoch()));
        let mut closed = 0;
        on.add(&a, known.epoch(), 2, |gone| {
            assert_eq!(gone.name(), a.name());
            closed += 1;
        });
        assert_eq!(closed, 1);
    }
}
