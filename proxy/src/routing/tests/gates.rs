//! Who comes in, and as whom.

use super::*;
use crate::plugin::contract::Newcomer;
use crate::protocol::PgError;

const GATE: &str = "only = [\"gate\"]";

fn admit(fixture: &Fixture, user: &str, application_name: &str) -> Result<Admitted, PgError> {
    let newcomer = Newcomer {
        database: "db".to_owned(),
        user: user.to_owned(),
        application_name: application_name.to_owned(),
        address: None,
        tls: false,
    };
    fixture.router.borrow_mut().admit(newcomer)
}

fn as_it_is() -> Admitted {
    Admitted { database: "db".to_owned(), user: None, parameters: Vec::new() }
}

fn named(name: &str) -> Vec<(String, String)> {
    vec![("application_name".to_owned(), name.to_owned())]
}

#[test]
fn without_gates_everybody_comes_in_as_he_is() {
    assert_eq!(admit(&Fixture::new(""), "me", "refuse").unwrap(), as_it_is());
}

#[test]
fn a_gate_changes_and_refuses() {
    let fixture = Fixture::new(&hostile("one", "", GATE));
    assert_eq!(admit(&fixture, "me", "psql").unwrap(), as_it_is());
    let changed = admit(&fixture, "me", "map").unwrap();
    assert_eq!(changed, Admitted { parameters: named("mapped"), ..as_it_is() });
    let error = admit(&fixture, "me", "refuse").unwrap_err();
    assert_eq!((&*error.sqlstate, &*error.message), ("28000", "was told to refuse"));
}

#[test]
fn the_next_gate_sees_the_changes() {
    let two = hostile("one", "", GATE) + &hostile("two", "", GATE);
    let fixture = Fixture::new(&two);
    // Whom the first has mapped the second refuses.
    let error = admit(&fixture, "me", "map").unwrap_err();
    assert_eq!(error.message, "has been mapped before");
    // Nobody is asked behind a refusal.
    admit(&fixture, "me", "refuse").unwrap_err();
    assert_eq!((fixture.counts("one").calls, fixture.counts("two").calls), (2, 1));
    // Both may change something, and the last word counts.
    let changed = admit(&fixture, "me", "database other").unwrap();
    assert_eq!(changed, Admitted { database: "other".to_owned(), ..as_it_is() });
}

#[test]
fn a_gate_is_asked_for_its_users_only() {
    let fixture = Fixture::new(&hostile("one", "users = [\"me\"]", GATE));
    admit(&fixture, "me", "refuse").unwrap_err();
    assert_eq!(admit(&fixture, "you", "refuse").unwrap(), as_it_is());
}

#[test]
fn changes_that_cannot_be_sent_are_ignored() {
    let fixture = Fixture::new(&hostile("one", "", GATE));
    assert_eq!(admit(&fixture, "session_start garbage", "psql").unwrap(), as_it_is());
}

#[test]
fn a_gate_that_fails_lets_in_or_refuses_as_its_entry_says() {
    let deeds = ["trap", "loop", "hog", "recurse", "error", "bad_sqlstate", "invalid_utf8"];
    let fixture = Fixture::new(&hostile("one", "", GATE));
    for deed in deeds {
        let admitted = admit(&fixture, &format!("session_start {deed}"), "psql");
        assert_eq!(admitted.unwrap(), as_it_is(), "{deed}");
    }
    assert_eq!(fixture.counts("one").faults(), deeds.len() as u64);
    let fixture = Fixture::new(&hostile("one", "on_error = \"reject\"", GATE));
    for deed in deeds {
        let error = admit(&fixture, &format!("session_start {deed}"), "psql").unwrap_err();
        assert_eq!(error.sqlstate, "38000", "{deed}");
    }
}
