#![allow(clippy::unwrap_used)]
use super::*;
use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{NodeRole, ReadAfter};

mod adaptive;
mod delay;
mod redirect;

impl Balance {
    /// `route` for a statement about no names
    fn go(&mut self, statement: Statement, state: SessionState) -> Decision {
        self.decide(statement, state, &FakeHost::new())
    }

    fn decide(&mut self, statement: Statement, state: SessionState, host: &Host) -> Decision {
        match self.route(statement, state, host).unwrap() {
            Routing::To(decision) => decision,
            other => panic!("{other:?}"),
        }
    }

    fn plan(&mut self, session: &SessionInfo, random: u64) -> SessionPlan {
        self.plan_session(session, random, &FakeHost::new()).unwrap()
    }

    fn know(&mut self, nodes: &[Node]) {
        self.topology(nodes, &FakeHost::new());
    }

    fn why(&self) -> String {
        self.explain(&FakeHost::new())
    }
}

fn node(id: u32, role: NodeRole, weight: f64, usable: bool) -> Node {
    Node { id, role, usable, delayed: false, weight, lag_bytes: 0, lag_micros: 0 }
}

/// A primary 0 and standbys 1 and 2
fn cluster(weights: [f64; 3]) -> Vec<Node> {
    let roles = [NodeRole::Primary, NodeRole::Standby, NodeRole::Standby];
    (0..).zip(roles).zip(weights).map(|((id, role), weight)| node(id, role, weight, true)).collect()
}

fn balance(change: impl FnOnce(&mut Config), nodes: &[Node]) -> Balance {
    let mut config = Config::default();
    change(&mut config);
    let mut balance = Balance::new(config).unwrap();
    balance.know(nodes);
    balance
}

fn client() -> SessionInfo {
    SessionInfo { database: "d".into(), user: "u".into(), application_name: String::new() }
}

const READ: Statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::empty() };
const WRITE: Statement = Statement { kind: Kind::Dml, servers: Servers::Primary, effects: Effects::WRITES };
const BEGIN: Statement = Statement { kind: Kind::Begin, servers: Servers::All, effects: Effects::empty() };
const SET: Statement = Statement { kind: Kind::Set, servers: Servers::All, effects: Effects::WRITES };

fn state(transaction: Transaction, transaction_memory: u32) -> SessionState {
    SessionState { transaction, transaction_memory, home: 1, ..SessionState::default() }
}

#[test]
fn a_home_is_chosen_by_weight() {
    let mut balance = balance(|_| {}, &cluster([1.0, 0.0, 3.0]));
    let mut chosen = [0; 3];
    for part in 0..1024u64 {
        chosen[balance.plan(&client(), part << 54).home as usize] += 1;
    }
    assert_eq!(chosen, [256, 0, 768]);
    assert_eq!(balance.plan(&client(), u64::MAX).home, 2);
}

#[test]
fn without_weights_the_primary_is_home() {
    let mut balance = balance(|_| {}, &cluster([0.0, 0.0, f64::NAN]));
    assert_eq!(balance.plan(&client(), u64::MAX / 2).home, 0);
}

#[test]
fn reads_stay_home_until_the_transaction_writes() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let begun = balance.go(BEGIN, state(Transaction::Idle, 7));
    assert_eq!((begun.servers, begun.node, begun.transaction_memory), (Servers::All, 1, 0));
    let read = balance.go(READ, state(Transaction::Open, begun.transaction_memory));
    assert_eq!((read.servers, read.node), (Servers::Any, 1));
    let write = balance.go(WRITE, state(Transaction::Open, read.transaction_memory));
    assert_eq!((write.servers, write.node), (Servers::Primary, 0));
    let read = balance.go(READ, state(Transaction::Open, write.transaction_memory));
    assert_eq!((read.servers, read.node), (Servers::Primary, 0));
    let back = Statement { kind: Kind::RollbackTo, servers: Servers::All, effects: Effects::empty() };
    let back = balance.go(back, state(Transaction::Failed, read.transaction_memory));
    assert_eq!(balance.go(READ, state(Transaction::Open, back.transaction_memory)).servers, Servers::Primary);
    let commit = Statement { kind: Kind::Commit, servers: Servers::All, effects: Effects::empty() };
    let commit = balance.go(commit, state(Transaction::Open, back.transaction_memory));
    assert_eq!(commit.transaction_memory, 0);
}

#[test]
fn a_write_outside_of_a_transaction_is_not_remembered() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let written = balance.go(WRITE, state(Transaction::Idle, 0));
    assert_eq!((written.transaction_memory, balance.go(READ, state(Transaction::Idle, 7)).node), (0, 1));
}

