#![allow(clippy::unwrap_used)]

use super::*;

fn matches(pattern: &str, name: &str) -> bool {
    Pattern::parse(pattern).unwrap().matches(name)
}

#[test]
fn a_name_is_that_name() {
    assert!(matches("app", "app"));
    assert!(!matches("app", "apps"));
    assert!(!matches("a.p", "app"));
}

#[test]
fn after_a_slash_an_expression_is_searched_for() {
    assert!(matches("/p", "app"));
    assert!(matches("/^(app|web)_[0-9]+$", "web_12"));
    assert!(!matches("/^(app|web)_[0-9]+$", "my_web_12"));
}

#[test]
fn the_error_is_one_line() {
    assert_eq!(Pattern::parse("/a(").unwrap_err(), "is no regular expression: unclosed group");
}

#[test]
fn shown_and_compared_as_written() {
    let parse = |text| Pattern::parse(text).unwrap();
    assert_eq!(parse("/a+").to_string(), "/a+");
    assert_eq!(parse("a").to_string(), "a");
    assert_eq!(parse("/a+"), parse("/a+"));
    assert_ne!(parse("/a"), parse("a"));
}
