//! The redirect preference lists.

use super::*;

fn session(user: &str, database: &str, application_name: &str) -> SessionInfo {
    SessionInfo { database: database.into(), user: user.into(), application_name: application_name.into() }
}

/// Random numbers of which the upper half, for the weights, and the lower, for
/// the ratio, come in all combinations.
fn chances() -> impl Iterator<Item = u64> {
    let sixteenths = |shift: u32| (0..16u64).map(move |part| part << shift);
    sixteenths(60).flat_map(move |upper| sixteenths(28).map(move |lower| upper | lower))
}

/// How often each of three servers becomes the home, of 256 times.
fn homes(balance: &mut Balance, session: &SessionInfo) -> [u32; 3] {
    let mut homes = [0; 3];
    for random in chances() {
        homes[balance.plan(session, random).home as usize] += 1;
    }
    homes
}

#[test]
fn the_strongest_list_that_matches_counts() {
    let lists = |it: &mut Config| {
        it.user_redirect_preference_list = "anna:1, b.*:2".into();
        it.database_redirect_preference_list = "shop:primary".into();
        it.app_name_redirect_preference_list = Items::Array(vec!["report(er)?:2".into(), ".*:1".into()]);
    };
    let mut balance = balance(lists, &cluster([1.0, 1.0, 1.0]));
    let mut home = |user, database, app| homes(&mut balance, &session(user, database, app));
    assert_eq!(home("anna", "x", ""), [0, 256, 0]);
    // In any case, and as a whole
    assert_eq!(home("Bert", "x", ""), [0, 0, 256]);
    assert_eq!(home("joanna", "x", "").iter().min(), Some(&80));
    assert_eq!(home("anna", "shop", ""), [256, 0, 0]);
    assert_eq!(home("anna", "shop", "reporter"), [0, 0, 256]);
    assert_eq!(home("bert", "shop", "psql"), [0, 256, 0]);
}

#[test]
fn a_ratio_leaves_the_rest_to_the_others() {
    let lists = |it: &mut Config| {
        it.user_redirect_preference_list =
            "half:2(0.5), never:1(0), main:primary(0.25), read:standby(0.5)".into();
    };
    let mut balance = balance(lists, &cluster([1.0, 1.0, 0.0]));
    let mut home = |user| homes(&mut balance, &session(user, "d", ""));
    // 0/16 to 8/16 are within; weight 0 does not matter to who is named.
    assert_eq!(home("half"), [56, 56, 144]);
    assert_eq!(home("never"), [256, 0, 0]);
    assert_eq!(home("main"), [80, 176, 0]);
    // A miss of `standby` is the primary's, a hit goes by weight.
    assert_eq!(home("read"), [112, 144, 0]);
}

#[test]
fn a_target_that_is_dead_or_unknown_is_ignored() {
    let lists = |it: &mut Config| it.user_redirect_preference_list = "dead:1, unknown:7, read:standby".into();
    let mut nodes = cluster([1.0, 1.0, 1.0]);
    nodes[1].usable = false;
    let mut balance = balance(lists, &nodes);
    assert_eq!(homes(&mut balance, &session("dead", "d", "")), [128, 0, 128]);
    assert_eq!(homes(&mut balance, &session("unknown", "d", "")), [128, 0, 128]);
    assert_eq!(homes(&mut balance, &session("read", "d", "")), [0, 0, 256]);
    nodes[2].usable = false;
    balance.know(&nodes);
    assert_eq!(homes(&mut balance, &session("read", "d", "")), [256, 0, 0]);
}

#[test]
fn the_preference_survives_the_home_and_counts_for_each_statement() {
    let lists = |it: &mut Config| {
        it.statement_level_load_balance = true;
        it.app_name_redirect_preference_list = "no:1, report:2".into();
    };
    let mut each = balance(lists, &cluster([1.0, 1.0, 1.0]));
    let plan = each.plan(&session("u", "d", "report"), 0);
    for random in chances() {
        let state = SessionState {
            session_memory: plan.memory,
            home: plan.home,
            random,
            ..state(Transaction::Idle, 0)
        };
        let decision = each.go(READ, state);
        assert_eq!((decision.node, decision.session_memory), (2, plan.memory));
    }
    assert_eq!(
        each.why(),
        "for this statement: statement_level_load_balance = true, \
         redirected by app_name_redirect_preference_list"
    );
    let lists = |it: &mut Config| it.database_redirect_preference_list = "d:standby".into();
    let mut nodes = cluster([9.0, 1.0, 1.0]);
    let mut by_session = balance(lists, &nodes);
    let plan = by_session.plan(&client(), 0);
    assert_eq!(plan.home, 1);
    let state = SessionState { session_memory: plan.memory, ..state(Transaction::Idle, 0) };
    assert_eq!(by_session.go(READ, state).node, 1);
    assert_eq!(by_session.why(), "home, redirected by database_redirect_preference_list");
    nodes[1].usable = false;
    by_session.know(&nodes);
    assert_eq!(by_session.go(READ, state).node, 2);
}