#[test]
fn serializable_reads_are_the_primarys() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let begin = Statement { effects: Effects::SERIALIZABLE, ..BEGIN };
    let begun = balance.go(begin, state(Transaction::Idle, 0));
    assert_eq!(balance.go(READ, state(Transaction::Open, begun.transaction_memory)).node, 0);
    // As the session's default: in transactions only
    let default = Statement { effects: Effects::SERIALIZABLE, servers: Servers::Primary, ..SET };
    let session_memory = balance.go(default, state(Transaction::Idle, 0)).session_memory;
    let idle = SessionState { session_memory, ..state(Transaction::Idle, 0) };
    let open = SessionState { session_memory, ..state(Transaction::Open, 0) };
    assert_eq!((balance.go(READ, idle).node, balance.go(READ, open).node), (1, 0));
}

#[test]
fn a_transaction_begun_among_others_is_the_primarys() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let effects = Effects::MULTIPLE | Effects::TRANSACTION_INSIDE;
    let begin = Statement { kind: Kind::Unknown, servers: Servers::Primary, effects };
    let begun = balance.go(begin, state(Transaction::Idle, 0)).transaction_memory;
    assert_eq!(balance.go(SET, state(Transaction::Open, begun)).servers, Servers::Primary);
    assert_eq!(balance.go(READ, state(Transaction::Open, begun)).node, 1);
}

#[test]
fn a_home_that_is_gone_is_replaced_for_reads() {
    let mut nodes = cluster([0.0, 1.0, 1.0]);
    nodes[1].usable = false;
    let mut balance = balance(|_| {}, &nodes);
    let read = balance.go(READ, state(Transaction::Idle, 0));
    assert_eq!((read.servers, read.node), (Servers::Any, 2));
    // The one in its place stays, whatever chance says next.
    nodes.push(node(3, NodeRole::Standby, 9.0, true));
    balance.know(&nodes);
    let later =
        SessionState { session_memory: read.session_memory, random: 1 << 63, ..state(Transaction::Idle, 0) };
    assert_eq!(balance.go(READ, later).node, 2);
    assert_eq!(balance.why(), "in place of the home, which does not answer, chosen by weight");
    let set = balance.go(SET, later);
    assert_eq!((set.servers, set.node), (Servers::All, 2));
    nodes.pop();
    nodes[2].usable = false;
    balance.know(&nodes);
    let read = balance.go(READ, state(Transaction::Idle, 0));
    assert_eq!((read.servers, read.node), (Servers::Primary, 0));
    // The one which was used before may be there again.
    let set = balance.go(SET, later);
    assert_eq!((set.servers, set.node), (Servers::All, 0));
    nodes[1].usable = true;
    balance.know(&nodes);
    assert_eq!(balance.go(READ, later).node, 1);
}

#[test]
fn a_home_that_became_the_primary_is_the_primary() {
    let nodes = [node(0, NodeRole::Unknown, 1.0, false), node(1, NodeRole::Primary, 1.0, true)];
    let mut balance = balance(|_| {}, &nodes);
    let read = balance.go(READ, state(Transaction::Idle, 0));
    assert_eq!((read.servers, read.node), (Servers::Primary, 1));
    assert_eq!(balance.go(WRITE, state(Transaction::Idle, 0)).node, 1);
}

#[test]
fn load_balancing_can_be_switched_off_or_be_done_by_statement() {
    let mut off = balance(|config| config.load_balance_mode = false, &cluster([0.0, 1.0, 1.0]));
    assert_eq!(off.plan(&client(), 0).home, 0);
    assert_eq!(off.go(READ, state(Transaction::Idle, 0)).servers, Servers::Primary);
    assert_eq!(off.go(SET, state(Transaction::Idle, 0)).servers, Servers::Primary);
    let by_statement = |config: &mut Config| config.statement_level_load_balance = true;
    let mut each = balance(by_statement, &cluster([0.0, 1.0, 1.0]));
    let last = SessionState { random: u64::MAX, ..state(Transaction::Idle, 0) };
    assert_eq!(each.go(READ, last).node, 2);
    assert!(!each.go(READ, last).steady, "the next one may go elsewhere");
    // A transaction's reads stay where it began.
    let begun = each.go(BEGIN, last);
    assert_eq!((begun.servers, begun.node), (Servers::All, 2));
    assert_eq!(each.go(READ, state(Transaction::Open, begun.transaction_memory)).node, 2);
    assert_eq!(each.why(), "for this transaction: statement_level_load_balance = true, chosen by weight");
}

#[test]
fn a_failed_write_is_no_write_for_the_session() {
    let always = |config: &mut Config| config.disable_load_balance_on_write = "always".into();
    let mut balance = balance(always, &cluster([0.0, 1.0, 1.0]));
    let session_memory = balance.go(WRITE, state(Transaction::Open, 0)).session_memory;
    let rollback = Statement { kind: Kind::Rollback, servers: Servers::All, effects: Effects::empty() };
    let mut read_after = |transaction| {
        let after = SessionState { session_memory, ..state(transaction, 0) };
        let session_memory = balance.go(rollback, after).session_memory;
        balance.go(READ, SessionState { session_memory, ..state(Transaction::Idle, 0) }).node
    };
    assert_eq!((read_after(Transaction::Failed), read_after(Transaction::Open)), (1, 0));
}

