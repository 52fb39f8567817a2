#![allow(clippy::unwrap_used)]

use super::{decode, encode};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    limit: u32,
    names: Vec<String>,
    nested: Nested,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Nested {
    strict: bool,
}

#[test]
fn nothing_is_the_default() {
    assert_eq!(decode::<Config>("{}"), Ok(Config::default()));
    assert_eq!(decode::<()>("{}"), Ok(()));
}

#[test]
fn a_wrong_value_names_its_key() {
    let error = decode::<Config>(r#"{"nested":{"strict":"yes"}}"#).unwrap_err();
    assert!(error.contains("`nested.strict`"), "{error}");
}

#[test]
fn an_unknown_key_is_named() {
    let error = decode::<Config>(r#"{"limitt":3}"#).unwrap_err();
    assert!(error.contains("limitt"), "{error}");
    assert!(error.contains("`limit`"), "{error}");
}

#[test]
fn values_are_decoded() {
    let config = decode::<Config>(r#"{"limit":3,"names":["a"]}"#);
    let expected = Config { limit: 3, names: vec!["a".into()], ..Config::default() };
    assert_eq!(config, Ok(expected));
}

#[test]
fn a_description_has_the_defaults() {
    assert_eq!(encode(&Config::default()), r#"{"limit":0,"names":[],"nested":{"strict":false}}"#);
    assert_eq!(encode(&()), "{}");
}
