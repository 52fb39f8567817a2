#![allow(clippy::unwrap_used)]
use super::record::Record;
use super::*;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;

fn one() -> [String; 1] {
    ["a:1".to_owned()]
}

fn both() -> [String; 2] {
    ["a:1", "/tmp, x:2"].map(str::to_owned)
}

fn lines(path: &Path) -> Vec<Option<Record>> {
    let text = fs::read(path).unwrap();
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").and_then(Record::read))
        .collect()
}

/// Two decisions of a process that is dead: the first one done, the second on
/// one server only.
async fn left_behind(folder: &Path) -> (String, PathBuf) {
    let decisions = Decisions::open(folder).unwrap();
    let (first, second) = (decisions.begin(), decisions.begin());
    for ticket in [&first, &second] {
        decisions.decide_commit(ticket, &both()).await.unwrap();
    }
    decisions.committed_on(first.gid(), "a:1");
    decisions.committed_on(first.gid(), "/tmp, x:2");
    decisions.committed_on(second.gid(), "a:1");
    // Written with the next decision, at the latest.
    let third = decisions.begin();
    decisions.decide_commit(&third, &one()).await.unwrap();
    decisions.committed_on(third.gid(), "a:1");
    (second.gid().to_owned(), decisions.folder.log(1))
}

/// The writer's thread ends, and with it the lock, after the last sender.
fn wait_for_death(log: &Path) {
    let file = OpenOptions::new().read(true).open(log).unwrap();
    file.lock().unwrap();
    file.unlock().unwrap();
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let commit = Record::Commit {
        gid: "waypool_0_1_2".to_owned(),
        servers: vec!["a:1".to_owned(), "/tmp/a, b%\n:2".to_owned()],
    };
    for record in [commit, Record::Done { gid: "waypool_0_1_2".to_owned() }] {
        let mut line = Vec::new();
        record.write(&mut line);
        let line = line.strip_suffix(b"\n").unwrap();
        assert_eq!(Record::read(line), Some(record));
        for at in 0..line.len() {
            let mut damaged = line.to_vec();
            damaged[at] ^= 1;
            assert_eq!(Record::read(&damaged), None, "byte {at}");
            assert_eq!(Record::read(&line[..at]), None, "torn at {at}");
        }
    }
}

#[tokio::test]
async fn what_is_decided_and_not_done_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (gid, log) = left_behind(folder.path()).await;
    wait_for_death(&log);
    let decisions = Decisions::open(folder.path()).unwrap();
    assert_eq!(decisions.pending_on("/tmp, x:2"), [gid.as_str()]);
    // It is not noted which servers have heard of it already.
    assert_eq!(decisions.pending_on("a:1"), [gid.as_str()]);
    assert_eq!(decisions.verdict(&gid), Verdict::Commit);
    // Of that process, too, but never decided; and of another instance.
    let undecided = gid.replace("_1_2", "_1_99");
    assert_eq!(decisions.verdict(&undecided), Verdict::Rollback);
    assert_eq!(decisions.verdict("waypool_0123456789abcdef_1_1"), Verdict::Leave);
    assert!(log.exists());
    decisions.committed_on(&gid, "a:1");
    decisions.committed_on(&gid, "/tmp, x:2");
    assert_eq!(decisions.pending(), 0);
    assert!(!log.exists(), "nothing is left to be known from it");
    // Numbers are not used again, so neither are names.
    assert_eq!(decisions.begin().gid(), gid.replace("_1_2", "_2_1"));
}

#[tokio::test]
async fn a_torn_end_was_told_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (gid, log) = left_behind(folder.path()).await;
    wait_for_death(&log);
    let whole = fs::read(&log).unwrap();
    // A decision cut off at any byte, and blocks that were never written.
    let mut torn = Vec::new();
    let other = gid.replace("_1_2", "_1_50");
    Record::Commit { gid: other.clone(), servers: vec!["a:1".to_owned()] }.write(&mut torn);
    for end in [&torn[..1], &torn[..torn.len() - 1], &[0; 4096][..], b"\n\n"] {
        fs::write(&log, [&whole[..], end].concat()).unwrap();
        let decisions = Decisions::open(folder.path()).unwrap();
        assert_eq!(decisions.verdict(&gid), Verdict::Commit);
        assert_eq!(decisions.verdict(&other), Verdict::Rollback);
        let own = decisions.folder.log(decisions.start);
        drop(decisions);
        wait_for_death(&own);
    }
}

