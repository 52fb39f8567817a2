#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::table;

table!(HouseRules, "tests/table.toml", rewriter);

#[test]
fn mistakes_are_named() {
    let config = Config { renames: [("a".to_owned(), " ".to_owned())].into(), ..Config::default() };
    assert_eq!(HouseRules::new(config).unwrap_err().to_string(), "renames.a is empty: remove the line");
}
