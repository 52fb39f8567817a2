use super::*;

#[test]
fn comments_say_whether_to_lock() {
    assert!(starts_with("/*insert lock*/ INSERT INTO t VALUES (1)", LOCK));
    assert!(!starts_with("/*NO INSERT LOCK*/ INSERT", LOCK));
    assert!(starts_with("/*NO INSERT LOCK*/ INSERT", NO_LOCK));
    assert!(!starts_with("INSERT", LOCK));
}
