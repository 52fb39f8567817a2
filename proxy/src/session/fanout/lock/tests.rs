use super::*;

#[test]
fn names_are_quoted() {
    assert_eq!(quoted("public.t Space"), "\"public\".\"t Space\"");
    assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    assert_eq!(literal("it's \\"), "E'it''s \\\\'");
}

#[test]
fn comments_say_whether_to_lock() {
    assert!(starts_with("/*insert lock*/ INSERT INTO t VALUES (1)", LOCK));
    assert!(!starts_with("/*NO INSERT LOCK*/ INSERT", LOCK));
    assert!(starts_with("/*NO INSERT LOCK*/ INSERT", NO_LOCK));
    assert!(!starts_with("INSERT", LOCK));
}
