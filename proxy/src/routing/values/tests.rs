#![allow(clippy::unwrap_used)]
use super::*;

fn evaluation(expression: &str, type_name: Option<&str>) -> Evaluation {
    let type_name = type_name.map(str::to_owned);
    Evaluation { expression: expression.to_owned(), type_name, everywhere: false }
}

#[test]
fn literals_mean_the_same_whatever_the_session_has_set() {
    let literal =
        |value: &str| Filled { value: Some(value.to_owned()), type_name: "text".to_owned() }.literal();
    assert_eq!(literal("it's"), "'it''s'::text");
    assert_eq!(literal("a\\'b"), "E'a\\\\''b'::text");
    assert_eq!(Filled { value: None, type_name: "a.b".to_owned() }.literal(), "NULL::a.b");
}

#[test]
fn a_row_has_value_and_type_of_each() {
    let (typed, own) = (evaluation("now()", Some("date")), evaluation("f()", None));
    let wanted = [&typed, &own];
    let row = ["2026-01-31", "date", "1", "integer"].map(|text| Some(text.to_owned())).to_vec();
    let values = read(&wanted, vec![row]).unwrap();
    assert_eq!(values[0].literal(), "'2026-01-31'::date");
    assert_eq!(values[1].literal(), "'1'::integer");
    assert_eq!(read(&wanted, Vec::new()), None);
}

#[test]
fn many_values_take_several_queries() {
    let one = evaluation("random()", None);
    let wanted = vec![&one; 2 * MOST_AT_ONCE + 1];
    let queries = queries(&wanted);
    assert_eq!(queries.len(), 3);
    assert!(queries[2].contains("v0") && !queries[2].contains("v1"));
}

#[test]
fn a_parameter_takes_over_the_type_of_its_expression() {
    assert_eq!(Gap::Evaluated(evaluation("now()", Some("date"))).parameter(3), "$3::date");
    let own = Gap::Evaluated(evaluation("f()", None)).parameter(3);
    assert_eq!(own, "(CASE WHEN true THEN $3 ELSE (f()\n) END)");
}
