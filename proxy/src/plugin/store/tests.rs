use super::*;

#[test]
fn values_are_kept_as_long_as_they_were_told() {
    let store = Store::default();
    assert_eq!(store.get("a"), None);
    assert!(store.set("a".to_owned(), 1, None));
    assert!(store.set("b".to_owned(), 2, Some(0)));
    assert!(store.set("c".to_owned(), 3, Some(u64::MAX)));
    assert_eq!((store.get("a"), store.get("b"), store.get("c")), (Some(1), None, Some(3)));
    assert!(store.set("a".to_owned(), 4, Some(3_600_000)));
    assert_eq!(store.get("a"), Some(4));
}

#[test]
fn a_full_store_takes_what_replaces_something() {
    let store = Store::default();
    for number in 0..MAX_ENTRIES {
        assert!(store.set(number.to_string(), 0, None));
    }
    assert!(!store.set("one more".to_owned(), 0, None));
    assert!(store.set("7".to_owned(), 9, Some(0)));
    // What is over makes room.
    assert!(store.set("one more".to_owned(), 1, None));
    assert_eq!((store.get("one more"), store.get("7")), (Some(1), None));
    assert!(!store.set("x".repeat(MAX_KEY_BYTES + 1), 0, None));
}
