#![allow(clippy::unwrap_used)]
use super::*;
use crate::lexer::tests::{next, random_text};
use crate::{TokenKind, Tokens};

fn folded(text: &str) -> Option<String> {
    let mut out = Vec::new();
    match shape(text.as_bytes(), true, &mut out) {
        Shape::Folded => Some(String::from_utf8(out).unwrap()),
        Shape::Exact => {
            assert!(out.is_empty());
            None
        }
    }
}

#[test]
fn literals_space_and_comments_are_folded() {
    for (text, shape) in [
        ("SELECT abalance FROM a WHERE aid = 12345;", "SELECT abalance FROM a WHERE aid = 0;"),
        ("select 'a', 1.5e3,  -7\n\tfrom t", "select '', 0, -0 from t"),
        ("SELECT /*c*/ 1 -- end", "SELECT 0 "),
        ("SELECT a/*c*/b", "SELECT a b"),
        (
            "INSERT INTO t VALUES (1, 'it''s', B'01', N'x', E'y')",
            "INSERT INTO t VALUES (0, '', B'', N'', E'')",
        ),
        ("SELECT \"A 1\", $1, t1.a1 FROM t1", "SELECT \"A 1\", $1, t1.a1 FROM t1"),
        ("SELECT 'ä' || 'a'\n'b'", "SELECT '' || ''"),
        ("((SELECT 1))  ;  -- c", "((SELECT 0)) ;"),
        ("SELECT x - 1, x -1, x/2", "SELECT x - 0, x -0, x/0"),
        ("SELECT 't'::regclass, date'2020-01-01'", "SELECT ''::regclass, date''"),
        ("wItH x AS (SELECT 1) TABLE x", "wItH x AS (SELECT 0) TABLE x"),
    ] {
        assert_eq!(folded(text).as_deref(), Some(shape), "{text}");
    }
}

#[test]
fn what_stands_before_the_first_word_stays() {
    for text in
        ["/*NO LOAD BALANCE*/ SELECT x", "  SELECT x", "-- c 1\nSELECT x", "/* a /* b */ */(SELECT x)"]
    {
        assert_eq!(folded(text).as_deref(), Some(text));
    }
}

#[test]
fn a_text_with_a_doubt_stays_as_it_is() {
    for text in [
        "",
        ";",
        "-- only",
        "/* open SELECT 1",
        "SET transaction_read_only = 0",
        "EXPLAIN (ANALYZE false) SELECT 1",
        "BEGIN",
        "selecta 1",
        "SELECT 'open",
        "SELECT \"open",
        "SELECT /* open",
        r"SELECT E'a\'b'",
        r"SELECT U&'a'",
        "SELECT u&\"a\"",
        "SELECT $$a$$",
        "SELECT $a$b$a$",
        "SELECT 1; SELECT 2",
        "SELECT 1;;",
        "SELECT ä",
        "SELECT aä",
        "SELECT 0x1F",
        "SELECT 1_000",
        "SELECT 1a",
        "SELECT $1a",
        "SELECT 1..2",
        "SELECT .5",
        "SELECT a.5.5",
        "SELECT 1e",
        "SELECT 1.2.3",
        "SELECT \\ 1",
        "SELECT {1}",
        "SELECT\u{b}1",
        "SELECT \0",
    ] {
        assert_eq!(folded(text), None, "{text:?}");
    }
    assert_eq!(shape(b"SELECT 1", false, &mut Vec::new()), Shape::Exact);
    // Half a character of SJIS that looks like an operator before a digit
    assert_eq!(shape(b"SELECT \x83\x7c1", true, &mut Vec::new()), Shape::Exact);
}

/// Everything but literals, in order: names by their text, the rest by kind.
fn essence(text: &str) -> Vec<(TokenKind, &str)> {
    let seen = Tokens::new(text).filter(|token| !token.kind.is_trivia());
    let named = |token: crate::Token| match token.kind.is_literal() {
        true => (token.kind, ""),
        false => (token.kind, token.text(text)),
    };
    seen.map(named).collect()
}

#[test]
fn a_shape_has_the_tokens_of_its_text() {
    let mut state = 0x2545_F491_4F6C_DD1D;
    let mut shapes = 0;
    for _ in 0..400_000 {
        let text = random_text(&mut state);
        let Some(shape) = folded(&text) else { continue };
        assert_eq!(essence(&shape), essence(&text), "{text:?} has shape {shape:?}");
        assert_eq!(folded(&shape).as_deref(), Some(shape.as_str()), "of {text:?}");
        shapes += 1;
    }
    assert!(shapes > 10_000, "only {shapes} texts had a shape");
}

#[test]
fn any_bytes_are_survived() {
    let mut state = 7;
    let mut out = Vec::new();
    for _ in 0..200_000 {
        let mut text = b"SELECT ".to_vec();
        let length = next(&mut state) % 24;
        text.extend((0..length).map(|_| next(&mut state) as u8));
        let _ = shape(&text, true, &mut out);
    }
}

#[test]
fn a_string_which_a_setting_makes_longer_is_not_folded() {
    let mut out = Vec::new();
    assert_eq!(shape(br"SELECT '\' || ', f() --'", true, &mut out), Shape::Exact);
    out.clear();
    assert_ne!(shape(br"SELECT 'a\b' || 'c'", true, &mut out), Shape::Exact);
}
