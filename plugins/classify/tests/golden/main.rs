//! The recorded answers of Pgpool-II (`tests/golden`), asked of the default
//! classifier and balancer together.
#![allow(clippy::unwrap_used)]

mod catalog;
mod model;
mod recording;

use model::{Configuration, Session};
use recording::{Recorded, load};
use waypool_classify::{CheckTempTable, List};

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
const VIEW: &str = "the view calls a volatile function: the same query without a view goes to the primary";
const AFTER_VIEW: &str = "the view of a volatile function counts as a write, as the function itself does";
const SET_ON_STANDBY: &str = "a setting or a lock on the standby alone is not there for the session's writes";

const fn difference(case: &'static str, step: usize, reason: &'static str) -> Difference {
    Difference { case, step, nodes: "0", reason }
}

/// With the catalog as the judge of functions
const CATALOG: &[Difference] =
    &[difference("functions builtin", 13, TRANSACTION_ID), difference("relations special", 7, VIEW)];

/// Where a read follows the writes of its transaction to the primary
const SAVEPOINTS: &[Difference] = &[
    difference("dml adaptive", 11, ROLLBACK_TO),
    difference("rollback to keeps earlier write", 5, ROLLBACK_TO),
];

/// With write_function_list
const LISTED: &[Difference] = &[
    difference("functions builtin", 9, SET_ON_STANDBY),
    difference("functions builtin", 11, SET_ON_STANDBY),
];

/// Runs all sessions and compares each statement's servers.
fn compare(variant: &str, configuration: &Configuration, differences: &[&[Difference]]) {
    let differences: Vec<&Difference> = differences.iter().copied().flatten().collect();
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
                None if nodes != step.nodes => {
                    wrong.push(format!("{step:?}\n    here: {nodes} ({reason})"));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {statements} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(explained, differences.len(), "a difference is listed that is none");
    assert!(explained * 20 <= statements, "{explained} of {statements} are other than in Pgpool-II");
    assert!(statements > 200, "only {statements} statements were recorded");
}

fn with(change: impl FnOnce(&mut Configuration)) -> Configuration {
    let mut configuration = Configuration::default();
    change(&mut configuration);
    configuration
}

fn list(text: &str) -> List {
    List::Text(text.to_owned())
}

#[test]
fn default_configuration() {
    compare("sr-4.8.base", &Configuration::default(), &[CATALOG, SAVEPOINTS]);
}

#[test]
fn statement_level_load_balance() {
    let changed = with(|it| it.balance.statement_level_load_balance = true);
    compare("sr-4.8.stmt_level", &changed, &[CATALOG, SAVEPOINTS]);
}

#[test]
fn load_balance_mode_off() {
    let changed = with(|it| it.balance.load_balance_mode = false);
    compare("sr-4.8.lb_off", &changed, &[]);
}

fn after_writes(how: &str) -> Configuration {
    with(|it| it.balance.disable_load_balance_on_write = how.to_owned())
}

#[test]
fn disable_load_balance_on_write_off() {
    compare("sr-4.8.dlbow_off", &after_writes("off"), &[CATALOG]);
}

#[test]
fn disable_load_balance_on_write_trans_transaction() {
    compare("sr-4.8.dlbow_trans", &after_writes("trans_transaction"), &[CATALOG]);
}

#[test]
fn disable_load_balance_on_write_always() {
    let after_view = [8, 9, 10, 11, 12, 13, 14, 17, 18];
    let after_view = after_view.map(|step| difference("relations special", step, AFTER_VIEW));
    compare("sr-4.8.dlbow_always", &after_writes("always"), &[&CATALOG[1..], &after_view]);
}

#[test]
fn disable_load_balance_on_write_dml_adaptive() {
    compare("sr-4.8.dlbow_dml_adaptive", &after_writes("dml_adaptive"), &[CATALOG, SAVEPOINTS]);
}

#[test]
fn allow_sql_comments() {
    let changed = with(|it| it.classify.allow_sql_comments = true);
    compare("sr-4.8.sqlcomments", &changed, &[CATALOG, SAVEPOINTS]);
}

#[test]
fn read_only_function_list() {
    let changed = with(|it| it.classify.read_only_function_list = list("f_.*,now"));
    compare("sr-4.8.rolist", &changed, &[SAVEPOINTS]);
}

#[test]
fn write_function_list() {
    let changed = with(|it| it.classify.write_function_list = list("f_stab,nextval,setval"));
    compare("sr-4.8.wrlist", &changed, &[LISTED, SAVEPOINTS]);
}

#[test]
fn primary_routing_query_pattern_list() {
    let changed = with(|it| it.classify.primary_routing_query_pattern_list = list("SELECT 1.*;.*t2.*"));
    compare("sr-4.8.patt", &changed, &[CATALOG, SAVEPOINTS]);
}

#[test]
fn check_temp_table_trace() {
    let changed = with(|it| it.classify.check_temp_table = CheckTempTable::Trace);
    compare("sr-4.8.temp_trace", &changed, &[CATALOG, SAVEPOINTS]);
}

#[test]
fn check_temp_table_none() {
    let changed = with(|it| it.classify.check_temp_table = CheckTempTable::None);
    compare("sr-4.8.temp_none", &changed, &[CATALOG, SAVEPOINTS]);
}

#[test]
fn check_unlogged_table_off() {
    let changed = with(|it| it.classify.check_unlogged_table = false);
    compare("sr-4.8.unlogged_off", &changed, &[CATALOG, SAVEPOINTS]);
}

/// No recording of streaming replication mode is left out but that of 4.3.5,
/// whose rules are older: 19 of its answers differ from 4.8's.
#[test]
fn every_variant_is_compared() {
    let source = include_str!("main.rs");
    for variant in recording::variants() {
        let compared = source.contains(&format!("compare(\"{variant}\""));
        assert!(compared || !variant.starts_with("sr-4.8."), "{variant} is not compared");
    }
}

#[test]
fn every_recorded_session_is_read() {
    let sessions = load("sr-4.8.base");
    let all: Vec<&Recorded> = sessions.iter().flatten().collect();
    let lines = recording::expected("sr-4.8.base").lines().count() - 1;
    assert_eq!(all.len(), lines);
}