#[tokio::test]
async fn a_log_damaged_in_its_middle_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = left_behind(folder.path()).await;
    wait_for_death(&log);
    let mut bytes = fs::read(&log).unwrap();
    let second_line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 3;
    bytes[second_line] ^= 1;
    fs::write(&log, bytes).unwrap();
    let error = Decisions::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("1.log:2: the line is damaged"), "{error}");
}

#[tokio::test]
async fn the_log_of_another_instance_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = left_behind(folder.path()).await;
    wait_for_death(&log);
    fs::write(folder.path().join("instance"), "0123456789abcdef").unwrap();
    let error = Decisions::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("another instance"), "{error}");
}

/// After a takeover two processes serve: neither touches what is the other's.
#[tokio::test]
async fn a_process_that_lives_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let old = Decisions::open(folder.path()).unwrap();
    let new = Decisions::open(folder.path()).unwrap();
    let ticket = old.begin();
    let gid = ticket.gid().to_owned();
    assert_eq!((old.verdict(&gid), new.verdict(&gid)), (Verdict::Leave, Verdict::Leave));
    old.decide_commit(&ticket, &one()).await.unwrap();
    drop(ticket);
    assert_eq!((old.verdict(&gid), new.verdict(&gid)), (Verdict::Commit, Verdict::Leave));
    let log = old.folder.log(old.start);
    drop(old);
    wait_for_death(&log);
    // Dead, and not read yet.
    assert_eq!(new.verdict(&gid), Verdict::Leave);
    new.inherit().unwrap();
    assert_eq!(new.verdict(&gid), Verdict::Commit);
    // A third one must not take the dead one's for undecided.
    let third = Decisions::open(folder.path()).unwrap();
    assert_eq!(third.verdict(&gid), Verdict::Leave);
    new.committed_on(&gid, "a:1");
    assert_eq!(new.verdict(&gid), Verdict::Rollback);
}

#[tokio::test]
async fn what_is_in_flight_is_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let decisions = Decisions::open(folder.path()).unwrap();
    let ticket = decisions.begin();
    let gid = ticket.gid().to_owned();
    assert_eq!(decisions.verdict(&gid), Verdict::Leave);
    drop(ticket);
    assert_eq!(decisions.verdict(&gid), Verdict::Rollback);
}

#[tokio::test]
async fn many_decide_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let decisions = Decisions::open(folder.path()).unwrap();
    let tickets: Vec<Ticket> = (0..200).map(|_| decisions.begin()).collect();
    let server = one();
    let all = tickets.iter().map(|ticket| decisions.decide_commit(ticket, &server));
    assert!(super::super::join_all(all).await.iter().all(Result::is_ok));
    let log = decisions.folder.log(decisions.start);
    assert_eq!(lines(&log).len(), 201);
    assert!(lines(&log).iter().all(Option::is_some));
    assert_eq!(decisions.pending(), 200);
}

/// The file cannot be written to, nor be cut where it was.
#[tokio::test]
async fn what_cannot_be_written_is_in_doubt_and_nothing_more_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::open(folder.path()).unwrap());
    let (start, _lock) = folder.begin().unwrap();
    let readable = fs::File::open(folder.log(start)).unwrap();
    let writer = writer::start(folder.clone(), start, readable).unwrap();
    let decisions = Decisions { folder, start, writer, state: Arc::default() };
    let ticket = decisions.begin();
    let gid = ticket.gid().to_owned();
    let decided = decisions.decide_commit(&ticket, &one()).await;
    assert!(matches!(decided, Err(DecideError::InDoubt(_))), "{decided:?}");
    drop(ticket);
    assert_eq!(decisions.verdict(&gid), Verdict::Leave);
    let ticket = decisions.begin();
    let gid = ticket.gid().to_owned();
    let decided = decisions.decide_commit(&ticket, &one()).await;
    assert!(matches!(decided, Err(DecideError::NotDecided(_))), "{decided:?}");
    drop(ticket);
    assert_eq!(decisions.verdict(&gid), Verdict::Rollback);
}
