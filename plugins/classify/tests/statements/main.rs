//! Every form of every statement, with the verdict for it: `statements.txt`.
#![allow(clippy::unwrap_used)]

mod catalog;
mod table;

use waypool_classify::{Classify, Rules};
use waypool_plugin_sdk::{Classifier, Plugin};

#[test]
fn every_statement_has_the_verdict_of_the_table() {
    let host = catalog::plain();
    let mut wrong = Vec::new();
    let cases = table::cases();
    for case in &cases {
        let rules: Rules = serde_json::from_str(case.configuration).unwrap();
        let verdict = Classify::new(rules).unwrap().classify(&case.text, "db", &host);
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
