//! Statements that look like reads and are none, and where they land: every one
//! is answered as by a server that is asked directly, has its effect once, and no
//! client ever hears of a standby's refusal.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::{copy_data, copy_done, sqlstate, value};
use waypool_tests::twins::{Pair, Twins};
use waypool_tests::{Proxy, connect, primary_and_standby, run_async, wire};

fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start()
}

/// `writes` adds to the counter; those that lie say that they only read.
const SETUP: &str = r"
    CREATE TABLE counter (n int);
    CREATE TABLE one AS SELECT 1 AS n;
    CREATE SEQUENCE s;
    CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 7) AS n;
    CREATE VIEW shown AS SELECT n * 2 AS n FROM unlogged;
    CREATE FUNCTION writes(int) RETURNS bigint LANGUAGE plpgsql AS
        'BEGIN INSERT INTO counter VALUES ($1); RETURN (SELECT count(*) FROM counter); END';
    CREATE FUNCTION lies_stable(int) RETURNS bigint STABLE LANGUAGE plpgsql AS
        'BEGIN RETURN writes($1); END';
    CREATE FUNCTION lies_immutable(int) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN RETURN writes($1); END';
    CREATE FUNCTION lies_in_sql(int) RETURNS bigint STABLE LANGUAGE sql AS
        'SELECT writes($1) + nextval(''s'')';
    CREATE FUNCTION inserts_itself(int) RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN INSERT INTO counter VALUES ($1); RETURN 1; END';
    CREATE FUNCTION counts_unlogged() RETURNS bigint STABLE LANGUAGE sql AS
        'SELECT count(*) FROM unlogged';
    CREATE FUNCTION lies_late(int) RETURNS bigint STABLE LANGUAGE plpgsql AS
        'BEGIN RAISE NOTICE ''still reading''; RETURN lies_stable($1); END';
    CREATE OPERATOR +! (FUNCTION = writes, RIGHTARG = int);
    CREATE VIEW counting AS SELECT writes(n) AS n FROM one;
    CREATE VIEW lying AS SELECT lies_stable(n) AS n FROM one;
    ";

/// Which servers get a text that is run twice, as [`Database::seen_by`] has it.
const PRIMARY: &str = "0x2";
const STANDBY: &str = "1x2";
/// Refused by the standby at first, and known from then on.
const REFUSED: &str = "0x2,1";

/// A statement, and where it lands. For each way `{n}` is a number of its own, and
/// `{m}` a name: what differs in no name is of the same shape to the proxy, and
/// known from the first refusal on.
type Case = (&'static str, &'static str);

const CASES: [Case; 25] = [
    ("SELECT n FROM one", STANDBY),
    ("SELECT nextval('s')", PRIMARY),
    ("SELECT * FROM (SELECT setval('s', (SELECT last_value + 10 FROM s)) AS v) AS inside", PRIMARY),
    ("SELECT writes(1)", PRIMARY),
    ("SELECT n, writes(n) FROM one WHERE writes(2) > 0", PRIMARY),
    ("SELECT +! 3", PRIMARY),
    ("SELECT n FROM counting", PRIMARY),
    ("SELECT n, lies_stable(n) FROM one AS {m}", REFUSED),
    ("SELECT n, lies_immutable(n) FROM one AS {m}", REFUSED),
    ("SELECT n, lies_in_sql(n) FROM one AS {m}", REFUSED),
    ("SELECT lies_late(n) FROM one AS {m}", REFUSED),
    ("SELECT n FROM lying AS {m}", REFUSED),
    ("SELECT count(*) FROM one AS {m} WHERE lies_stable(n) > 0 AND n > 0", REFUSED),
    // 0A000, as on the primary: PostgreSQL lets no such function insert.
    ("SELECT inserts_itself(n) FROM one AS {m}", STANDBY),
    ("WITH new AS (INSERT INTO counter VALUES ({n}) RETURNING n) SELECT * FROM new", PRIMARY),
    // Its second time fails: the table is there.
    ("SELECT count(*) INTO made_{n} FROM counter", PRIMARY),
    ("SELECT txid_current() > 0", PRIMARY),
    ("SELECT pg_current_xact_id() > '0'::xid8", PRIMARY),
    ("SELECT lo_create({n})", PRIMARY),
    ("SELECT pg_notify('bell', '{n}')", PRIMARY),
    ("SELECT count(*) FROM unlogged", PRIMARY),
    ("SELECT sum(n) FROM shown", PRIMARY),
    ("SELECT counts_unlogged() AS {m}", REFUSED),
    ("DO 'BEGIN PERFORM writes(1); END'", PRIMARY),
    ("/*NO LOAD BALANCE*/ SELECT n FROM one", PRIMARY),
];

/// The ways in which drivers send a statement.
#[derive(Debug, Clone, Copy)]
enum Way {
    Simple,
    Unnamed,
    Named,
    /// Prepared and described first, with a Sync; run later.
    UnnamedLater,
    NamedLater,
    /// The same with a Flush between, and one Sync at the end.
    Flushed,
}

