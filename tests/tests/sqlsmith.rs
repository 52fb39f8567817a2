//! sqlsmith's statements through the proxy, in autocommit: each has the answer
//! that a server gives which is asked directly, and no standby's refusal is seen.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;

use waypool_tests::raw::{Raw, extended, sqlstate};
use waypool_tests::smith::{self, Catalogs, SCHEMA};
use waypool_tests::twins::{Pair, Twins};
use waypool_tests::wire::{self, Message};
use waypool_tests::{Proxy, primary_and_standby};

/// What two answers have to share.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    sqlstate: Option<String>,
    /// The names of the columns.
    columns: Vec<String>,
    rows: usize,
    /// `INSERT 0 3`
    tag: Option<String>,
}

impl Outcome {
    fn read(answer: &[Message]) -> Outcome {
        let of = |tag: u8| answer.iter().filter(move |message| message.tag == tag);
        Outcome {
            sqlstate: sqlstate(answer),
            columns: of(b'T').next().map(|message| column_names(&message.body)).unwrap_or_default(),
            rows: of(b'D').count(),
            tag: of(b'C').next().map(|message| String::from_utf8_lossy(&message.body).into_owned()),
        }
    }
}

/// The names in a RowDescription.
fn column_names(body: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = &body[2..];
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        // Behind the name: numbers of a fixed length.
        rest = &rest[end + 1 + 18..];
    }
    names
}

fn smith(pair: &mut Pair, statement: &str, by_extended: bool) -> (Outcome, Outcome) {
    let bytes = if by_extended { extended(statement) } else { wire::query(statement) };
    let (through, direct) = pair.ask(&bytes);
    (Outcome::read(&through), Outcome::read(&direct))
}

#[test]
fn explore() {
    let n: usize = std::env::var("SMITH").unwrap_or("500".into()).parse().unwrap();
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    primary_and_standby().primary().psql("CREATE ROLE smith LOGIN; GRANT pg_read_all_data, pg_write_all_data, pg_monitor TO smith; ALTER ROLE smith SET statement_timeout = '1s'").unwrap();
    let twins = Twins::create("smith", SCHEMA);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut report = String::new();
    for catalogs in [Catalogs::With, Catalogs::Without] {
        let began = std::time::Instant::now();
        let statements = smith::statements(primary_and_standby().primary(), "smith", catalogs, 1, n / 2);
        eprintln!("generated in {:?}", began.elapsed());
        let began = std::time::Instant::now();
        let mut pair = twins.login_as(&proxy, "smith");
        for (at, statement) in statements.iter().enumerate() {
            let (through, direct) = smith(&mut pair, statement, at % 2 == 1);
            *seen.entry(format!("{:?}", direct.sqlstate)).or_default() += 1;
            if through != direct {
                writeln!(report, "=== {catalogs:?} {at}\nthrough {through:?}\ndirect  {direct:?}\n{statement}").unwrap();
            }
        }
        eprintln!("ran in {:?}", began.elapsed());
    }
    eprintln!("{seen:?}");
    for t in ["customers", "orders", "measured", "notes", "fleeting", "touched", "touches"] {
        let q = format!("select count(*), sum(hashtext(t::text)) from {t} t");
        eprintln!("{t}: {} / {}", twins.through.ask(0, &q), twins.direct.ask(0, &q));
    }
    std::fs::write("/tmp/qa/report.txt", report).unwrap();
    eprintln!("{}", proxy.log().lines().filter(|l| l.contains("has to run on the primary")).count());
    let _ = Raw::login;
    proxy.stop();
}