/// What is said about a configuration.
fn mistake(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    Balance::new(config).unwrap_err().to_string()
}

#[test]
fn mistakes_are_named() {
    let said = mistake(|it| it.disable_load_balance_on_write = "on".into());
    assert_eq!(
        said,
        "disable_load_balance_on_write = \"on\": it may be \"off\", \"transaction\", \"trans_transaction\", \
         \"always\", \"dml_adaptive\" or \"dml_adaptive_global\""
    );
    assert_eq!(
        mistake(|it| it.read_your_writes = "always".into()),
        "read_your_writes = \"always\": it may be \"off\", \"session\" or \"user\""
    );
    assert_eq!(
        mistake(|it| it.track_table_mutation_ttl_factor = 0.5),
        "track_table_mutation_ttl_factor = 0.5: it may be from 1 to 100"
    );
    assert_eq!(
        mistake(|it| it.track_table_mutation_cold_start_duration = 60_001),
        "track_table_mutation_cold_start_duration = 60001: it may be from 0 to 60000 milliseconds"
    );
    for (list, why) in [
        ("app1", "pattern:node"),
        ("app1:slave", "primary, standby or the number"),
        ("app1:-1", "primary, standby or the number"),
        ("app1:1(1.5)", "from 0 to 1"),
        ("app1:1(0.5", "from 0 to 1"),
        ("app(1:1", "not a regular expression"),
    ] {
        let said = mistake(|it| it.user_redirect_preference_list = list.into());
        assert!(said.starts_with(&format!("user_redirect_preference_list = \"{list}\": ")), "{said}");
        assert!(said.contains(why), "{said}");
    }
    for list in ["t1", ":t2", "t1:", "t1:f()", "a:b:c"] {
        let said = mistake(|it| it.dml_adaptive_object_relationship_list = list.into());
        assert!(said.starts_with("dml_adaptive_object_relationship_list = "), "{said}");
    }
}

#[test]
fn the_sessions_plan_says_whose_writes_are_read() {
    let plan = |change: fn(&mut Config)| {
        let plan = balance(change, &cluster([0.0, 1.0, 1.0])).plan(&client(), 0);
        (plan.read_after, plan.wait_millis)
    };
    assert_eq!(plan(|_| {}), (Some(ReadAfter::Nothing), 1000));
    assert_eq!(plan(|it| it.read_your_writes = "session".into()), (Some(ReadAfter::Session), 1000));
    let user = |it: &mut Config| {
        it.read_your_writes = "user".into();
        it.read_your_writes_timeout = 20;
    };
    assert_eq!(plan(user), (Some(ReadAfter::User), 20));
}

#[test]
fn the_reason_is_told() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    assert_eq!(balance.why(), "nothing was routed");
    balance.go(READ, state(Transaction::Idle, 0));
    assert_eq!(balance.why(), "home, chosen by weight");
    let written = balance.go(WRITE, state(Transaction::Open, 0)).transaction_memory;
    assert_eq!(balance.why(), "the statement itself is for the primary");
    balance.go(READ, state(Transaction::Open, written));
    assert_eq!(balance.why(), "write in this transaction: disable_load_balance_on_write = transaction");
    balance.go(SET, state(Transaction::Idle, 0));
    assert_eq!(balance.why(), "the statement itself is for all servers of the session");
}

#[test]
fn without_a_primary_reads_go_on_and_nothing_else() {
    let nodes = [node(0, NodeRole::Unknown, 1.0, false), node(1, NodeRole::Standby, 1.0, true)];
    let mut balance = balance(|_| {}, &nodes);
    let home = balance.plan(&client(), 0).home;
    let read = balance.go(READ, SessionState { home, ..state(Transaction::Idle, 0) });
    assert_eq!((read.servers, read.node), (Servers::Any, 1));
    assert_eq!(balance.go(WRITE, state(Transaction::Idle, 0)).servers, Servers::Primary);
}

#[test]
fn with_the_default_settings_nothing_is_asked_of_the_proxy() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let host = FakeHost::new();
    balance.plan_session(&client(), 0, &host);
    for statement in [READ, WRITE, BEGIN, SET] {
        for transaction in [Transaction::Idle, Transaction::Open, Transaction::Failed] {
            let decision = balance.decide(statement, state(transaction, 0), &host);
            assert!(!decision.tell_end && decision.steady);
        }
    }
    balance.ended(true, &host);
    assert!(host.calls().is_empty(), "{:?}", host.calls());
}
