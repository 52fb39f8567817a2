#![allow(clippy::unwrap_used)]
use super::checksum::Sum;
use super::report::RowDifference;
use super::rows::{Differing, Row, differ};
use super::*;
use crate::protocol::sql::literal;

fn report(tables: Vec<TableReport>, differences: Vec<Difference>) -> Report {
    let database = DatabaseReport { name: "shop".to_owned(), tables, differences };
    Report { servers: vec![0, 2, 3], databases: vec![database], differences: Vec::new() }
}

fn table(verdict: Verdict) -> TableReport {
    TableReport { name: "public.t".to_owned(), counts: vec![2, 2, 2], verdict, note: None }
}

#[test]
fn a_difference_outweighs_what_is_not_known() {
    assert_eq!(report(vec![table(Verdict::Equal)], vec![]).outcome(), Outcome::Equal);
    assert_eq!(report(vec![], vec![]).outcome(), Outcome::Equal);
    let unknown = report(vec![table(Verdict::Equal), table(Verdict::Failed("no".to_owned()))], vec![]);
    assert_eq!(unknown.outcome(), Outcome::Incomplete);
    let index = Difference { kind: "index".to_owned(), name: "public.i".to_owned(), values: vec![] };
    assert_eq!(report(vec![table(Verdict::Moving)], vec![index]).outcome(), Outcome::Differs);
}

#[test]
fn a_row_is_told_with_the_servers_that_have_it_so() {
    let row = RowDifference {
        row: "id=7".to_owned(),
        columns: vec![("v".to_owned(), ["'a'", "'b'", "'a'"].map(str::to_owned).to_vec())],
    };
    let verdict = Verdict::Differs { rows: vec![row], count: 3, more: true };
    assert_eq!(verdict.to_string(), "differs: at least 3 rows");
    assert_eq!(
        report(vec![table(verdict)], vec![]).lines(),
        [
            "shop: public.t: id=7: v is 'a' on backends 0 and 3, 'b' on backend 2",
            "shop: public.t: 1 of at least 3 rows that differ",
        ]
    );
}

/// `on_divergence = "detach"`
#[test]
fn the_minority_is_wrong_and_of_two_halves_the_second() {
    let differs = |values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let row = RowDifference { row: "id=7".to_owned(), columns: vec![("v".to_owned(), values)] };
        table(Verdict::Differs { rows: vec![row], count: 1, more: false })
    };
    assert_eq!(report(vec![differs(&["a", "b", "b"])], vec![]).minority(), [0]);
    assert_eq!(report(vec![differs(&["a", "b", "c"])], vec![]).minority(), [2, 3]);
    let all_wrong = vec![differs(&["a", "b", "b"]), differs(&["a", "b", "a"]), differs(&["a", "a", "b"])];
    assert_eq!(report(all_wrong, vec![]).minority(), [2, 3]);
    assert!(report(vec![table(Verdict::Equal)], vec![]).minority().is_empty());
    let mut two = report(vec![differs(&["a", "b"])], vec![]);
    two.servers = vec![1, 2];
    assert_eq!(two.minority(), [2]);
}

#[test]
fn servers_differ_if_one_does() {
    assert!(!differ(&[1, 1, 1]));
    assert!(differ(&[1, 1, 2]));
    assert!(!differ::<u8>(&[]));
    assert_eq!(literal("it's"), "'it''s'");
}

/// Without a gate, what changes between two looks is data under way.
#[test]
fn only_what_differs_twice_in_the_same_way_counts() {
    let look = |moving: i128| {
        let row =
            |hash| Row { shown: String::new(), on: vec![Sum { rows: 1, hash: 1 }, Sum { rows: 1, hash }] };
        let rows = [("still".to_owned(), row(2)), ("moving".to_owned(), row(moving))];
        Differing { rows: rows.into_iter().collect(), more: false }
    };
    let both = look(4).in_both(&look(3));
    assert_eq!(both.rows.keys().collect::<Vec<_>>(), ["still"]);
    assert!(look(3).in_both(&Differing::default()).rows.is_empty());
}
