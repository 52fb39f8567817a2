use super::*;

#[cfg(feature = "parser")]
#[test]
fn the_grammar_tells_reads_from_writes() {
    for (text, expected) in [
        ("SELECT * FROM (SELECT 1) update JOIN t ON true", Parsed::Read),
        ("(SELECT 1) UNION (VALUES (2))", Parsed::Read),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x", Parsed::Write),
        ("SELECT 1 UNION SELECT 2 INTO t", Parsed::Write),
        ("SELECT * FORM t1", Parsed::Unparsed),
        ("SELECT 1 1", Parsed::Unparsed),
        ("SELECT 1; SELECT 2", Parsed::Unparsed),
        ("INSERT INTO t VALUES (1)", Parsed::Unparsed),
    ] {
        assert_eq!(parse(text), expected, "{text}");
    }
}

#[test]
fn deep_texts_do_not_end_the_stack() {
    for deep in [
        format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT 1{}", "+1".repeat(8_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(1_000)),
        format!("SELECT {} 1", "NOT ".repeat(4_000)),
        "SELECT ".to_owned() + &"(SELECT ".repeat(2_000),
    ] {
        // Whatever the answer is, there is one.
        let _ = parse(&deep);
    }
}
