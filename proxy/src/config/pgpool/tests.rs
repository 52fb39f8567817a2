#![allow(clippy::unwrap_used)]

use super::{Kind, Number, PLACES, find, parameters};

#[test]
fn every_line_of_the_table_is_understood() {
    let lines = include_str!("parameters.tsv").lines().count();
    assert_eq!(parameters().count(), lines);
    let names: Vec<&str> = parameters().map(|parameter| parameter.name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "sorted, each once");
    for parameter in parameters() {
        assert_eq!(parameter.kind == Kind::Word, !parameter.words.is_empty(), "{}", parameter.name);
        assert!(!parameter.fate.is_empty(), "{}", parameter.name);
        if let Some(newer) = parameter.fate.strip_prefix('=') {
            assert!(find(newer).is_some(), "{newer}");
        }
    }
}

#[test]
fn found_by_name_and_number() {
    let (weight, number) = find("Backend_Weight12").unwrap();
    assert_eq!((weight.name, weight.number, number), ("backend_weight", Number::Always, Some(12)));
    assert_eq!(find("connect_timeout").unwrap().1, None);
    assert_eq!(find("connect_timeout3").unwrap().1, Some(3));
    assert_eq!(find("delegate_IP").unwrap().0.name, "delegate_ip");
    assert_eq!(find("port0"), None);
    assert_eq!(find("backend_weight"), None);
    assert_eq!(find("frobnicate"), None);
    assert_eq!(find("backend_weight99999999999999999999"), None);
}

#[test]
fn hints_are_about_parameters() {
    for (name, _) in PLACES {
        let known = parameters().any(|parameter| parameter.name == *name);
        assert!(known, "{name}");
    }
}
