#![allow(clippy::unwrap_used)]
use super::*;
use waypool_plugin_sdk::{Effects, Kind, NodeRole};

fn node(id: u32, role: NodeRole, weight: f64, usable: bool) -> Node {
    Node { id, role, usable, weight, lag_bytes: 0, lag_micros: 0 }
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
    balance.topology(nodes);
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
    SessionState { transaction, transaction_memory, session_memory: 0, home: 1, random: 0 }
}

#[test]
fn a_home_is_chosen_by_weight() {
    let mut balance = balance(|_| {}, &cluster([1.0, 0.0, 3.0]));
    let mut chosen = [0; 3];
    for part in 0..1024u64 {
        chosen[balance.session_start(&client(), part << 54) as usize] += 1;
    }
    assert_eq!(chosen, [256, 0, 768]);
    assert_eq!(balance.session_start(&client(), u64::MAX), 2);
}

#[test]
fn without_weights_the_primary_is_home() {
    let mut balance = balance(|_| {}, &cluster([0.0, 0.0, f64::NAN]));
    assert_eq!(balance.session_start(&client(), u64::MAX / 2), 0);
}

#[test]
fn reads_stay_home_until_the_transaction_writes() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let begun = balance.route(BEGIN, state(Transaction::Idle, 7));
    assert_eq!((begun.servers, begun.node, begun.transaction_memory), (Servers::All, 1, 0));
    let read = balance.route(READ, state(Transaction::Open, begun.transaction_memory));
    assert_eq!((read.servers, read.node), (Servers::Any, 1));
    let write = balance.route(WRITE, state(Transaction::Open, read.transaction_memory));
    assert_eq!((write.servers, write.node), (Servers::Primary, 0));
    let read = balance.route(READ, state(Transaction::Open, write.transaction_memory));
    assert_eq!((read.servers, read.node), (Servers::Primary, 0));
    let back = Statement { kind: Kind::RollbackTo, servers: Servers::All, effects: Effects::empty() };
    let back = balance.route(back, state(Transaction::Failed, read.transaction_memory));
    assert_eq!(
        balance.route(READ, state(Transaction::Open, back.transaction_memory)).servers,
        Servers::Primary
    );
    let commit = Statement { kind: Kind::Commit, servers: Servers::All, effects: Effects::empty() };
    let commit = balance.route(commit, state(Transaction::Open, back.transaction_memory));
    assert_eq!(commit.transaction_memory, 0);
}

#[test]
fn a_write_outside_of_a_transaction_is_not_remembered() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let written = balance.route(WRITE, state(Transaction::Idle, 0));
    assert_eq!((written.transaction_memory, balance.route(READ, state(Transaction::Idle, 7)).node), (0, 1));
}

#[test]
fn serializable_reads_are_the_primarys() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let begin = Statement { effects: Effects::SERIALIZABLE, ..BEGIN };
    let begun = balance.route(begin, state(Transaction::Idle, 0));
    assert_eq!(balance.route(READ, state(Transaction::Open, begun.transaction_memory)).node, 0);
    // As the session's default: in transactions only
    let default = Statement { effects: Effects::SERIALIZABLE, servers: Servers::Primary, ..SET };
    let session_memory = balance.route(default, state(Transaction::Idle, 0)).session_memory;
    let idle = SessionState { session_memory, ..state(Transaction::Idle, 0) };
    let open = SessionState { session_memory, ..state(Transaction::Open, 0) };
    assert_eq!((balance.route(READ, idle).node, balance.route(READ, open).node), (1, 0));
}

#[test]
fn a_transaction_begun_among_others_is_the_primarys() {
    let mut balance = balance(|_| {}, &cluster([0.0, 1.0, 1.0]));
    let effects = Effects::MULTIPLE | Effects::TRANSACTION_INSIDE;
    let begin = Statement { kind: Kind::Unknown, servers: Servers::Primary, effects };
    let begun = balance.route(begin, state(Transaction::Idle, 0)).transaction_memory;
    assert_eq!(balance.route(SET, state(Transaction::Open, begun)).servers, Servers::Primary);
    assert_eq!(balance.route(READ, state(Transaction::Open, begun)).node, 1);
}

