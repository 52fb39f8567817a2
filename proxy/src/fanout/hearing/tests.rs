#![allow(clippy::unwrap_used)]
use super::*;
use crate::protocol::backend::{command_complete, message, ready_for_query};

fn complete_frame(tag: &str) -> Vec<u8> {
    let mut out = Vec::new();
    command_complete(&mut out, tag);
    out
}

fn ready(status: TransactionStatus) -> Vec<u8> {
    let mut out = Vec::new();
    ready_for_query(&mut out, status);
    out
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, tag, |b| b.extend_from_slice(body));
    out
}

fn error(sqlstate: &str) -> Vec<u8> {
    frame(b'E', format!("SERROR\0VERROR\0C{sqlstate}\0Mno\0\0").as_bytes())
}

/// The same, whatever pieces the bytes come in.
fn heard(make: impl Fn() -> Hearing, bytes: &[u8]) -> Hearing {
    let mut whole = make();
    assert_eq!(whole.hear(bytes).unwrap().consumed, bytes.len());
    let mut pieces = make();
    let mut inbox: Vec<u8> = Vec::new();
    for byte in bytes {
        inbox.push(*byte);
        let consumed = pieces.hear(&inbox).unwrap().consumed;
        inbox.drain(..consumed);
    }
    assert!(inbox.is_empty());
    assert_eq!((&whole.marks, whole.state), (&pieces.marks, pieces.state));
    assert_eq!((&whole.out, &whole.held), (&pieces.out, &pieces.held));
    whole
}

#[test]
fn rows_go_on_and_the_end_is_held() {
    let (row, end) = (frame(b'D', b"row"), complete_frame("INSERT 0 2"));
    let bytes = [frame(b'T', b"cols"), row.clone(), end.clone(), ready(TransactionStatus::Open)].concat();
    let hearing = heard(|| Hearing::new(0, Until::Ready, true), &bytes);
    assert_eq!(hearing.out, [frame(b'T', b"cols"), row].concat());
    assert_eq!(hearing.held, end);
    assert_eq!(hearing.status(), Some(TransactionStatus::Open));
    assert!(matches!(hearing.marks[..], [Mark::Complete { rows: Some(2), .. }]));
}

#[test]
fn of_several_commands_the_last_is_held() {
    let (first, last) = (complete_frame("UPDATE 1"), complete_frame("DELETE 4"));
    let bytes = [first.clone(), last.clone(), ready(TransactionStatus::Idle)].concat();
    let hearing = heard(|| Hearing::new(0, Until::Ready, true), &bytes);
    assert_eq!((hearing.out, hearing.held), (first, last));
}

#[test]
fn answers_of_ours_are_not_said() {
    let begun = [complete_frame("BEGIN"), ready(TransactionStatus::Open)].concat();
    let bytes = [begun, error("22012"), ready(TransactionStatus::Failed)].concat();
    let hearing = heard(|| Hearing::new(1, Until::Ready, true), &bytes);
    assert!(hearing.out.is_empty() && !hearing.said);
    assert_eq!(hearing.before, Some(TransactionStatus::Open));
    assert_eq!(hearing.held, error("22012"));
    assert_eq!(hearing.sqlstate(), "22012");
    assert_eq!(hearing.marks, [Mark::Error { sqlstate: *b"22012" }]);
}

#[test]
fn who_does_not_speak_is_heard_all_the_same() {
    let bytes = [frame(b'D', b"row"), complete_frame("INSERT 0 1"), ready(TransactionStatus::Open)].concat();
    let hearing = heard(|| Hearing::new(0, Until::Ready, false), &bytes);
    assert!(hearing.out.is_empty());
    // It may have to speak for the others in the end.
    assert_eq!(hearing.held, complete_frame("INSERT 0 1"));
    assert_eq!(hearing.completed(), 1);
}

#[test]
fn rows_that_were_read_need_not_be_as_many() {
    let read = |rows: &str| {
        let bytes = [frame(b'D', b"row"), complete_frame(rows), ready(TransactionStatus::Idle)].concat();
        heard(|| Hearing::new(0, Until::Ready, false), &bytes).marks
    };
    assert_eq!(read("SELECT 3"), read("SELECT 4"));
    assert_ne!(read("INSERT 0 3"), read("INSERT 0 4"));
    // CREATE TABLE AS
    let made = |rows: &str| heard(|| Hearing::new(0, Until::Complete, false), &complete_frame(rows)).marks;
    assert_ne!(made("SELECT 3"), made("SELECT 4"));
    assert!(made("SELECT 3")[0].is_alike(&made("SELECT 4")[0]));
    assert!(!made("SELECT 3")[0].is_alike(&made("INSERT 0 3")[0]));
}

#[test]
fn a_flush_ends_with_the_answer_to_a_close_of_ours() {
    let (close, parsed) = (frame(b'3', b""), frame(b'1', b""));
    let bytes = [parsed.clone(), close.clone(), close.clone()].concat();
    let hearing = heard(|| Hearing::new(0, Until::Closes(2), true), &bytes);
    assert_eq!(hearing.state, State::Flushed);
    assert_eq!(hearing.out, [parsed, close].concat());
    let failed = heard(|| Hearing::new(0, Until::Closes(1), true), &error("42P01"));
    assert_eq!((failed.state, failed.has_failed()), (State::Flushed, true));
}

#[test]
fn copy_waits_for_data() {
    let wants = frame(b'G', &[0, 0, 1, 0, 0]);
    let mut hearing = heard(|| Hearing::new(0, Until::Ready, true), &wants);
    assert_eq!((hearing.state, &hearing.held), (State::CopyIn, &wants));
    hearing.held.clear();
    hearing.goes_on(Until::Ready);
    let end = [complete_frame("COPY 2"), ready(TransactionStatus::Idle)].concat();
    hearing.hear(&end).unwrap();
    assert_eq!(hearing.status(), Some(TransactionStatus::Idle));
    assert!(matches!(hearing.marks[..], [Mark::CopyIn, Mark::Complete { rows: Some(2), .. }]));
}

#[test]
fn garbage_is_an_error() {
    let mut hearing = Hearing::new(0, Until::Ready, true);
    assert!(hearing.hear(&[b'D', 0, 0, 0, 1]).is_err());
    let mut hearing = Hearing::new(0, Until::Ready, true);
    assert!(hearing.hear(&frame(b'Z', b"?")).is_err());
}

#[test]
fn the_client_sees_its_own_parameters_alone() {
    // Two parameters, of which the second is not the client's.
    let described = frame(b't', &[0, 2, 0, 0, 0, 23, 0, 0, 0, 25]);
    let own = frame(b't', &[0, 1, 0, 0, 0, 23]);
    let bytes = [described.clone(), described.clone(), ready(TransactionStatus::Idle)].concat();
    let make = |speaks| {
        move || {
            let mut hearing = Hearing::new(0, Until::Ready, speaks);
            hearing.shows_parameters(&[Some(1), None]);
            hearing
        }
    };
    assert_eq!(heard(make(true), &bytes).out, [own, described].concat());
    assert_eq!(heard(make(false), &bytes).out, b"");
}
