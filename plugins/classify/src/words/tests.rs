#![allow(clippy::unwrap_used)]
use super::*;

fn with_cursor<R>(text: &str, test: impl FnOnce(Cursor) -> R) -> R {
    let mut words = Vec::new();
    cut(text, &mut words);
    test(Cursor::new(text, &words))
}

#[test]
fn identifiers_are_folded_as_postgresql_does() {
    for (text, name) in [("Abc", "abc"), ("\"A \"\"b\"", "A \"b"), ("Ünion", "Ünion"), ("FROM", "from")] {
        assert_eq!(with_cursor(text, |mut cursor| cursor.identifier()).as_deref(), Some(name));
    }
    let long = "é".repeat(40);
    assert_eq!(with_cursor(&long, |mut cursor| cursor.identifier()).unwrap().len(), 62);
    assert_eq!(with_cursor("'a'", |mut cursor| cursor.identifier()), None);
}

#[test]
fn a_qualified_name_keeps_its_last_two_parts() {
    for (text, shown) in [("t", "t"), ("S.t", "s.t"), ("db . s /*c*/ . \"T\"", "s.T")] {
        let name = with_cursor(text, |mut cursor| cursor.qualified()).unwrap();
        assert_eq!(name.display(), shown);
    }
    assert_eq!(
        with_cursor("t.*", |mut cursor| (cursor.qualified().unwrap().display(), cursor.at)),
        ("t".into(), 1)
    );
}

#[test]
fn parentheses_are_skipped_as_a_whole() {
    with_cursor("(a (b) c) d", |mut cursor| {
        assert_eq!(cursor.skip_parentheses(), Some(6));
        assert_eq!(cursor.raw(), "d");
        assert_eq!(cursor.skip_parentheses(), None);
    });
    assert_eq!(with_cursor("(a (b)", |mut cursor| cursor.skip_parentheses()), None);
}