#[test]
fn a_home_that_is_gone_is_replaced_for_reads() {
    let mut nodes = cluster([0.0, 1.0, 1.0]);
    nodes[1].usable = false;
    let mut balance = balance(|_| {}, &nodes);
    let read = balance.route(READ, state(Transaction::Idle, 0));
    assert_eq!((read.servers, read.node), (Servers::Any, 2));
    let set = balance.route(SET, state(Transaction::Idle, 0));
    assert_eq!((set.servers, set.node), (Servers::Primary, 0));
    nodes[2].usable = false;
    balance.topology(&nodes);
    let read = balance.route(READ, state(Transaction::Idle, 0));
    assert_eq!((read.servers, read.node), (Servers::Primary, 0));
}

#[test]
fn a_home_that_became_the_primary_is_the_primary() {
    let nodes = [node(0, NodeRole::Unknown, 1.0, false), node(1, NodeRole::Primary, 1.0, true)];
    let mut balance = balance(|_| {}, &nodes);
    let read = balance.route(READ, state(Transaction::Idle, 0));
    assert_eq!((read.servers, read.node), (Servers::Primary, 1));
    assert_eq!(balance.route(WRITE, state(Transaction::Idle, 0)).node, 1);
}

#[test]
fn load_balancing_can_be_switched_off_or_be_done_by_statement() {
    let mut off = balance(|config| config.load_balance_mode = false, &cluster([0.0, 1.0, 1.0]));
    assert_eq!(off.session_start(&client(), 0), 0);
    assert_eq!(off.route(READ, state(Transaction::Idle, 0)).servers, Servers::Primary);
    assert_eq!(off.route(SET, state(Transaction::Idle, 0)).servers, Servers::Primary);
    let by_statement = |config: &mut Config| config.statement_level_load_balance = true;
    let mut each = balance(by_statement, &cluster([0.0, 1.0, 1.0]));
    let last = SessionState { random: u64::MAX, ..state(Transaction::Idle, 0) };
    assert_eq!(each.route(READ, last).node, 2);
}

#[test]
fn a_failed_write_is_no_write_for_the_session() {
    let always = |config: &mut Config| config.disable_load_balance_on_write = "always".into();
    let mut balance = balance(always, &cluster([0.0, 1.0, 1.0]));
    let session_memory = balance.route(WRITE, state(Transaction::Open, 0)).session_memory;
    let rollback = Statement { kind: Kind::Rollback, servers: Servers::All, effects: Effects::empty() };
    let mut read_after = |transaction| {
        let after = SessionState { session_memory, ..state(transaction, 0) };
        let session_memory = balance.route(rollback, after).session_memory;
        balance.route(READ, SessionState { session_memory, ..state(Transaction::Idle, 0) }).node
    };
    assert_eq!((read_after(Transaction::Failed), read_after(Transaction::Open)), (1, 0));
}

#[test]
fn values_that_are_not_known_are_refused() {
    for value in ["dml_adaptive", "dml_adaptive_global", "on"] {
        let config = Config { disable_load_balance_on_write: value.into(), ..Config::default() };
        assert!(Balance::new(config).unwrap_err().contains(value));
    }
}

#[test]
fn without_a_primary_reads_go_on_and_nothing_else() {
    let nodes = [node(0, NodeRole::Unknown, 1.0, false), node(1, NodeRole::Standby, 1.0, true)];
    let mut balance = balance(|_| {}, &nodes);
    let home = balance.session_start(&client(), 0);
    let read = balance.route(READ, SessionState { home, ..state(Transaction::Idle, 0) });
    assert_eq!((read.servers, read.node), (Servers::Any, 1));
    assert_eq!(balance.route(WRITE, state(Transaction::Idle, 0)).servers, Servers::Primary);
}
