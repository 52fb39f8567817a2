#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, table};

// Most of what there is to say is said there.
table!(Firewall, "tests/table.toml", rewriter);

/// An answer that asked for the time is asked for again each time.
#[test]
fn only_ddl_asks_for_the_time() {
    let config = Config { ddl_window: "23:00-01:30".to_owned(), ..Config::default() };
    let mut plugin = Firewall::new(config).unwrap();
    let host = FakeHost::new();
    for text in ["SELECT 1", "DELETE FROM t", "CREATE TEMP TABLE t (a int)", "TRUNCATE t"] {
        plugin.rewrite(text, &host).unwrap();
        assert!(!host.calls().contains_key("now"), "{text}");
    }
    plugin.rewrite("DROP TABLE t", &host).unwrap();
    assert_eq!(host.calls()["now"], 1);
    assert_eq!(host.counted("refused_texts"), 2);
}

#[test]
fn some_may_look_at_nothing() {
    let config = Config { forbidden: BTreeSet::new(), whole_table: BTreeSet::new(), ..Config::default() };
    let mut plugin = Firewall::new(config).unwrap();
    for text in ["DO 'BEGIN DELETE FROM t; END'", "DELETE FROM t", "TRUNCATE t"] {
        assert_eq!(plugin.rewrite(text, &FakeHost::new()).unwrap(), Plan::Keep(Depends::Shape));
    }
}

#[test]
fn mistakes_are_named() {
    let config = Config { whole_table: ["drop".to_owned()].into(), ..Config::default() };
    let said = Firewall::new(config).unwrap_err().to_string();
    assert_eq!(said, "whole_table: \"drop\" is none of delete, update, truncate");
    for window in ["noon", "02:00", "02:00-02:00", "25:00-26:00", "01:60-02:00"] {
        let config = Config { ddl_window: window.to_owned(), ..Config::default() };
        let said = Firewall::new(config).unwrap_err().to_string();
        assert_eq!(said, format!("ddl_window = \"{window}\": write it as \"22:30-02:00\""));
    }
}
