//! Reads that the standby refuses, in the middle of whatever else a session does:
//! nothing around them is harmed when they run again on the primary.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::{Raw, sqlstate, tags, value};
use waypool_tests::twins::{Pair, Twins};
use waypool_tests::{Database, Proxy, primary_and_standby, wire};

fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start()
}

const SETUP: &str = r"
    CREATE TABLE counter (n int);
    CREATE TABLE t AS SELECT generate_series(1, 9) AS n;
    CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 7) AS n;
    CREATE FUNCTION writes(int) RETURNS bigint LANGUAGE plpgsql AS
        'BEGIN INSERT INTO counter VALUES ($1); RETURN (SELECT count(*) FROM counter); END';
    CREATE FUNCTION lies(int) RETURNS bigint STABLE LANGUAGE plpgsql AS
        'BEGIN RETURN writes($1); END';
    CREATE FUNCTION inserts_itself(int) RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN INSERT INTO counter VALUES ($1); RETURN 1; END';
    CREATE FUNCTION counts_unlogged() RETURNS bigint STABLE LANGUAGE sql AS
        'SELECT count(*) FROM unlogged';
    ";

const COUNT: &str = "SELECT count(*), coalesce(sum(n), 0) FROM counter";

/// Statements that the standby refuses; the last one fails on the primary too.
const REFUSED: [&str; 3] =
    ["SELECT lies(n) FROM t WHERE n < 3", "SELECT counts_unlogged()", "SELECT inserts_itself(n) FROM t"];

fn extended(sql: &str) -> Vec<u8> {
    let parsed = [wire::parse("", sql), wire::bind("", "", &[]), wire::describe(b'P', "")];
    [parsed.concat(), wire::execute("", 0), wire::sync()].concat()
}

/// A query by both protocols. The name makes each a text that the proxy does not
/// know: comments and constants would not.
fn both_ways(sql: &str, name: &str) -> [Vec<u8>; 2] {
    [
        wire::query(&format!("SELECT * FROM ({sql}) AS simple_{name}")),
        extended(&format!("SELECT * FROM ({sql}) AS extended_{name}")),
    ]
}

#[track_caller]
fn all_same(pair: &mut Pair, statements: &[&str]) {
    for sql in statements {
        pair.same_query(sql);
    }
}

/// The port of the server that this session reads from.
fn port(pair: &mut Pair) -> String {
    pair.through.value("SELECT inet_server_port() FROM t LIMIT 1")
}

fn standby_port() -> String {
    primary_and_standby().server(1).port().to_string()
}

#[test]
fn a_transaction_goes_on_unharmed() {
    let proxy = proxy();
    let twins = Twins::create("refused_transaction", SETUP);
    let mut pair = twins.login(&proxy);
    pair.same_query("SET application_name = 'kept'");
    let named = [wire::parse("kept", "SELECT n FROM t WHERE n > $1 ORDER BY n"), wire::sync()].concat();
    pair.same(&named, "a named statement");
    pair.same_query("PREPARE by_sql AS SELECT sum(n) FROM t WHERE n > $1");
    let kept = [wire::bind("", "kept", &["6"]), wire::execute("", 0), wire::sync()].concat();
    for (round, sql) in REFUSED.iter().enumerate() {
        for (way, refused) in both_ways(sql, &format!("round_{round}")).iter().enumerate() {
            pair.same(&kept, "a named statement, on the standby");
            all_same(&mut pair, &["EXECUTE by_sql(3)", "BEGIN", "SELECT sum(n) FROM t"]);
            assert_eq!(port(&mut pair), standby_port(), "before {sql}");
            all_same(&mut pair, &["SAVEPOINT before", "SELECT sum(n) FROM t"]);
            pair.same(refused, sql);
            all_same(&mut pair, &["SELECT sum(n) FROM t", "SHOW work_mem", "SHOW application_name", COUNT]);
            pair.same(&kept, "a named statement, in the transaction");
            all_same(
                &mut pair,
                &["EXECUTE by_sql(3)", "SAVEPOINT after", "INSERT INTO counter VALUES (100)"],
            );
            if way == 0 {
                // Known as a write by now.
                all_same(
                    &mut pair,
                    &["ROLLBACK TO before", COUNT, "SET LOCAL work_mem = '8MB'", "SHOW work_mem"],
                );
                pair.same(refused, sql);
            } else {
                all_same(&mut pair, &["ROLLBACK TO after", "ROLLBACK TO before", "RELEASE before"]);
                pair.same(refused, sql);
            }
            all_same(&mut pair, &[COUNT, "COMMIT", COUNT, "SHOW work_mem", "SHOW application_name"]);
            assert_eq!(port(&mut pair), standby_port(), "after {sql}");
            pair.same(&kept, "a named statement, afterwards");
            pair.same_query("EXECUTE by_sql(3)");
        }
    }
    pair.leave();
    twins.check(COUNT);
    proxy.stop();
}

