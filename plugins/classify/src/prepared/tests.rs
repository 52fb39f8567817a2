#![allow(clippy::unwrap_used)]
use crate::tests::{plain, verdict};
use waypool_plugin_sdk::Effects as E;

#[test]
fn nesting_ends_at_once() {
    let deep = "EXPLAIN ".repeat(10_000) + "SELECT 1";
    for text in [deep.as_str(), "PREPARE p AS PREPARE q AS SELECT 1", "EXPLAIN", "PREPARE p AS", "EXECUTE"] {
        assert!(verdict(text, &plain()).effects.contains(E::UNPARSED));
    }
}
