use super::*;
use crate::plugin::contract::Identity;

fn row(columns: [&str; 4]) -> Vec<Option<String>> {
    columns.into_iter().map(|column| Some(column.to_owned())).collect()
}

fn relation(what: &str) -> Fact {
    let key = FactKey::Relation { schema: None, name: "r".to_owned() };
    facts(&[&key], &[row(["r", "public", "r", what])]).remove(0).1
}

#[test]
fn the_most_volatile_of_a_name_counts() {
    let key =
        |schema: Option<&str>| FactKey::Function { schema: schema.map(str::to_owned), name: "f".to_owned() };
    let rows = [row(["f", "a", "f", "i"]), row(["f", "b", "f", "v"]), row(["o", "a", "f", "v"])];
    let any = key(None);
    let (a, c) = (key(Some("a")), key(Some("c")));
    let found: Vec<_> = facts(&[&any, &a, &c], &rows).into_iter().map(|(_, fact)| fact).collect();
    assert_eq!(
        found,
        [
            Fact::Function(FunctionFact::Found(Volatility::Volatile)),
            Fact::Function(FunctionFact::Found(Volatility::Immutable)),
            Fact::Function(FunctionFact::Missing),
        ]
    );
}

#[test]
fn a_view_is_what_it_reads() {
    assert_eq!(relation("pr"), Fact::Relation(RelationFact::Found(RelationFacts::empty())));
    assert_eq!(relation("ur"), Fact::Relation(RelationFact::Found(RelationFacts::UNLOGGED)));
    let view = RelationFacts::VIEW;
    assert_eq!(relation("pvp"), Fact::Relation(RelationFact::Found(view)));
    let both = view | RelationFacts::UNLOGGED | RelationFacts::VOLATILE;
    assert_eq!(relation("pvpuv"), Fact::Relation(RelationFact::Found(both)));
}

#[test]
fn names_are_quoted() {
    let key = FactKey::Function { schema: None, name: "it's\\".to_owned() };
    assert!(query(&[&key]).ends_with("IN (E'it''s\\\\')"), "{}", query(&[&key]));
}

#[test]
fn columns_are_told_with_their_defaults() {
    let key = FactKey::Columns { schema: None, name: "t".to_owned() };
    assert!(query(&[&key]).ends_with("IN (E't')"));
    let table = r#"{"view": false, "columns": [{"name": "id", "type": "bigint", "default": "nextval('a.s')",
        "volatility": "v", "identity": "d", "generated": false}]}"#;
    let [(_, Fact::Columns(fact))] = &facts(&[&key], &[row(["c", "a", "t", table])])[..] else {
        panic!("not about columns");
    };
    let ColumnsFact::Found(tables) = &**fact else { panic!("{fact:?}") };
    assert_eq!((tables[0].schema.as_str(), tables[0].view), ("a", false));
    let column = &tables[0].columns[0];
    assert_eq!((column.name.as_str(), column.type_name.as_str()), ("id", "bigint"));
    assert_eq!(column.default_value.as_deref(), Some("nextval('a.s')"));
    assert_eq!((column.volatility, column.identity), (Volatility::Volatile, Identity::ByDefault));
    let missing = facts(&[&key], &[row(["c", "a", "u", table])]);
    assert!(matches!(&missing[0].1, Fact::Columns(fact) if **fact == ColumnsFact::Missing));
}