const WAYS: [Way; 5] = [Way::Simple, Way::Unnamed, Way::Named, Way::UnnamedLater, Way::NamedLater];

impl Way {
    /// What is sent the first time, cycle by cycle.
    fn first(self, name: &str, sql: &str) -> Vec<Vec<u8>> {
        let name = self.name(name);
        let prepare = [wire::parse(name, sql), wire::describe(b'S', name)].concat();
        match self {
            Way::Simple => vec![wire::query(sql)],
            Way::Unnamed => vec![[wire::parse("", sql), run(name)].concat()],
            Way::Named => vec![[prepare, run(name)].concat()],
            Way::UnnamedLater | Way::NamedLater => vec![[prepare, wire::sync()].concat(), run(name)],
            Way::Flushed => vec![[prepare, wire::flush(), run(name)].concat()],
        }
    }

    /// The second time: what is prepared is not prepared again.
    fn second(self, name: &str, sql: &str) -> Vec<u8> {
        match self {
            Way::Simple | Way::Unnamed => self.first(name, sql).concat(),
            _ => run(self.name(name)),
        }
    }

    fn name(self, name: &str) -> &str {
        if matches!(self, Way::Named | Way::NamedLater) { name } else { "" }
    }
}

fn run(statement: &str) -> Vec<u8> {
    [wire::bind("", statement, &[]), wire::describe(b'P', ""), wire::execute("", 0), wire::sync()].concat()
}

const COUNT: &str = "SELECT count(*), coalesce(sum(n), 0) FROM counter";

/// Runs a statement twice, and counts after each time.
#[track_caller]
fn twice(pair: &mut Pair, way: Way, name: &str, sql: &str) {
    // A Query would end the unnamed statement.
    pair.same(&[wire::parse("count", COUNT), wire::sync()].concat(), COUNT);
    for cycle in way.first(name, sql) {
        pair.same(&cycle, sql);
    }
    pair.same(&run("count"), COUNT);
    pair.same(&way.second(name, sql), sql);
    pair.same(&run("count"), COUNT);
    pair.same(&[wire::close(b'S', "count"), wire::sync()].concat(), COUNT);
}

/// Each case in one way, each text with a mark to find it in the servers' logs.
fn marked(way: Way, base: usize) -> impl Iterator<Item = (String, String, &'static str)> {
    CASES.iter().enumerate().map(move |(at, (sql, lands))| {
        let (number, mark) = ((base + at).to_string(), format!("mark_{way:?}_{at}_").to_lowercase());
        (format!("{} /* {mark} */", sql.replace("{n}", &number).replace("{m}", &mark)), mark, *lands)
    })
}

#[test]
fn each_lands_where_it_must_and_counts_once() {
    let proxy = proxy();
    let twins = Twins::create("cases", SETUP);
    let mut pair = twins.login(&proxy);
    pair.same_query("LISTEN bell");
    for (way, base) in WAYS.into_iter().zip((100_000..).step_by(1000)) {
        for (sql, mark, _) in marked(way, base) {
            twice(&mut pair, way, &mark, &sql);
        }
    }
    pair.leave();
    proxy.stop();
    for way in WAYS {
        for (sql, mark, lands) in marked(way, 0) {
            assert_eq!(twins.through.seen_by(&mark), lands, "{sql}");
        }
    }
    twins.check(COUNT);
}

#[test]
fn a_statement_may_be_described_with_a_flush_before_it_runs() {
    let proxy = proxy();
    let twins = Twins::create("cases_flushed", SETUP);
    let mut pair = twins.login(&proxy);
    pair.same_query("LISTEN bell");
    for (sql, mark, lands) in marked(Way::Flushed, 100_000) {
        if lands != REFUSED {
            twice(&mut pair, Way::Flushed, &mark, &sql);
        }
    }
    // Half of the answer is out when the standby refuses the rest: the client may
    // hear of it, but the next time it is known.
    let sql = "SELECT n, lies_stable(n) FROM one";
    for session in [&mut pair.through, &mut pair.direct] {
        let answers = [(); 2].map(|()| {
            session.send(&Way::Flushed.first("", sql).concat());
            session.wire.until_ready()
        });
        eprintln!("with a Flush before the Bind: {:?}", sqlstate(&answers[0]));
        assert_eq!(sqlstate(&answers[1]), None);
    }
    pair.leave();
    proxy.stop();
}

#[test]
fn a_constant_that_writes_when_it_is_planned() {
    let proxy = proxy();
    let twins = Twins::create("cases_planned", SETUP);
    let mut pair = twins.login(&proxy);
    for way in WAYS {
        // Folded in the planner: the standby refuses the Bind.
        twice(&mut pair, way, &format!("{way:?}"), &format!("SELECT lies_immutable(1) AS {way:?}"));
    }
    pair.leave();
    proxy.stop();
}

