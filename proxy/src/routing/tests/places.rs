//! Where statements go: the balancers of a chain, and the last word.

use super::*;
use crate::plugin::contract::{Effects, Kind, Servers, Verdict};
use crate::plugin::{By, Memory, Words};
use std::time::Duration;

/// A read whose text the balancers see as its tag.
fn saying(text: &str) -> Verdict {
    Verdict {
        kind: Kind::Select,
        servers: Servers::Any,
        effects: Effects::NONE,
        tags: vec![text.to_owned()],
        ..Verdict::conservative("")
    }
}

const HOSTILE: &str = "only = [\"balancer\"]";

impl Fixture {
    async fn route(
        &self,
        verdict: &Verdict,
        state: SessionState,
    ) -> Result<(Route, SessionState), crate::protocol::PgError> {
        route(&self.router, &self.scope(), verdict, state, &Words::default()).await
    }

    /// At home on the standby.
    fn state(&self) -> SessionState {
        let scope = self.scope();
        let (_, state) = self.router.borrow_mut().plan_session(&scope);
        SessionState { home: 1, ..state }
    }
}

#[tokio::test]
async fn each_balancer_of_a_chain_has_memories_of_its_own() {
    let two = hostile("one", "", HOSTILE) + &hostile("two", "", "only = [\"balancer\"]\nmark = 7");
    let fixture = Fixture::new(&two);
    let state = fixture.state();
    assert_eq!(state.memories[0].session, 11, "the first one planned the session");
    let (to, state) = fixture.route(&saying("a read"), state).await.unwrap();
    assert_eq!(to, Route::Read(1));
    let first = Memory { transaction: 2, session: 0 };
    assert_eq!(state.memories[..2], [first, Memory::default()]);
    assert_eq!(state.tell_end, 0);
    // It passes, and so does the second; Waypool's own balancer decides.
    let (to, state) = fixture.route(&saying("route pass"), state).await.unwrap();
    assert!(matches!(to, Route::Read(_) | Route::Primary));
    assert_eq!(state.memories[..2], [first, Memory::default()]);
    // The end of the transaction takes half of it away.
    let (_, mut state) = fixture.route(&saying("ended well"), state).await.unwrap();
    assert_eq!(state.tell_end, 1, "the first one wants to know");
    state.end_transaction();
    assert_eq!(state.memories[0], Memory { transaction: 0, session: 0 });
}

#[tokio::test]
async fn the_end_is_told_to_those_who_asked() {
    let fixture = Fixture::new(&(hostile("one", "", HOSTILE) + &hostile("two", "", HOSTILE)));
    let scope = fixture.scope();
    fixture.router.borrow_mut().ended(&scope, 0b10, true, &Words::default());
    assert!(!fixture.counts("one").own.contains_key("ended"));
    assert!(fixture.counts("two").own.contains_key("ended"));
    // Nothing comes of failing there.
    let words = Words::default();
    fixture.route(&saying("ended trap"), fixture.state()).await.unwrap();
    fixture.router.borrow_mut().ended(&scope, 0b11, true, &words);
}

/// What balancers that watch have counted, of ends and of good ends.
fn told(fixture: &Fixture, name: &str) -> Option<crate::plugin::Own> {
    fixture.counts(name).own.get("ended").copied()
}

