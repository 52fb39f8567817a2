#![allow(clippy::unwrap_used)]
use super::*;

fn patterns(texts: &[&str]) -> Result<Patterns, String> {
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    Patterns::new("key", &texts)
}

#[test]
fn patterns_are_posix_extended_expressions() {
    for (pattern, yes, no) in [
        ("f_.*", &["f_", "F_Vol", "f_a\nb"][..], &["xf_", "f"][..]),
        ("now", &["now", "NOW"], &["know", "now_", "pg_catalog.now"]),
        ("^now$", &["now"], &["nows"]),
        ("(get|is)_.+", &["get_a", "IS_b"], &["get_", "set_a"]),
        ("a|b", &["ax", "xb"], &["xax"]),
        ("[[:alpha:]_]+[[:digit:]]{2,3}", &["f_12", "f123"], &["f1", "12", "f1234"]),
        ("[^[:space:]]+", &["ab"], &["a b"]),
        (r"[\a]", &["\\", "a"], &["b"]),
        ("[]a]", &["]", "a"], &["["]),
        ("[^]a]", &["["], &["]", "a"]),
        ("[a&&b~~]", &["&", "~", "b"], &["c"]),
        ("[[a]", &["[", "a"], &["b"]),
        ("[a-c-]", &["b", "-"], &["d"]),
        (r"pg_catalog\.f", &["pg_catalog.f"], &["pg_catalogxf"]),
        (r"a\;b\d", &["a;bd"], &["a;b1"]),
        (r"\w+ \bx", &["ab_1 x"], &["a-b x"]),
        ("SELECT .* FROM t;?", &["select * from \"T\";", "SELECT 1 FROM t"], &["SELECT 1 FROM t; SELECT 2"]),
        ("ä+", &["ä", "ää"], &["Ä"]),
    ] {
        let patterns = patterns(&[pattern]).unwrap();
        for text in yes {
            assert!(patterns.matches(text), "{pattern} should match {text}");
        }
        for text in no {
            assert!(!patterns.matches(text), "{pattern} should not match {text}");
        }
    }
}

#[test]
fn one_of_several_is_enough_and_none_matches_nothing() {
    let several = patterns(&["a", "b"]).unwrap();
    assert!(several.matches("b") && !several.matches("c"));
    assert!(!patterns(&[]).unwrap().matches(""));
}

#[test]
fn a_text_too_long_to_look_at_is_taken_to_match() {
    let long = "x".repeat(LONGEST + 1);
    assert!(patterns(&["a"]).unwrap().matches(&long));
    assert!(!patterns(&[]).unwrap().matches(&long));
}

#[test]
fn what_is_no_pattern_is_named() {
    for wrong in ["(", "[a", "a{2,1}", r"(a)\1", "[[:nosuch:]]", "[[:alpha"] {
        let error = patterns(&[wrong]).unwrap_err();
        assert!(error.contains("`key`") && error.contains(wrong), "{error}");
    }
}
