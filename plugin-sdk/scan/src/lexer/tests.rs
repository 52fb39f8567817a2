#![allow(clippy::unwrap_used)]
use super::*;
use TokenKind::*;

/// Kinds of the tokens the grammar sees.
fn kinds(text: &str) -> Vec<TokenKind> {
    Tokens::new(text).map(|token| token.kind).filter(|kind| !kind.is_trivia()).collect()
}

/// Texts of the tokens the grammar sees.
fn texts(text: &str) -> Vec<&str> {
    let seen = Tokens::new(text).filter(|token| !token.kind.is_trivia());
    seen.map(|token| token.text(text)).collect()
}

#[test]
fn words_and_their_quotes() {
    assert_eq!(texts("select a$1, _b, täble"), ["select", "a$1", ",", "_b", ",", "täble"]);
    assert_eq!(texts(r#""a ""b" c"#), [r#""a ""b""#, "c"]);
    assert_eq!(kinds(r#"U&"d\0061t" u&d u & 'x'"#)[0], UnicodeIdentifier);
    assert_eq!(texts("u&d"), ["u", "&", "d"]);
}

#[test]
fn strings_of_every_notation() {
    assert_eq!(texts(r"'it''s' 'a\' 'b'"), ["'it''s'", r"'a\'", "'b'"]);
    assert_eq!(texts(r"E'a\'b' x"), [r"E'a\'b'", "x"]);
    assert_eq!(texts(r"e'a\\' x"), [r"e'a\\'", "x"]);
    assert_eq!(
        kinds("E'a' B'1' X'f' N'a' U&'a' 'a' date'2020-01-01'"),
        [EscapeString, BitString, HexString, NationalString, UnicodeString, String, Word, String]
    );
    assert_eq!(kinds("'a"), [Unterminated]);
    assert_eq!(kinds(r"E'a\'"), [Unterminated]);
    assert_eq!(kinds("\"a"), [Unterminated]);
}

#[test]
fn a_string_continues_on_a_later_line_only() {
    assert_eq!(texts("'a'\n 'b'"), ["'a'\n 'b'"]);
    assert_eq!(texts("'a' -- c\n\t'b' x"), ["'a' -- c\n\t'b'", "x"]);
    assert_eq!(texts("'a' \r\n -- c\n -- d\n 'b'"), ["'a' \r\n -- c\n -- d\n 'b'"]);
    assert_eq!(texts("'a' 'b'"), ["'a'", "'b'"]);
    assert_eq!(texts("'a' /*\n*/ 'b'"), ["'a'", "'b'"]);
    assert_eq!(texts("E'a'\n'\\'' x"), ["E'a'\n'\\''", "x"]);
    assert_eq!(texts("$$a$$\n'b'"), ["$$a$$", "'b'"]);
}

#[test]
fn dollar_quotes() {
    assert_eq!(texts("$$a'b$$ $t$ $$ $t $t$ x"), ["$$a'b$$", "$t$ $$ $t $t$", "x"]);
    assert_eq!(texts("$a$x$$a$ y"), ["$a$x$$a$", "y"]);
    assert_eq!(texts("$1 $22"), ["$1", "$22"]);
    assert_eq!(kinds("$1 $a $"), [Parameter, Other, Word, Other]);
    assert_eq!(kinds("$a$ $b$"), [Unterminated]);
    assert_eq!(texts("a$b$c$b$"), ["a$b$c$b$"]);
}

#[test]
fn comments_nest_and_may_begin_inside_an_operator() {
    assert_eq!(texts("a /* b /* c */ d */ e"), ["a", "e"]);
    assert_eq!(texts("a+/*b*/-c"), ["a", "+", "-", "c"]);
    assert_eq!(texts("a*/**/b"), ["a", "*", "b"]);
    assert_eq!(texts("a @-- b\nc"), ["a", "@", "c"]);
    assert_eq!(kinds("/* /* */"), [Unterminated]);
    assert_eq!(kinds("-- only"), []);
    assert_eq!(kinds("/*/"), [Unterminated]);
}

#[test]
fn operators_give_trailing_signs_back() {
    assert_eq!(texts("a=-1"), ["a", "=", "-", "1"]);
    assert_eq!(texts("a @- 1"), ["a", "@-", "1"]);
    assert_eq!(texts("a*+-+b"), ["a", "*", "+", "-", "+", "b"]);
    assert_eq!(texts("a <@@> b >= c => d"), ["a", "<@@>", "b", ">=", "c", "=>", "d"]);
    assert_eq!(texts("+++"), ["+", "+", "+"]);
}

#[test]
fn punctuation_with_a_meaning_of_its_own() {
    assert_eq!(
        kinds("a::b[1:2].c := ..;(),"),
        [
            Word,
            Cast,
            Word,
            BracketOpen,
            Number,
            Colon,
            Number,
            BracketClose,
            Dot,
            Word,
            ColonEquals,
            DotDot,
            Semicolon,
            ParenOpen,
            ParenClose,
            Comma
        ]
    );
    assert_eq!(kinds("\\ { \0"), [Other, Other, Other]);
}

#[test]
fn numbers() {
    for number in
        ["1", "1.5", ".5", "1.", "1e5", "1.e-5", ".5E+7", "0x1F", "0b10", "0o17", "1_000", "1_0.0_1"]
    {
        assert_eq!(texts(number), [number]);
    }
    assert_eq!(texts("1..2"), ["1", "..", "2"]);
    assert_eq!(texts("1a 1e 1_ 0x"), ["1", "a", "1", "e", "1", "_", "0", "x"]);
    assert_eq!(texts("t1.a1"), ["t1", ".", "a1"]);
}

/// Random texts of fragments that matter to a lexer.
pub(crate) fn random_text(state: &mut u64) -> std::string::String {
    const FRAGMENTS: [&str; 48] = [
        "'", "''", "\"", "\\", "$", "$$", "$a$", "$1", "--", "/*", "*/", "\n", " ", "\t", "E'", "U&'",
        "U&\"", "B'", "N'", "X'", "e", "select", "SELECT ", "with", "a", "é", "_b1", "0", "12", "1.5", ".",
        "..", "e5", "::", ":", ":=", ";", "(", ")", "[", "]", ",", "+", "-", "@", "*", "/", "\0",
    ];
    let mut text = std::string::String::new();
    let length = next(state) % 24;
    if next(state) % 2 == 0 {
        text.push_str("SELECT ");
    }
    for _ in 0..length {
        text.push_str(FRAGMENTS[(next(state) % FRAGMENTS.len() as u64) as usize]);
    }
    text
}

/// xorshift: enough for tests, and the same texts at each run.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn spans_cover_any_text() {
    let mut state = 0x9E37_79B9_7F4A_7C15;
    for _ in 0..200_000 {
        let text = random_text(&mut state);
        let mut at = 0;
        for token in Tokens::new(&text) {
            assert_eq!(token.start, at, "{text:?}");
            assert!(token.end > token.start, "{text:?}");
            assert!(text.is_char_boundary(token.end), "{text:?}");
            at = token.end;
        }
        assert_eq!(at, text.len(), "{text:?}");
    }
}

#[test]
fn a_long_run_of_signs_takes_linear_time() {
    let text = "+".repeat(1 << 20);
    assert_eq!(Tokens::new(&text).count(), 1 << 20);
}
