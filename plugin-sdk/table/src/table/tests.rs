#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_case_stands_in_the_world_of_its_table() {
    let table = Table::parse(
        "t.toml",
        r#"
        user = "anna"
        [config]
        limit = 1
        names = ["a"]

        [[case]]
        statement = "SELECT 1"

        [[case]]
        user = "bert"
        config = { limit = 2 }
        nodes = [{ id = 7, role = "primary", weight = 0.5 }]
        now = 2025-01-01T03:00:00+01:00
        "#,
    )
    .unwrap();
    let cases: Vec<(usize, &Case)> = table.cases().collect();
    assert_eq!([cases[0].0, cases[1].0], [7, 10]);
    let first = table.world(cases[0].1);
    assert_eq!((first.user.as_str(), first.database.as_str(), first.now), ("anna", "postgres", None));
    assert_eq!(first.config, r#"{"limit":1,"names":["a"]}"#);
    assert_eq!(first.nodes, [Node::new(0, "primary"), Node::new(1, "standby")]);
    let second = table.world(cases[1].1);
    assert_eq!((second.user.as_str(), second.now), ("bert", Some(1_735_696_800_000_000)));
    assert_eq!(second.config, r#"{"limit":2,"names":["a"]}"#);
    assert_eq!(second.nodes, [Node { weight: 0.5, ..Node::new(7, "primary") }]);
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, said) in [
        ("[[case]]\nstatment = 'x'", "statment"),
        ("[[case]]\nkind = 'selct'", "\"selct\" is none of unknown"),
        ("[[case]]\neffects = ['write']", "\"write\" is none of writes"),
        ("[[case]]\nbehind = { servers = 'one' }", "none of any, primary, all"),
        ("[[case]]\nrouted_to = 'standby'", "a node's number"),
        ("[[cases]]\nstatement = 'x'", "cases"),
    ] {
        let mistake = Table::parse("t.toml", text).unwrap_err().to_string();
        assert!(mistake.starts_with("t.toml: ") && mistake.contains(said), "{mistake}");
        assert!(mistake.contains("line "), "{mistake}");
    }
    let mistake = Table::parse("t.toml", "[[case]]\nnow = 2025-01-01").unwrap_err().to_string();
    assert!(mistake.starts_with("t.toml:1: now: a moment has"), "{mistake}");
    assert!(Table::read(Path::new("/no/such.toml")).unwrap_err().to_string().starts_with("/no/such.toml: "));
}

#[test]
fn moments_are_counted_from_1970() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:01Z", 951_825_601),
        ("2000-03-01T00:00:00Z", 951_868_800),
        ("2024-12-31T23:59:59-00:30", 1_735_691_399),
        ("2025-01-01T00:00:00Z", 1_735_689_600),
    ] {
        assert_eq!(micros(&text.parse().unwrap()), Ok(seconds * 1_000_000), "{text}");
    }
    assert!(micros(&"1969-12-31T23:59:59Z".parse().unwrap()).is_err());
}
