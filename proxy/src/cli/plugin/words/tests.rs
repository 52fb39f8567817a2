#![allow(clippy::unwrap_used)]

use waypool_plugin_table::{
    DEPENDS, EFFECTS, KINDS, NODE_ROLES, RELATION_FACTS, SERVERS, TRANSACTIONS, VOLATILITIES,
};

use super::*;

/// Every word that a table may have is one of the contract, and comes back.
#[test]
fn all_words_of_tables_are_known() {
    fn check<T: Debug>(words: &[&str], named: impl Fn(&str) -> Result<T, String>) {
        for wanted in words {
            assert_eq!(word(named(wanted).unwrap()), *wanted);
        }
    }
    check(KINDS, kind);
    check(SERVERS, servers);
    check(DEPENDS, depends);
    check(TRANSACTIONS, transaction);
    check(NODE_ROLES, node_role);
    check(VOLATILITIES, volatility);
    let all: Vec<String> = EFFECTS.iter().map(ToString::to_string).collect();
    assert_eq!(effect_words(effects(&all).unwrap()), all);
    assert!(RELATION_FACTS.iter().all(|word| relation_fact(word).is_some()));
    assert!(kind("selekt").is_err());
}
