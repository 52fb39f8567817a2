#![allow(clippy::unwrap_used)]
use super::*;
use crate::fanout::hearing::{State, Until};

fn hearing(marks: &[Mark]) -> Hearing {
    let mut hearing = Hearing::new(0, Until::Ready, false);
    hearing.marks = marks.to_vec();
    hearing.state = State::Ready(TransactionStatus::Open);
    hearing
}

fn changed(rows: u64) -> Hearing {
    hearing(&[Mark::Complete { command: 1, rows: Some(rows) }])
}

fn failed() -> Hearing {
    hearing(&[Mark::Error { sqlstate: *b"23505" }])
}

fn judged(answers: &[Hearing]) -> (Option<Difference>, Vec<usize>) {
    let answers: Vec<_> = answers.iter().enumerate().collect();
    let Judgement { difference, minority } = judge(&answers, true);
    (difference, minority)
}

#[test]
fn servers_agree() {
    assert_eq!(judged(&[changed(1), changed(1), changed(1)]), (None, vec![]));
    assert_eq!(judged(&[failed()]), (None, vec![]));
    assert_eq!(judged(&[]), (None, vec![]));
}

#[test]
fn the_majority_is_right() {
    assert_eq!(judged(&[changed(1), changed(2), changed(2)]), (Some(Difference::Rows), vec![0]));
    assert_eq!(judged(&[changed(1), changed(2), changed(1)]), (Some(Difference::Rows), vec![1]));
    assert_eq!(judged(&[changed(1), failed(), changed(1)]), (Some(Difference::Kind), vec![1]));
}

#[test]
fn the_main_server_wins_a_tie() {
    assert_eq!(judged(&[changed(1), changed(2)]), (Some(Difference::Rows), vec![1]));
    assert_eq!(judged(&[changed(1), changed(2), changed(3)]), (Some(Difference::Rows), vec![1, 2]));
    assert_eq!(
        judged(&[changed(1), changed(2), changed(2), changed(1)]),
        (Some(Difference::Rows), vec![1, 2])
    );
}

#[test]
fn another_kind_goes_before_another_number() {
    assert_eq!(judged(&[changed(1), changed(2), failed()]).0, Some(Difference::Kind));
    let mut idle = changed(1);
    idle.state = State::Ready(TransactionStatus::Idle);
    assert_eq!(judged(&[changed(1), idle]).0, Some(Difference::Kind));
}

#[test]
fn where_the_transaction_stands_may_not_matter() {
    let (open, mut failed) = (changed(1), changed(1));
    failed.state = State::Ready(TransactionStatus::Failed);
    assert_eq!(judge(&[(0, &open), (1, &failed)], false).difference, None);
    assert_eq!(judge(&[(0, &open), (1, &failed)], true).difference, Some(Difference::Kind));
}
