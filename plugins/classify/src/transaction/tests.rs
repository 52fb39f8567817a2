#![allow(clippy::unwrap_used)]
use crate::tests::{plain, verdict};
use waypool_plugin_sdk::{Effects as E, Kind, Servers};

#[test]
fn beginnings_and_their_modes() {
    for (text, effects) in [
        ("BEGIN", E::empty()),
        ("begin work", E::empty()),
        ("START TRANSACTION ISOLATION LEVEL READ COMMITTED", E::empty()),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", E::READ_ONLY),
        ("BEGIN READ WRITE", E::READ_WRITE),
        ("BEGIN READ WRITE READ ONLY", E::READ_ONLY),
        (
            "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
            E::SERIALIZABLE | E::READ_ONLY,
        ),
    ] {
        let verdict = verdict(text, &plain());
        assert_eq!(
            (verdict.kind, verdict.servers, verdict.effects),
            (Kind::Begin, Servers::All, effects),
            "{text}"
        );
    }
}

#[test]
fn ends_and_savepoints() {
    for (text, kind, servers, name, effects) in [
        ("COMMIT", Kind::Commit, Servers::All, None, E::empty()),
        ("END WORK", Kind::Commit, Servers::All, None, E::empty()),
        ("COMMIT AND NO CHAIN", Kind::Commit, Servers::All, None, E::empty()),
        ("ROLLBACK", Kind::Rollback, Servers::All, None, E::empty()),
        ("ABORT TRANSACTION", Kind::Rollback, Servers::All, None, E::empty()),
        ("SAVEPOINT a", Kind::Savepoint, Servers::All, Some("a"), E::WRITES),
        ("SAVEPOINT savepoint", Kind::Savepoint, Servers::All, Some("savepoint"), E::WRITES),
        ("RELEASE SAVEPOINT \"A b\"", Kind::Release, Servers::All, Some("A b"), E::WRITES),
        ("RELEASE A", Kind::Release, Servers::All, Some("a"), E::WRITES),
        ("RELEASE savepoint", Kind::Release, Servers::All, Some("savepoint"), E::WRITES),
        ("ROLLBACK WORK TO SAVEPOINT a", Kind::RollbackTo, Servers::All, Some("a"), E::empty()),
        ("ROLLBACK TO a", Kind::RollbackTo, Servers::All, Some("a"), E::empty()),
        ("PREPARE TRANSACTION 'x'", Kind::PrepareTransaction, Servers::Primary, None, E::empty()),
        ("COMMIT PREPARED 'x'", Kind::FinishPrepared, Servers::Primary, None, E::empty()),
        ("ROLLBACK PREPARED 'x'", Kind::FinishPrepared, Servers::Primary, None, E::empty()),
    ] {
        let verdict = verdict(text, &plain());
        assert_eq!((verdict.kind, verdict.servers, verdict.effects), (kind, servers, effects), "{text}");
        assert_eq!(verdict.name.as_deref(), name, "{text}");
    }
}
