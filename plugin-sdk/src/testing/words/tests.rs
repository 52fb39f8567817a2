#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_table as table;

/// The table's words are the contract's, all of them, in the same order.
#[test]
fn every_word_has_a_value() {
    let back = |words: &[&str], value: &dyn Fn(&str) -> String| {
        for wanted in words {
            assert_eq!(value(wanted), *wanted);
        }
    };
    back(table::KINDS, &|wanted| word(kind(wanted).unwrap()));
    back(table::SERVERS, &|wanted| word(servers(wanted).unwrap()));
    back(table::DEPENDS, &|wanted| word(depends(wanted).unwrap()));
    back(table::TRANSACTIONS, &|wanted| word(transaction(wanted).unwrap()));
    back(table::NODE_ROLES, &|wanted| word(node_role(wanted).unwrap()));
    back(table::VOLATILITIES, &|wanted| word(volatility(wanted).unwrap()));
    assert_eq!(table::KINDS.len(), Kind::Utility as usize + 1);
    assert!(kind("selct").is_err());
}

#[test]
fn flags_are_lists_of_words() {
    assert_eq!(effect_words(Effects::all()), table::EFFECTS);
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(effects(&owned(table::EFFECTS)), Ok(Effects::all()));
    assert_eq!(relation_facts(&owned(table::RELATION_FACTS)), Ok(RelationFacts::all()));
    assert!(relation_facts(&["tabel".to_owned()]).unwrap_err().contains("tabel"));
}
