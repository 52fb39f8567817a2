use super::*;

fn of(kind: Kind, status: TransactionStatus, first: &str) -> Plan {
    let mut verdict = Verdict::conservative("a test");
    verdict.kind = kind;
    verdict.effects = Effects::WRITES;
    plan(&verdict, status, first)
}

#[test]
fn what_writes_runs_on_main_first_and_in_a_transaction() {
    use TransactionStatus::{Idle, Open};
    let insert = of(Kind::Dml, Idle, "insert");
    assert_eq!((insert.order, insert.internal, insert.writes), (Order::MainFirst, true, true));
    assert!(!of(Kind::Dml, Open, "insert").internal, "there is one already");
    assert!(!of(Kind::Utility, Idle, "VACUUM").internal);
    assert!(of(Kind::Utility, Idle, "call").internal);
    assert_eq!(of(Kind::Set, Idle, "set").order, Order::AtOnce);
    assert_eq!(of(Kind::Commit, Open, "commit").order, Order::Commit);
    assert_eq!(of(Kind::Commit, Idle, "commit").order, Order::AtOnce);
}

#[test]
fn together_main_goes_first() {
    use TransactionStatus::Idle;
    let both = of(Kind::Set, Idle, "set").and(of(Kind::Dml, Idle, "insert"));
    assert_eq!((both.order, both.internal, both.several), (Order::MainFirst, true, true));
}

#[test]
fn the_first_word_stands_behind_comments() {
    assert_eq!(first_word(b" /* a */ -- b\n vacuum full"), "vacuum");
    assert_eq!(first_word(b"-- nothing"), "");
    assert_eq!(first_word(b"/* open"), "");
    assert_eq!(first_word(b"(SELECT 1)"), "");
}
