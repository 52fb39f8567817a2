//! The recorded answers of Pgpool-II (`tests/golden`), asked of the default
//! classifier and balancer together.
#![allow(clippy::unwrap_used)]

mod catalog;
mod model;
mod recording;

use model::{Configuration, Session};
use recording::{Recorded, load};

/// Where Waypool decides otherwise because Pgpool-II's answer is wrong for the
/// user: case, step, the servers that Waypool asks, and why.
struct Difference {
    case: &'static str,
    step: usize,
    nodes: &'static str,
    reason: &'static str,
}

const ROLLBACK_TO: &str = "what was written before the savepoint is still written: a read \
                           elsewhere would not see it";
const TRANSACTION_ID: &str = "the function assigns a transaction ID: on a standby it fails";

const DIFFERENCES: &[Difference] = &[
    Difference { case: "functions builtin", step: 13, nodes: "0", reason: TRANSACTION_ID },
    Difference { case: "dml adaptive", step: 11, nodes: "0", reason: ROLLBACK_TO },
    Difference { case: "rollback to keeps earlier write", step: 5, nodes: "0", reason: ROLLBACK_TO },
];

/// Runs all sessions and compares each statement's servers.
fn compare(variant: &str, configuration: &Configuration, differences: &[Difference]) {
    let mut wrong = Vec::new();
    let mut explained = 0;
    let sessions = load(variant);
    let statements: usize = sessions.iter().map(Vec::len).sum();
    for steps in &sessions {
        let mut session = Session::start(configuration);
        for step in steps {
            let (nodes, reason) = session.run(step);
            let difference = differences.iter().find(|it| it.case == step.case && it.step == step.step);
            match difference {
                Some(difference) if nodes != step.nodes => {
                    assert_eq!(nodes, difference.nodes, "{step:?}: {}", difference.reason);
                    explained += 1;
                }
                // The same as Pgpool-II after all, in this variant
                Some(_) => explained += 1,
                None if nodes != step.nodes => {
                    wrong.push(format!("{step:?}\n    here: {nodes} ({reason})"));
                }
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {statements} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(explained, differences.len(), "a difference is listed that is none");
    assert!(statements > 200, "only {statements} statements were recorded");
}

fn base(change: impl FnOnce(&mut Configuration)) -> Configuration {
    let mut configuration = Configuration::default();
    change(&mut configuration);
    configuration
}

#[test]
fn default_configuration() {
    compare("sr-4.8.base", &Configuration::default(), DIFFERENCES);
}

#[test]
fn statement_level_load_balance() {
    let changed = base(|it| it.balance.statement_level_load_balance = true);
    compare("sr-4.8.stmt_level", &changed, DIFFERENCES);
}

#[test]
fn load_balance_mode_off() {
    let changed = base(|it| it.balance.load_balance_mode = false);
    compare("sr-4.8.lb_off", &changed, &[]);
}

#[test]
fn disable_load_balance_on_write_off() {
    let changed = base(|it| it.balance.disable_load_balance_on_write = "off".to_owned());
    compare("sr-4.8.dlbow_off", &changed, &DIFFERENCES[..1]);
}

#[test]
fn disable_load_balance_on_write_trans_transaction() {
    let changed = base(|it| it.balance.disable_load_balance_on_write = "trans_transaction".to_owned());
    compare("sr-4.8.dlbow_trans", &changed, &DIFFERENCES[..1]);
}

#[test]
fn disable_load_balance_on_write_always() {
    let changed = base(|it| it.balance.disable_load_balance_on_write = "always".to_owned());
    compare("sr-4.8.dlbow_always", &changed, &[]);
}

#[test]
fn allow_sql_comments() {
    let changed = base(|it| it.classify.allow_sql_comments = true);
    compare("sr-4.8.sqlcomments", &changed, DIFFERENCES);
}

#[test]
fn check_temp_table_none() {
    let changed = base(|it| it.classify.check_temp_table = waypool_classify::CheckTempTable::None);
    compare("sr-4.8.temp_none", &changed, DIFFERENCES);
}

#[test]
fn check_unlogged_table_off() {
    let changed = base(|it| it.classify.check_unlogged_table = false);
    compare("sr-4.8.unlogged_off", &changed, DIFFERENCES);
}

#[test]
fn every_recorded_session_is_read() {
    let sessions = load("sr-4.8.base");
    let all: Vec<&Recorded> = sessions.iter().flatten().collect();
    let lines = recording::expected("sr-4.8.base").lines().count() - 1;
    assert_eq!(all.len(), lines);
}
