#![allow(clippy::unwrap_used)]
use super::*;

fn read(json: &str) -> Result<Rules, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn lists_are_arrays_or_strings_with_separators() {
    for (json, separator, items) in [
        (r#"["a", "b,c", ""]"#, ',', &["a", "b,c"][..]),
        (r#"" a , b\\,c,,"  "#, ',', &["a", "b\\,c"]),
        (r#""SELECT 1.*; x ;a\\;b""#, ';', &["SELECT 1.*", " x ", "a\\;b"]),
        (r#""a\\\\;b""#, ';', &["a\\\\", "b"]),
        (r#""""#, ',', &[]),
        ("[]", ',', &[]),
    ] {
        let list: List = serde_json::from_str(json).unwrap();
        assert_eq!(list.items(separator), items, "{json}");
    }
    let error = read(r#"{"write_function_list": 5}"#).unwrap_err();
    assert!(error.contains("a string or an array of strings"), "{error}");
}

#[test]
fn switches_are_booleans_or_words() {
    for (value, expected) in [
        ("true", CheckTempTable::Catalog),
        ("false", CheckTempTable::None),
        ("\"on\"", CheckTempTable::Catalog),
        ("\"catalog\"", CheckTempTable::Catalog),
        ("\"Trace\"", CheckTempTable::Trace),
        ("\"none\"", CheckTempTable::None),
        ("\"off\"", CheckTempTable::None),
    ] {
        let rules = read(&format!(r#"{{"check_temp_table": {value}}}"#)).unwrap();
        assert_eq!(rules.check_temp_table, expected, "{value}");
    }
    assert!(read(r#"{"check_temp_table": "some"}"#).unwrap_err().contains("catalog, trace"));
    for (value, expected) in [("true", true), ("\"on\"", true), ("false", false), ("\"off\"", false)] {
        let rules = read(&format!(r#"{{"check_unlogged_table": {value}}}"#)).unwrap();
        assert_eq!(rules.check_unlogged_table, expected);
    }
    assert!(read(r#"{"allow_sql_comments": "perhaps"}"#).unwrap_err().contains("perhaps"));
    assert!(read(r#"{"alow_sql_comments": true}"#).unwrap_err().contains("unknown field"));
}

#[test]
fn contradictions_and_wrong_patterns_are_refused() {
    let rules = |json| Policy::new(read(json).unwrap()).map(|_| ());
    let both = rules(r#"{"read_only_function_list": "a", "write_function_list": ["b"]}"#);
    assert!(both.unwrap_err().contains("exclude each other"));
    let wrong = rules(r#"{"write_function_list": "f("}"#).unwrap_err();
    assert!(wrong.contains("write_function_list") && wrong.contains("f("), "{wrong}");
    // Empty is as if it were not there.
    assert_eq!(rules(r#"{"read_only_function_list": "", "write_function_list": "b"}"#), Ok(()));
}
