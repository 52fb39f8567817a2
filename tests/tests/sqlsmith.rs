//! sqlsmith's statements through the proxy, in autocommit: each has the answer of
//! a server that is asked directly, and leaves the same behind; no client hears
//! of a standby's refusal.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use waypool_tests::raw::{Raw, extended, sqlstate};
use waypool_tests::smith::{self, Catalogs, SCHEMA};
use waypool_tests::twins::Twins;
use waypool_tests::wire::{self, Message};
use waypool_tests::{Proxy, primary_and_standby};

/// After so many statements, or a difference, the data are as at the beginning.
const ROUND: usize = 100;

/// No superuser: sqlsmith would stop servers and end sessions.
const USER: &str = "CREATE ROLE wanderer LOGIN; \
    GRANT pg_read_all_data, pg_write_all_data, pg_monitor TO wanderer; \
    ALTER ROLE wanderer SET statement_timeout = '2s'";

/// Some statements never end. One that ends on time only once says nothing; there
/// must be few of those.
const TIMEOUT: &str = "57014";

/// What makes a statement count other rows each time, also on one server: then the
/// numbers of rows may differ, and nothing else. There must be few of those, too.
const UNSTABLE: [(&str, &str); 3] = [
    ("pg_catalog.random()", "in a condition: other rows each time"),
    ("pg_catalog.gen_random_uuid()", "in a condition: other rows each time"),
    ("pg_stat_", "each server counts for itself, and each database"),
];

/// How often the functions that write have run.
const TOUCHED: &str = "SELECT (SELECT count(*) FROM touched) + last_value FROM touches";

/// What the two must share.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    sqlstate: Option<String>,
    /// The names of the columns.
    columns: Vec<String>,
    rows: usize,
    /// `INSERT 0 3`
    tag: Option<String>,
    /// [`TOUCHED`], afterwards.
    touched: String,
}

impl Outcome {
    fn read(answer: &[Message], witness: &mut Raw) -> Outcome {
        let of = |tag: u8| answer.iter().filter(move |message| message.tag == tag);
        Outcome {
            sqlstate: sqlstate(answer),
            columns: of(b'T').next().map(|message| column_names(&message.body)).unwrap_or_default(),
            rows: of(b'D').count(),
            tag: of(b'C').next().map(|message| String::from_utf8_lossy(&message.body).into_owned()),
            touched: witness.value(TOUCHED),
        }
    }

    /// Whether nothing but the number of rows differs.
    fn is_but_for_rows(&self, other: &Outcome) -> bool {
        (&self.sqlstate, &self.columns, &self.touched) == (&other.sqlstate, &other.columns, &other.touched)
    }

    fn is(&self, wanted: &str) -> bool {
        self.sqlstate.as_deref() == Some(wanted)
    }
}

/// The names in a RowDescription.
fn column_names(body: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = &body[2..];
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        // Behind the name stand numbers of a fixed length.
        rest = &rest[end + 1 + 18..];
    }
    names
}

#[derive(Debug, Default)]
struct Report {
    /// How often each SQLSTATE was the answer of both.
    sqlstates: BTreeMap<String, usize>,
    /// Those which only one side has ended in time.
    timeouts: usize,
    /// Those with something of [`UNSTABLE`] whose rows differ.
    unstable: usize,
    differences: Vec<String>,
}

impl Report {
    fn note(&mut self, statement: &str, through: &Outcome, direct: &Outcome) {
        let refused = through.is("25006") && !direct.is("25006");
        if through == direct {
            let sqlstate = through.sqlstate.as_deref().unwrap_or("00000");
            *self.sqlstates.entry(sqlstate.to_owned()).or_default() += 1;
        } else if !refused && through.is(TIMEOUT) != direct.is(TIMEOUT) {
            self.timeouts += 1;
        } else if through.is_but_for_rows(direct) && UNSTABLE.iter().any(|(name, _)| statement.contains(name))
        {
            self.unstable += 1;
        } else {
            self.differences.push(format!("{statement}\n  waypool: {through:?}\n  directly: {direct:?}"));
        }
    }

    #[track_caller]
    fn check(&self, statements: usize) {
        let (timeouts, unstable, sqlstates) = (self.timeouts, self.unstable, &self.sqlstates);
        eprintln!(
            "{statements} statements; {timeouts} ended in time only once, the rows of {unstable} change"
        );
        eprintln!("SQLSTATEs: {sqlstates:?}");
        let differences = self.differences.len();
        assert!(differences == 0, "{differences} differ:\n{}", self.differences.join("\n\n"));
        assert!(timeouts * 100 <= statements, "{timeouts} of {statements} ended in time only once");
        assert!(unstable * 1000 <= statements, "the rows of {unstable} of {statements} change");
        assert!(sqlstates["00000"] * 3 >= statements, "most fail: {sqlstates:?}");
    }
}

/// Every second statement goes by the extended protocol.
fn run_all(statements: &[String], twins: &Twins, proxy: &Proxy, report: &mut Report) {
    let mut pair = twins.login_as(proxy, "wanderer");
    let mut witnesses = [twins.through, twins.direct]
        .map(|database| Raw::direct(database.cluster.primary(), &[("database", database.name)]));
    let mut left = 0;
    for (at, statement) in statements.iter().enumerate() {
        if left == 0 {
            left = ROUND;
            witnesses.iter_mut().for_each(|witness| witness.run("CALL fill()"));
        }
        let bytes = if at % 2 == 0 { wire::query(statement) } else { extended(statement) };
        let (through, direct) = pair.ask(&bytes);
        let [one, other] = &mut witnesses;
        let (through, direct) = (Outcome::read(&through, one), Outcome::read(&direct, other));
        report.note(statement, &through, &direct);
        left = if through == direct { left - 1 } else { 0 };
    }
    pair.leave();
}

fn smith(name: &'static str, half: usize) {
    let cluster = primary_and_standby();
    // It would come to one of the two first, and change what the planner knows.
    cluster.primary().set("autovacuum", "off").unwrap();
    cluster.primary().psql(USER).unwrap();
    let proxy = Proxy::builder(cluster).weights(&[0.0, 1.0]).start();
    let twins = Twins::create(name, SCHEMA);
    let mut report = Report::default();
    for catalogs in [Catalogs::With, Catalogs::Without] {
        let statements = smith::statements(cluster.primary(), twins.direct.name, catalogs, 1, half);
        run_all(&statements, &twins, &proxy, &mut report);
    }
    let refused =
        proxy.log().lines().filter(|line| line.contains("a read has to run on the primary")).count();
    eprintln!("the standby refused {refused} reads");
    report.check(2 * half);
    proxy.stop();
}

#[test]
fn five_hundred_statements_have_the_same_outcome_as_directly() {
    smith("smith", 250);
}

#[test]
#[ignore = "takes five minutes: make soak"]
fn soak_twenty_thousand_statements_have_the_same_outcome_as_directly() {
    smith("smith_soak", 10_000);
}