#[test]
fn the_first_statement_of_a_transaction_may_be_refused() {
    let proxy = proxy();
    let twins = Twins::create("refused_first", SETUP);
    let mut pair = twins.login(&proxy);
    for (round, end) in ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK"].iter().enumerate() {
        for (way, refused) in both_ways(REFUSED[0], &round.to_string()).iter().enumerate() {
            pair.same_query("BEGIN");
            pair.same(refused, REFUSED[0]);
            all_same(&mut pair, &[COUNT, "SELECT sum(n) FROM t", end, COUNT]);
            if end.ends_with("CHAIN") {
                all_same(&mut pair, &["SELECT sum(n) FROM t", if way == 0 { "COMMIT" } else { "ROLLBACK" }]);
            }
        }
    }
    // BEGIN and the read in one batch.
    let batch = [wire::parse("", "BEGIN"), wire::bind("", "", &[]), wire::execute("", 0)].concat();
    let refused = [batch, extended("SELECT lies(n) FROM t AS in_one_batch WHERE n < 3")].concat();
    pair.same(&refused, "BEGIN and the read in one batch");
    all_same(&mut pair, &[COUNT, "COMMIT", COUNT]);
    pair.leave();
    proxy.stop();
}

#[test]
fn a_transaction_that_promised_to_read_gets_postgresqls_own_error() {
    let proxy = proxy();
    let twins = Twins::create("refused_read_only", SETUP);
    let mut pair = twins.login(&proxy);
    let read_only = ["BEGIN READ ONLY", "BEGIN; SET TRANSACTION READ ONLY", "START TRANSACTION READ ONLY"];
    for (round, begin) in read_only.into_iter().enumerate() {
        for refused in both_ways(REFUSED[0], &round.to_string()) {
            pair.same_query(begin);
            pair.same_query("SELECT sum(n) FROM t");
            if round != 1 {
                assert_eq!(port(&mut pair), standby_port(), "{begin}");
            }
            let answer = pair.same(&refused, begin);
            assert_eq!(sqlstate(&answer).as_deref(), Some("25006"), "{begin}");
            all_same(&mut pair, &["SELECT 1", "ROLLBACK", COUNT]);
        }
    }
    for sql in [
        "SELECT writes(1)",
        "INSERT INTO counter VALUES (1)",
        "SELECT counts_unlogged()",
        "SELECT count(*) FROM unlogged",
    ] {
        for way in [wire::query(sql), extended(sql)] {
            pair.same_query("BEGIN READ ONLY");
            pair.same(&way, sql);
            pair.same_query("ROLLBACK");
        }
    }
    pair.same_query("SET default_transaction_read_only = on");
    for way in both_ways(REFUSED[0], "by_default") {
        assert_eq!(sqlstate(&pair.same(&way, "read only by default")).as_deref(), Some("25006"));
    }
    all_same(&mut pair, &["RESET default_transaction_read_only", REFUSED[0], COUNT]);
    pair.leave();
    proxy.stop();
}

