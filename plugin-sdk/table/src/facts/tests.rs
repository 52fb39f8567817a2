#![allow(clippy::unwrap_used)]

use super::*;

fn facts(text: &str) -> Facts {
    toml::from_str(text).unwrap()
}

#[test]
fn names_are_looked_up_as_in_the_catalog() {
    let facts = facts(
        r#"
        functions = { "a.f" = "immutable", "b.f" = "volatile", g = "stable" }
        operators = { "<->" = "stable" }
        relations = { "a.t" = "table", "b.t" = ["view", "volatile"], v = "view" }
        "#,
    );
    assert_eq!(facts.function(Some("a"), "f"), Fact::Found("immutable"));
    assert_eq!(facts.function(None, "f"), Fact::Found("volatile"));
    assert_eq!(facts.function(Some("any"), "g"), Fact::Found("stable"));
    assert_eq!(facts.function(Some("c"), "f"), Fact::Missing);
    assert_eq!((facts.operator("<->"), facts.operator("->")), (Fact::Found("stable"), Fact::Missing));
    assert_eq!(facts.relation(Some("a"), "t"), Fact::Found(vec![]));
    assert_eq!(facts.relation(None, "t"), Fact::Found(vec!["view", "volatile"]));
}

#[test]
fn a_case_adds_to_the_table() {
    let table = facts(r#"functions = { f = "stable", g = "stable" }"#);
    let both = table.and(&facts("functions = { f = \"volatile\" }\nunknown = true"));
    assert_eq!(both.function(None, "f"), Fact::Found("volatile"));
    assert_eq!(both.function(None, "g"), Fact::Found("stable"));
    assert_eq!(both.relation(None, "t"), Fact::Unknown);
}

#[test]
fn wrong_words_are_named() {
    let error = |text| toml::from_str::<Facts>(text).unwrap_err().to_string();
    assert!(error("functions = { f = \"vollatile\" }").contains("none of immutable, stable, volatile"));
    assert!(error("relations = { t = \"tabel\" }").contains("\"tabel\" is none of temporary"));
    assert!(error("relations = { t = 1 }").contains("was expected"));
}