#[tokio::test]
async fn who_watches_is_told_of_statements_that_do_not_run() {
    let failing = "only = [\"balancer\"]\nmisbehave = { route = \"trap\" }\nafter = 1";
    let two = hostile("one", "", "modest = true") + &hostile("two", "on_error = \"reject\"", failing);
    let fixture = Fixture::new(&two);
    let (scope, words) = (fixture.scope(), Words::default());
    let (verdict, before) = (saying("ended well"), fixture.state());
    let mark = words.mark();
    // The first one watches, the second one decides; both want to be told.
    let (_, after) = route(&fixture.router, &scope, &verdict, before, &words).await.unwrap();
    assert_eq!(after.tell_end, 0b11);
    assert_eq!((told(&fixture, "one"), told(&fixture, "two")), (None, None));
    // There is no connection for it, for instance.
    fixture.router.borrow_mut().unroute(&scope, &before, &after, &words, mark);
    let once = Some(crate::plugin::Own::Counter(1));
    assert_eq!((told(&fixture, "one"), told(&fixture, "two")), (once, once));
    assert!(words.is_empty());
    // The second one fails: the first one's count has to come out even.
    route(&fixture.router, &scope, &verdict, before, &words).await.unwrap_err();
    assert_eq!(told(&fixture, "one"), Some(crate::plugin::Own::Counter(1 + 2)));
    assert!(words.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_statement_waits_as_long_as_a_balancer_says() {
    let fixture = Fixture::new(&hostile("one", "", HOSTILE));
    let began = tokio::time::Instant::now();
    fixture.route(&saying("route later"), fixture.state()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(50));
    // For ever is too long: a second at a time, a minute in all.
    let error = fixture.route(&saying("route wait"), fixture.state()).await.unwrap_err();
    assert_eq!(error.sqlstate, "57014");
    assert!(began.elapsed() < Duration::from_secs(62), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_balancers_refusal_reaches_the_client() {
    let fixture = Fixture::new(&hostile("one", "", HOSTILE));
    let error = fixture.route(&saying("route refuse"), fixture.state()).await.unwrap_err();
    assert_eq!((&*error.sqlstate, &*error.message), ("42501", "was told to refuse"));
    // One that makes no sense does not.
    for deed in ["bad_sqlstate", "invalid_utf8"] {
        let (to, _) = fixture.route(&saying(&format!("route {deed}")), fixture.state()).await.unwrap();
        assert_eq!(to, Route::Primary, "{deed}");
    }
    assert_eq!(fixture.counts("one").malformed, 2);
}

#[tokio::test]
async fn a_failing_balancer_leaves_reads_to_the_primary_until_the_transaction_ends() {
    let fixture = Fixture::new(&(hostile("one", "", HOSTILE) + &hostile("two", "", HOSTILE)));
    for deed in ["trap", "loop", "hog", "recurse", "error"] {
        let verdict = saying(&format!("route {deed}"));
        let (to, state) = fixture.route(&verdict, fixture.state()).await.unwrap();
        assert_eq!(to, Route::Primary, "{deed}");
        assert_eq!(state.memories[0], Memory { transaction: u32::MAX, session: 11 }, "{deed}");
        assert_eq!(state.memories[1], Memory::default(), "{deed}");
        // What is for all servers goes to all.
        let all = Verdict { servers: Servers::All, ..verdict };
        let (to, _) = fixture.route(&all, fixture.state()).await.unwrap();
        assert_eq!(to, Route::All { home: None }, "{deed}");
    }
    let fixture = Fixture::new(&hostile("one", "on_error = \"reject\"", HOSTILE));
    let error = fixture.route(&saying("route trap"), fixture.state()).await.unwrap_err();
    assert_eq!(error.sqlstate, "38000");
}

#[tokio::test]
async fn a_server_that_is_none_is_the_primary() {
    let fixture = Fixture::new(&hostile("one", "", HOSTILE));
    let (to, _) = fixture.route(&saying("route garbage"), fixture.state()).await.unwrap();
    assert_eq!(to, Route::Primary);
    let all = Verdict { servers: Servers::All, ..saying("route garbage") };
    let (to, _) = fixture.route(&all, fixture.state()).await.unwrap();
    assert_eq!(to, Route::All { home: None });
}

#[tokio::test]
async fn writes_stay_off_the_standby_unless_the_balancer_is_trusted() {
    for (keys, to) in [("", Route::Primary), ("allow_writes_on_standby = true", Route::Read(1))] {
        let fixture = Fixture::new(&hostile("one", keys, HOSTILE));
        // The hostile balancer hands the servers back as they were.
        let write = Verdict { effects: Effects::WRITES, ..saying("a write") };
        assert_eq!(fixture.route(&write, fixture.state()).await.unwrap().0, to, "{keys}");
        let overruled = u64::from(keys.is_empty());
        assert_eq!(fixture.counts("one").overruled, overruled, "{keys}");
    }
}

#[tokio::test]
async fn sessions_at_whose_begin_a_balancer_fails_are_at_home_on_the_primary() {
    let fixture = Fixture::new(&hostile("one", "", "misbehave = { plan_session = \"trap\" }\nafter = 2"));
    let scope = fixture.scope();
    let mut homes = Vec::new();
    for _ in 0..4 {
        let (plan, state) = fixture.router.borrow_mut().plan_session(&scope);
        homes.push((plan.memory, state.home));
    }
    assert_eq!(homes[0].0, 11);
    assert!(homes.contains(&(0, 0)), "{homes:?}");
    assert!(fixture.counts("one").traps > 0);
}

#[tokio::test]
async fn memories_are_carried_over_the_swap_of_another_plugin() {
    let fixture = Fixture::new(&(hostile("one", "", HOSTILE) + &hostile("two", "", HOSTILE)));
    let before = fixture.scope();
    let memory = |number| Memory { transaction: number, session: 10 * number };
    let memories = [memory(1), memory(2), memory(3), Memory::default()];
    let state = SessionState { memories, home: 1, tell_end: 0b11, ..SessionState::default() };

    // A new version of the first: it knows nothing of the session.
    let mut source = fixture.host.plugins()[0].source.clone();
    source.entry.config = serde_json::json!({ "only": ["balancer"], "mark": 3 });
    fixture.host.candidate(source).unwrap();
    fixture.host.swap("one", &By::new("test", "")).unwrap();
    let after = fixture.scope();
    let carried = after.carry(&before, state);
    assert_eq!(carried.memories, [Memory::default(), memory(2), memory(3), Memory::default()]);
    assert_eq!((carried.home, carried.tell_end), (1, 0));

    // The first goes: the others move up.
    fixture.host.disable("one", &By::new("test", "")).unwrap();
    let carried = fixture.scope().carry(&before, state);
    assert_eq!(carried.memories, [memory(2), memory(3), Memory::default(), Memory::default()]);
}

#[tokio::test]
async fn explain_tells_who_decided_and_why() {
    let fixture = Fixture::new(&hostile("one", "", HOSTILE));
    let explain = |said: &str| {
        let (scope, state) = (fixture.scope(), fixture.state());
        fixture.router.borrow_mut().explain(&scope, &saying(said), state, &Words::default())
    };
    let explained = explain("a read").unwrap();
    assert_eq!((explained.route, &*explained.balancer, &*explained.why), (Route::Read(1), "one", "mark 0"));
    assert_eq!(explain("route pass").unwrap().balancer, "balance");
    assert!(explain("route wait").unwrap().why.contains("it would wait"));
    assert_eq!(explain("route refuse").unwrap_err().sqlstate, "42501");
    for deed in ["trap", "loop", "hog", "recurse", "invalid_utf8"] {
        let error = explain(&format!("explain {deed}")).unwrap_err();
        assert_eq!(error.sqlstate, "38000", "{deed}");
    }
    assert_eq!(fixture.counts("one").faults(), 5);
}
