#![allow(clippy::unwrap_used)]

use super::*;

fn edits(ranges: &[(u32, u32)]) -> Plan {
    let edit = |&(start, end)| Edit { start, end, value: Value::TransactionTimestamp };
    Plan::Edit(ranges.iter().map(edit).collect())
}

#[test]
fn edits_have_to_fit_the_text() {
    assert!(edits(&[(0, 1), (1, 2), (4, 4)]).check("text").is_ok());
    assert!(edits(&[(3, 5)]).check("text").unwrap_err().contains("not inside"));
    assert!(edits(&[(2, 1)]).check("text").unwrap_err().contains("not inside"));
    assert!(edits(&[(2, 4), (1, 2)]).check("text").unwrap_err().contains("in order"));
    assert!(edits(&[(0, 1)]).check("ä").unwrap_err().contains("boundaries"));
}

#[test]
fn a_refusal_needs_a_sqlstate() {
    let refusal = |sqlstate: &str| {
        Plan::Reject(Refusal { sqlstate: sqlstate.to_owned(), message: String::new(), hint: None })
    };
    assert!(refusal("42P01").check("").is_ok());
    for wrong in ["", "4250", "425011", "42p01", "ÄÄ1"] {
        assert!(refusal(wrong).check("").is_err(), "{wrong}");
    }
}

#[test]
fn flags_are_bits_in_the_contracts_order() {
    assert_eq!(Effects::WRITES.bits(), 1);
    assert_eq!(Effects::PRIMARY_RELATION.bits(), 1 << 9);
    assert_eq!(Effects::UNUSED_DATABASE.bits(), 1 << 10);
    assert_eq!(Effects::all().bits(), (1 << 11) - 1);
    let two = Effects::WRITES.union(Effects::LOCKS);
    assert_eq!(Effects::from_bits_truncate(two.bits() | 1 << 15), two);
    assert!(Effects::NONE.is_empty() && !two.is_empty());
    assert_eq!(RelationFacts::VIEW.bits(), 8);
}
