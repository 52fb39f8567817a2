//! A text's way through the cache, the rewriters and the classifiers.

use super::*;
use crate::config::OnError;
use crate::plugin::contract::{Effects, Kind, Servers};

const READ: &str = "SELECT 1 FROM generate_series(1, 2)";

/// Has nothing to say.
const QUIET: &str = "only = [\"gate\"]";

#[tokio::test]
async fn own_plugins_are_asked_once_for_a_shape_and_a_database() {
    let fixture = Fixture::new("");
    assert!(!fixture.knows("SELECT 1"));
    assert_eq!(fixture.classify("SELECT 1").await.verdict().servers, Servers::Any);
    assert!(fixture.knows("SELECT 1") && fixture.knows("SELECT 2"));
    assert!(fixture.knows_for("somebody else", "SELECT 3"));
    assert!(!fixture.knows("SELECT 1, 2"));
}

#[tokio::test]
async fn a_plugin_with_nothing_to_say_about_a_text_makes_it_depend_on_the_text() {
    let fixture = Fixture::new(&hostile("quiet", "", QUIET));
    assert_eq!(fixture.classify("SELECT 1").await.verdict().servers, Servers::Any);
    assert!(fixture.knows("SELECT 1"));
    assert!(!fixture.knows("SELECT 2"), "the strictest answer counts");
}

#[tokio::test]
async fn a_plugin_that_can_ask_for_the_user_is_asked_for_each() {
    let fixture = Fixture::new(&hostile("quiet", "", QUIET));
    fixture.classify("SELECT 1").await;
    assert!(fixture.knows("SELECT 1"));
    assert!(!fixture.knows_for("somebody else", "SELECT 1"));
    // It is for one user only: all others share their answers.
    let fixture = Fixture::new(&hostile("quiet", "users = [\"me\"]", QUIET));
    classify(&fixture.router, b"SELECT 1", &fixture.scope_of("he")).await.unwrap();
    assert!(fixture.knows_for("she", "SELECT 2"));
    assert!(!fixture.knows("SELECT 1"));
}

#[tokio::test]
async fn sessions_of_the_same_kind_share_a_scope() {
    let fixture = Fixture::new("");
    let (one, same, other) = (fixture.scope(), fixture.scope(), fixture.scope_of("else"));
    assert!(Rc::ptr_eq(&one, &same));
    assert!(!Rc::ptr_eq(&one, &other));
    assert_eq!(one.number, other.number);
    assert!(!fixture.router.borrow().is_outdated(&one));
    fixture.host.disable("rewrite", &crate::plugin::By::new("test", "")).unwrap();
    assert!(fixture.router.borrow().is_outdated(&one));
    assert_ne!(fixture.scope().number, one.number);
}

#[tokio::test]
async fn a_swap_makes_the_cache_ask_again() {
    let fixture = Fixture::new("");
    let first = fixture.classify("SELECT 1").await;
    assert!(fixture.holds(&first));
    fixture.host.disable("rewrite", &crate::plugin::By::new("test", "")).unwrap();
    assert!(!fixture.knows("SELECT 1"));
    assert!(!fixture.holds(&first));
}

#[tokio::test]
async fn classifiers_see_the_text_as_rewritten() {
    // "edit" becomes a moment: no statement, and not the text that it was.
    let fixture = Fixture::new(&hostile("one", "", ""));
    let classified = fixture.classify("edit").await;
    assert!(matches!(classified.sent, Sent::Edited(_)));
    let seen = &classified.verdict().tags;
    assert_eq!(seen, &["'2000-01-01 00:00:00.000000+00'::pg_catalog.timestamptz"]);
}

#[tokio::test]
async fn edits_and_refusals_are_kept_with_the_exact_text() {
    let fixture = Fixture::new(&hostile("one", "", "only = [\"rewriter\"]"));
    let classified = fixture.classify("refuse").await;
    let Sent::Refused(refusal) = &classified.sent else { panic!("{classified:?}") };
    assert_eq!(refusal.sqlstate, "42501");
    assert!(fixture.knows("refuse"));
    fixture.classify("edit").await;
    assert!(fixture.knows("edit"));
    let calls = fixture.counts("one").calls;
    fixture.knows("edit");
    assert_eq!(fixture.counts("one").calls, calls);
}

