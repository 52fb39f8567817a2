//! Every form of every statement, with the verdict for it: `statements.txt`.
#![allow(clippy::unwrap_used)]

mod catalog;
mod table;

use waypool_classify::{Classify, Rules};
use waypool_plugin_sdk::{Depends, Plugin};
use waypool_scan::{Shape, shape};

#[test]
fn every_statement_has_the_verdict_of_the_table() {
    let host = catalog::plain();
    let mut wrong = Vec::new();
    let cases = table::cases();
    for case in &cases {
        let rules: Rules = serde_json::from_str(case.configuration).unwrap();
        let verdict = Classify::new(rules).unwrap().verdict(&case.text, &host);
        let here = table::summary(&verdict);
        if here != case.verdict {
            wrong.push(format!(
                "{:?} with {}\n    table: {}\n    here:  {here} ({})",
                case.text, case.configuration, case.verdict, verdict.reason
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() > 400, "only {} cases were read", cases.len());
}

/// Two texts of one shape get one verdict; else the cache would lie.
#[test]
fn a_verdict_that_depends_on_the_shape_is_that_of_the_shape() {
    let host = catalog::plain();
    let mut folded = Vec::new();
    let mut compared = 0;
    for case in table::cases() {
        let rules: Rules = serde_json::from_str(case.configuration).unwrap();
        let mut classify = Classify::new(rules).unwrap();
        let verdict = classify.verdict(&case.text, &host);
        if verdict.depends == Depends::Shape
            && shape(case.text.as_bytes(), true, &mut folded) == Shape::Folded
        {
            let of_shape = classify.verdict(std::str::from_utf8(&folded).unwrap(), &host);
            assert_eq!(of_shape, verdict, "{}", case.text);
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} texts had a shape");
}
