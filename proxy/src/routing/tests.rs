#![allow(clippy::unwrap_used)]
use super::cache::{By, Cache, Key};

fn text(bytes: &[u8]) -> Key<'_> {
    Key { database: 0, by: By::Text, bytes }
}

#[test]
fn entries_differ_by_text_database_and_kind() {
    let mut cache = Cache::new(10_000);
    cache.insert(text(b"SELECT 1"), 1, 0);
    assert_eq!(cache.get(text(b"SELECT 1")), Some(&1));
    assert_eq!(cache.get(text(b"SELECT 2")), None);
    assert_eq!(cache.get(Key { database: 1, ..text(b"SELECT 1") }), None);
    assert_eq!(cache.get(Key { by: By::Shape, ..text(b"SELECT 1") }), None);
    cache.insert(text(b"SELECT 1"), 2, 0);
    assert_eq!(cache.get(text(b"SELECT 1")), Some(&2));
    assert_eq!(cache.len(), 1);
}

#[test]
fn memory_is_bounded_and_what_is_used_stays() {
    let mut cache = Cache::new(10_000);
    cache.insert(text(b"hot"), 0, 100);
    for number in 0..10_000u32 {
        cache.insert(text(&number.to_be_bytes()), number, 100);
        assert_eq!(cache.get(text(b"hot")), Some(&0));
    }
    assert!(cache.len() <= 100, "{} entries", cache.len());
}

#[test]
fn an_entry_larger_than_the_cache_is_not_kept() {
    let mut cache = Cache::new(1000);
    cache.insert(text(&[b'x'; 2000]), 1, 0);
    assert!(cache.is_empty());
}

#[test]
fn a_text_counts_as_seen_from_its_second_time() {
    let mut cache = Cache::<()>::new(1000);
    assert!(!cache.seen_before(text(b"a")));
    assert!(cache.seen_before(text(b"a")));
}

mod edits {
    use crate::plugin::contract::{Edit, Value};
    use crate::routing::edit::{Moments, apply};
    use std::time::{Duration, SystemTime};

    #[test]
    fn edits_leave_the_rest_of_the_text_alone() {
        let moments = Moments {
            transaction: SystemTime::UNIX_EPOCH,
            statement: SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000),
        };
        let edits = [
            Edit { start: 7, end: 12, value: Value::StatementTimestamp },
            Edit { start: 14, end: 15, value: Value::Literal("'x'".into()) },
        ];
        let edited = apply(b"SELECT now(), 1 /* c */", &edits, moments).unwrap();
        let expected = "SELECT '1970-01-01 00:00:01.500000+00'::pg_catalog.timestamptz, 'x' /* c */";
        assert_eq!(String::from_utf8(edited).unwrap(), expected);
    }

    #[test]
    fn edits_that_do_not_fit_are_an_error() {
        let now = SystemTime::now();
        let edits = [Edit { start: 2, end: 90, value: Value::Literal(String::new()) }];
        let moments = Moments { transaction: now, statement: now };
        assert_eq!(apply(b"SELECT 1", &edits, moments).unwrap_err().sqlstate, "38000");
    }
}