#[tokio::test]
async fn an_edit_that_cuts_through_an_earlier_gap_is_malformed() {
    // Both edit the first four bytes: the second cuts through what the first put in.
    let two = format!(
        "{}{}",
        hostile("one", "", "only = [\"rewriter\"]"),
        hostile("two", "on_error = \"reject\"", "only = [\"rewriter\"]\nedit = [0, 4]"),
    );
    let fixture = Fixture::new(&two);
    let error = classify(&fixture.router, b"edit", &fixture.scope()).await.unwrap_err();
    assert_eq!(error.sqlstate, "38000");
    assert!(error.message.contains("\"two\" failed (malformed answer): an edit cuts through"), "{error:?}");
    let counts = (fixture.counts("one").faults(), fixture.counts("two").malformed);
    assert_eq!(counts, (0, 1));
}

#[tokio::test]
async fn a_failure_is_what_its_plugins_entry_says() {
    for (keys, on_error) in [("on_error = \"reject\"", OnError::Reject), ("", OnError::Primary)] {
        for text in ["trap", "classify trap", "refine trap", "rewrite error", "rewrite garbage"] {
            let fixture = Fixture::new(&hostile("one", keys, ""));
            let answer = classify(&fixture.router, text.as_bytes(), &fixture.scope()).await;
            match on_error {
                OnError::Reject => {
                    let error = answer.unwrap_err();
                    assert_eq!(error.sqlstate, "38000", "{text}");
                    assert!(error.message.contains("plugin \"one\" failed"), "{text}: {error:?}");
                }
                OnError::Primary => {
                    let verdict = answer.unwrap().verdict().clone();
                    assert_eq!(
                        (verdict.servers, verdict.effects),
                        (Servers::Primary, Effects::WRITES),
                        "{text}"
                    );
                }
            }
            assert!(!fixture.knows(text), "{text}: a failure is not kept");
            assert_eq!(fixture.counts("one").faults(), 1, "{text}");
        }
    }
}

#[tokio::test]
async fn what_the_classifiers_fail_on_is_still_sent_as_rewritten() {
    let two = format!(
        "{}{}",
        hostile("one", "", "only = [\"rewriter\"]"),
        hostile("two", "", "only = [\"classifier\"]\nmisbehave = { classify = \"trap\" }\nafter = 1"),
    );
    let fixture = Fixture::new(&two);
    let classified = fixture.classify("refuse").await;
    assert!(matches!(classified.sent, Sent::Refused(_)), "the refusal is lost: {classified:?}");
}

#[tokio::test]
async fn garbage_of_a_classifier_is_taken_for_what_it_says() {
    // It says EXECUTE of nothing, on any server, with all effects.
    let fixture = Fixture::new(&hostile("one", "", ""));
    let classified = fixture.classify("classify garbage").await;
    assert_eq!(classified.verdict().kind, Kind::Execute);
    // 8 MB of reasons are no use to anybody.
    assert!(!fixture.knows("classify garbage"));
}

#[tokio::test]
async fn unknown_facts_make_an_answer_that_is_not_kept() {
    let fixture = Fixture::new("");
    // Nobody can be asked what generate_series is.
    let verdict = fixture.classify(READ).await.verdict().clone();
    assert_eq!(verdict.servers, Servers::Primary);
    assert!(!fixture.knows(READ));
}

#[tokio::test]
async fn texts_that_no_plugin_can_look_at() {
    let fixture = Fixture::new("");
    let verdict =
        classify(&fixture.router, b"SELECT '\xff'", &fixture.scope()).await.unwrap().verdict().clone();
    assert_eq!(verdict.servers, Servers::Primary);
    // A rewriter that wants to see all statements does not let it pass.
    let fixture = Fixture::new(&hostile("one", "on_error = \"reject\"", ""));
    let error = classify(&fixture.router, b"SELECT '\xff'", &fixture.scope()).await.unwrap_err();
    assert_eq!(error.sqlstate, "38000");
    assert!(error.message.contains("\"one\" cannot look at it"), "{error:?}");
}

#[tokio::test]
async fn candidates_are_tried_with_what_the_cache_did_not_know() {
    let fixture = Fixture::new("");
    fixture.classify("trap").await;
    let entry = crate::config::Plugin::named("one").unwrap();
    let rules = fixture.host.plugins()[0].source.rules.clone();
    let origin = crate::plugin::Origin::File(hostile_file());
    let error = fixture.host.candidate(crate::plugin::PluginSource { entry, origin, rules }).unwrap_err();
    assert!(error.to_string().contains("The statement: trap"), "{error:?}");
}