#[test]
fn cursors_survive_a_refused_read_and_portals_are_told_of() {
    let proxy = proxy();
    let twins = Twins::create("refused_cursors", SETUP);
    let mut pair = twins.login(&proxy);
    for (way, refused) in both_ways(REFUSED[0], "cursors").into_iter().enumerate() {
        all_same(&mut pair, &["BEGIN", "DECLARE c CURSOR FOR SELECT n FROM t ORDER BY n", "FETCH 2 FROM c"]);
        pair.same(&refused, REFUSED[0]);
        all_same(&mut pair, &["FETCH 2 FROM c", "COMMIT", COUNT]);
        let open = [wire::parse("", "SELECT n FROM t ORDER BY n"), wire::bind("p", "", &[])].concat();
        pair.same_query("BEGIN");
        pair.same(&[open, wire::execute("p", 2), wire::sync()].concat(), "a portal");
        pair.same(&both_ways(REFUSED[0], "portals")[way], REFUSED[0]);
        pair.same_query("SAVEPOINT s");
        // A portal on the standby is lost: who uses it again hears so.
        let (through, direct) = pair.ask(&[wire::execute("p", 3), wire::sync()].concat());
        assert_eq!((sqlstate(&through).as_deref(), sqlstate(&direct)), (Some("34000"), None));
        all_same(&mut pair, &["ROLLBACK TO s", COUNT, "COMMIT", COUNT]);
    }
    pair.leave();
    proxy.stop();
}

/// Cycles sent in one go: a read that is refused behind another cannot always
/// run again, but each cycle has its answer, and the next time it is known.
#[test]
fn a_pipeline_of_several_syncs_has_an_answer_for_each() {
    let proxy = proxy();
    let database = Database::create("refused_pipeline", SETUP);
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    for round in 0..6 {
        let read = extended("SELECT n FROM t ORDER BY n");
        let refused = extended(&format!("SELECT lies(n) AS round_{round} FROM t WHERE n = 1"));
        let pipeline = match round % 3 {
            0 => [read.clone(), refused, read.clone()],
            1 => [refused, read.clone(), read.clone()],
            _ => [read.clone(), refused.clone(), refused],
        };
        for time in ["at first", "again"] {
            let before: usize = session.value("SELECT count(*) FROM counter").parse().unwrap();
            session.send(&pipeline.concat());
            let answers = [(); 3].map(|()| session.wire.until_ready());
            let failed = answers.iter().filter(|answer| sqlstate(answer).is_some()).count();
            let told: Vec<String> = answers.iter().map(|answer| tags(answer)).collect();
            eprintln!("round {round}, {time}: {told:?}");
            let lying = if round % 3 == 2 { 2 } else { 1 };
            assert!(
                failed == 0 || (time == "at first" && failed <= lying),
                "round {round}, {time}: {told:?}"
            );
            let after: usize = session.value("SELECT count(*) FROM counter").parse().unwrap();
            assert_eq!(after - before, lying - failed, "round {round}, {time}: {told:?}");
            session.send(&read);
            assert_eq!(value(&session.wire.until_ready()).unwrap(), "1");
        }
    }
    session.leave();
    proxy.stop();
}

#[test]
fn rows_that_come_before_the_refusal_come_once() {
    let proxy = proxy();
    let twins = Twins::create("refused_rows", SETUP);
    let mut pair = twins.login(&proxy);
    // The last of the rows writes; those before it fill no packet of the server's.
    for rows in [3, 200] {
        let lies = format!("CASE WHEN n = {rows} THEN lies(n) END AS of_{rows}");
        let sql = format!("SELECT n, {lies} FROM generate_series(1, {rows}) AS n");
        for way in both_ways(&sql, "rows") {
            pair.same(&way, &sql);
            pair.same(&way, &sql);
            pair.same_query(COUNT);
        }
    }
    pair.leave();
    proxy.stop();
}

/// PostgreSQL has sent much before it comes to the write: the client has begun to
/// read the answer, and it ends in an error.
#[test]
fn rows_that_are_relayed_already_end_in_an_error() {
    let proxy = proxy();
    let database = Database::create("refused_relayed", SETUP);
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    let lies = "CASE WHEN n = 300 THEN lies(n) END AS last";
    let sql = format!("SELECT repeat('x', 1000), {lies} FROM generate_series(1, 300) AS n");
    for (time, bytes) in both_ways(&sql, "relayed").into_iter().enumerate() {
        session.send(&bytes);
        let answer = session.wire.until_ready();
        let rows = answer.iter().filter(|message| message.tag == b'D').count();
        let written = session.value("SELECT count(*) FROM counter");
        eprintln!("{rows} rows, then {:?}; {written} written", sqlstate(&answer));
        assert!(rows <= 300, "no row comes twice");
        session.send(&bytes);
        assert_eq!(sqlstate(&session.wire.until_ready()), None, "known by now, {time}");
    }
    session.leave();
    proxy.stop();
}