#[test]
fn a_text_of_several_statements() {
    let proxy = proxy();
    let twins = Twins::create("cases_several", SETUP);
    let mut pair = twins.login(&proxy);
    for sql in [
        "SELECT 1; INSERT INTO counter VALUES (1)",
        "SELECT n FROM one; SELECT lies_stable(n) FROM one; SELECT n FROM one",
        "SELECT lies_stable(1); SELECT 1 / 0",
        "SELECT 1; SELECT counts_unlogged()",
        "BEGIN; SELECT lies_stable(n) FROM one; COMMIT",
        "BEGIN; SELECT n FROM one; SELECT lies_stable(n) FROM one; ROLLBACK",
        "SELECT 1; BEGIN; SELECT lies_stable(1); SAVEPOINT a; SELECT 1 / 0; COMMIT",
        "ROLLBACK",
    ] {
        twice(&mut pair, Way::Simple, "", sql);
    }
    // The extended protocol takes none: 42601.
    let refused = pair.same(&Way::Unnamed.first("", "SELECT 1; INSERT INTO counter VALUES (1)").concat(), "");
    assert_eq!(sqlstate(&refused).unwrap(), "42601");
    pair.same_query(COUNT);
    pair.leave();
    proxy.stop();
}

#[test]
fn copy_from_the_client() {
    let proxy = proxy();
    let twins = Twins::create("cases_copy", SETUP);
    let mut pair = twins.login(&proxy);
    let copy = "COPY counter FROM STDIN";
    let data = [copy_data(b"1\n2\n"), copy_done()].concat();
    pair.same(&[wire::query(copy), data.clone()].concat(), copy);
    pair.same_query(COUNT);
    let unnamed =
        [wire::parse("", copy), wire::bind("", "", &[]), wire::execute("", 0), wire::sync()].concat();
    pair.same(&[unnamed, data, wire::sync()].concat(), copy);
    pair.same_query(COUNT);
    for sql in
        ["COPY (SELECT writes(5) AS {m}) TO STDOUT", "COPY (SELECT lies_stable(n) FROM one AS {m}) TO STDOUT"]
    {
        for way in [Way::Simple, Way::Unnamed] {
            twice(&mut pair, way, "", &sql.replace("{m}", &format!("{way:?}")));
        }
    }
    pair.leave();
    proxy.stop();
}

#[test]
fn a_prepared_insert_is_executed_again_without_parse() {
    let proxy = proxy();
    let twins = Twins::create("cases_insert", SETUP);
    let mut pair = twins.login(&proxy);
    let insert = "INSERT INTO counter VALUES ($1::int) RETURNING n";
    pair.same(&[wire::parse("add", insert), wire::describe(b'S', "add"), wire::sync()].concat(), insert);
    for (n, parameter) in ["10", "20", "30"].into_iter().enumerate() {
        pair.same_query("SELECT n FROM one");
        let again = [wire::bind("", "add", &[parameter]), wire::execute("", 0), wire::sync()];
        let added = pair.same(&again.concat(), insert);
        assert_eq!(value(&added).unwrap(), parameter);
        let counted = pair.same_query("SELECT count(*) FROM counter");
        assert_eq!(value(&counted).unwrap(), (n + 1).to_string());
    }
    pair.same_query("PREPARE more AS SELECT lies_stable($1)");
    for sql in [
        "EXECUTE more(1)",
        "EXECUTE more(2)",
        "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, SUMMARY OFF) EXECUTE more(3)",
    ] {
        pair.same_query(sql);
        pair.same_query(COUNT);
    }
    pair.leave();
    proxy.stop();
}

#[test]
fn the_same_by_a_driver_that_prepares() {
    let proxy = proxy();
    let twins = Twins::create("cases_driver", SETUP);
    run_async(async {
        let through = connect(&proxy, &format!("dbname={}", twins.through.name)).await.unwrap().0;
        let direct = format!("{} dbname={}", twins.through.cluster.primary().conninfo(), twins.direct.name);
        let (direct, connection) = tokio_postgres::connect(&direct, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        for (at, (sql, _)) in CASES.iter().enumerate() {
            let sql = sql.replace("{n}", &at.to_string()).replace("{m}", "alias");
            let mut answers = Vec::new();
            for client in [&through, &direct] {
                let statement = client.prepare(&sql).await.unwrap();
                let mut told = Vec::new();
                for _ in 0..3 {
                    told.push(match client.query(&statement, &[]).await {
                        Ok(rows) => format!("{} rows", rows.len()),
                        Err(error) => format!("{:?}", error.code()),
                    });
                    let row = client.query_one("SELECT count(*), max(n) FROM counter", &[]).await.unwrap();
                    told.push(format!("{} {:?}", row.get::<_, i64>(0), row.get::<_, Option<i32>>(1)));
                }
                answers.push(told);
            }
            assert_eq!(answers[0], answers[1], "through waypool and directly: {sql}");
        }
        drop((through, direct));
        connection.await.unwrap().unwrap();
    });
    proxy.stop();
}
