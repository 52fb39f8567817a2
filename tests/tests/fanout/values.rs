//! Values that each server would make up for itself are the same on all, or
//! refused.

use waypool_sandbox::Mode;
use waypool_tests::raw::{Raw, copy_data, copy_done, sqlstate, tags, wait_blocked};
use waypool_tests::wire::{bind, describe, execute, flush, parse, query, sync};

use crate::Twins;
use crate::extended::{run, statement};

const SETUP: &str = r"
    CREATE TABLE t (
        id serial PRIMARY KEY, a text, made timestamptz DEFAULT now(), clock timestamptz DEFAULT clock_timestamp(),
        r float8 DEFAULT random(), u uuid DEFAULT gen_random_uuid());
    CREATE TABLE i (n bigint GENERATED ALWAYS AS IDENTITY, a text UNIQUE);
    CREATE FUNCTION dice(int) RETURNS int LANGUAGE sql AS 'SELECT ceil(random() * $1)::int'";

fn login(twins: &Twins) -> Raw {
    let mut session = Raw::login(&twins.proxy);
    session.run("SET datestyle = 'SQL, DMY'");
    session
}

/// All rows are the same, and so many; the sequences too.
#[track_caller]
fn assert_rows(twins: &Twins, t: usize, i: usize) {
    let count = |rows: String| rows.lines().count();
    assert_eq!(count(twins.everywhere("SELECT * FROM t ORDER BY id")), t);
    assert_eq!(count(twins.everywhere("SELECT * FROM i ORDER BY n")), i);
    twins.everywhere("SELECT last_value, is_called FROM t_id_seq");
    twins.everywhere("SELECT last_value, is_called FROM i_n_seq");
}

fn copy(session: &mut Raw, sql: &str, rows: &[&str]) -> Option<String> {
    session.send(&query(sql));
    let begun = session.wire.next().unwrap();
    assert_eq!(begun.tag, b'G', "{sql}: {begun:?}");
    let data: Vec<u8> = rows.iter().flat_map(|row| copy_data(format!("{row}\n").as_bytes())).collect();
    session.send(&[data, copy_done()].concat());
    sqlstate(&session.wire.until_ready())
}

#[test]
fn every_kind_of_value_is_the_same_on_all() {
    let twins = Twins::with(3, |builder| builder.weights(&[0.0, 1.0, 0.0]));
    let mut session = login(&twins);
    session.run(SETUP);
    for sql in [
        "INSERT INTO t (a) VALUES ('simple'), ('twice')",
        "INSERT INTO t DEFAULT VALUES",
        "INSERT INTO t (a, r) VALUES (dice(6)::text || timeofday(), DEFAULT) RETURNING id",
        "INSERT INTO t (a) SELECT pg_backend_pid()::text || gen_random_uuid()",
        "INSERT INTO t (a, clock, r, u) SELECT x, now(), 1, NULL FROM generate_series(1, 3) x ORDER BY x",
        "WITH x AS (SELECT 'with' AS a) INSERT INTO t (a, clock, r, u) SELECT a, now(), 1, NULL FROM x ORDER BY 1",
        "UPDATE t SET made = current_timestamp, a = a || to_char(now(), 'US') WHERE id < 3",
        "INSERT INTO t (id, a) VALUES (1, 'conflict') ON CONFLICT (id) DO UPDATE SET made = DEFAULT, a = version()",
        "INSERT INTO i (a) VALUES ('one'), (random()::text)",
        "INSERT INTO i (a) SELECT x::text FROM generate_series(2, 4) x ORDER BY 1",
        "CREATE TABLE made AS SELECT now() AS at, txid_current() AS x",
        "PREPARE p (text, int) AS INSERT INTO t (a, r) VALUES ($1, random())",
        "EXECUTE p ('executed', 1)",
        "EXECUTE p (clock_timestamp()::text, 2)",
        "PREPARE q AS INSERT INTO i (a) SELECT a || id FROM t ORDER BY id",
        "EXECUTE q",
        "EXPLAIN ANALYZE EXECUTE p ('explained', 3)",
        "INSERT INTO t (a) VALUES ('several'); INSERT INTO i (a) VALUES (now()::text)",
    ] {
        session.run(sql);
    }
    assert_eq!(copy(&mut session, "COPY i (a) FROM STDIN", &["copied", "also"]), None);
    assert_eq!(twins.everywhere("SELECT count(DISTINCT u) - count(u) FROM t"), "0", "one for each row");
    // A long text, and a column that the rows get which are there.
    session.run("CREATE TABLE long (a text, n serial, at timestamptz DEFAULT now())");
    let value = format!("('{}')", "x".repeat(30_000));
    session.run(&format!("INSERT INTO long (a) VALUES {}", vec![value; 20].join(", ")));
    session.run("ALTER TABLE long ADD COLUMN added timestamptz DEFAULT now() NOT NULL");
    session.run("INSERT INTO long (a) VALUES ('short')");
    assert_eq!(
        twins.everywhere("SELECT count(DISTINCT n), count(DISTINCT at), count(DISTINCT added) FROM long"),
        "21|2|2"
    );
    twins.everywhere("SELECT n, at, added FROM long ORDER BY n");
    twins.everywhere("SELECT * FROM made");
    let numbered: usize = session.value("SELECT count(*) FROM t").parse().unwrap();
    let items: usize = session.value("SELECT count(*) FROM i").parse().unwrap();
    assert_eq!((numbered, items), (13, 2 + 3 + 11 + 1 + 2));
    assert_rows(&twins, numbered, items);
    // A transaction, of which a part is rolled back.
    session.run("BEGIN");
    session.run("INSERT INTO t (a) VALUES ('begun'), ('begun too')");
    assert_eq!(session.value("SELECT bool_and(made = now()) FROM t WHERE a LIKE 'begun%'"), "t");
    session.run("SAVEPOINT s");
    session.run("INSERT INTO t (a) VALUES ('gone')");
    assert_eq!(session.error("INSERT INTO t (id) VALUES (1)"), "23505");
    session.run("ROLLBACK TO s");
    session.run("INSERT INTO t (a) VALUES (lastval()::text)");
    session.run("COMMIT");
    assert_rows(&twins, numbered + 3, items);
    session.leave();
    twins.proxy.stop();
}

#[test]
fn the_extended_protocol_has_them_too() {
    let twins = Twins::new(2);
    let mut session = login(&twins);
    session.run(SETUP);
    let insert = "INSERT INTO t (a) VALUES ($1)";
    session.send(&[parse("i", insert), describe(b'S', "i"), sync()].concat());
    let answer = session.wire.until_ready();
    assert_eq!(tags(&answer), "1tnZ");
    assert_eq!(answer[1].body[..2], [0, 1], "the client has one parameter");
    let once = |a: &str| [bind("", "i", &[a]), execute("", 0)].concat();
    assert_eq!(run(&mut session, &[once("one"), sync()]), "2CZ");
    assert_eq!(run(&mut session, &[once("two"), once("three"), sync()]), "2C2CZ");
    assert_eq!(run(&mut session, &[statement("INSERT INTO i (a) VALUES (now()::text)"), sync()]), "12CZ");
    assert_eq!(run(&mut session, &[bind("", "i", &[]), execute("", 0), sync()]), "EZ 08P01");
    // Behind a BEGIN in the same batch, and with a COMMIT.
    let whole = [statement("BEGIN"), once("four"), once("five"), statement("COMMIT"), sync()];
    assert_eq!(run(&mut session, &whole), "12C2C2C12CZ");
    assert_eq!(session.value("SELECT count(DISTINCT made) FROM t WHERE id IN (4, 5)"), "1");
    // As drivers do that describe first; and in the middle of a cycle.
    let read = |session: &mut Raw, count: usize| -> String {
        (0..count).map(|_| char::from(session.wire.next().unwrap().tag)).collect()
    };
    session.send(&[parse("", insert), describe(b'S', ""), flush()].concat());
    assert_eq!(read(&mut session, 3), "1tn");
    session.send(&[bind("", "", &["six"]), execute("", 0), flush()].concat());
    assert_eq!(read(&mut session, 2), "2C");
    assert_eq!(run(&mut session, &[bind("", "", &["seven"]), execute("", 0), sync()]), "2CZ");
    session.send(&[once("eight"), flush()].concat());
    assert_eq!(read(&mut session, 2), "2C");
    assert_eq!(
        run(&mut session, &[once("nine"), statement("INSERT INTO t (id) VALUES (1)"), sync()]),
        "2C12EZ 23505"
    );
    assert_rows(&twins, 7, 1);
    // Rows that are numbered by each server.
    assert_eq!(
        run(
            &mut session,
            &[statement("INSERT INTO i (a) SELECT 'x' || x FROM generate_series(1, 2) x ORDER BY 1"), sync()]
        ),
        "12CZ"
    );
    session.send(&[statement("COPY i (a) FROM STDIN"), sync()].concat());
    assert_eq!(read(&mut session, 3), "12G");
    assert_eq!(run(&mut session, &[copy_data(b"copied\n"), copy_done(), sync()]), "CZ");
    // A statement prepared by SQL has the same name here.
    session.run("PREPARE s (text) AS INSERT INTO t (a) VALUES ($1)");
    assert_eq!(run(&mut session, &[bind("", "s", &["by name"]), execute("", 0), sync()]), "2CZ");
    assert_rows(&twins, 8, 4);
    session.leave();
    twins.proxy.stop();
}

#[test]
fn what_fails_leaves_the_servers_equal() {
    let twins = Twins::new(2);
    let mut session = login(&twins);
    session.run(SETUP);
    session.run("INSERT INTO i (a) VALUES ('taken')");
    // A value that cannot be had.
    for sql in [
        "INSERT INTO t (a) VALUES (nextval('nosuch')::text)",
        "INSERT INTO t (a, r) VALUES ('', random() / 0)",
        "INSERT INTO t (id, a) VALUES (nextval('t_id_seq'), dice(NULL) || 'x' || dice(1 / 0))",
    ] {
        assert!(["42P01", "22012"].contains(&&*session.error(sql)), "{sql}");
        session.run("BEGIN");
        session.run("INSERT INTO t (a) VALUES ('gone')");
        session.error(sql);
        assert_eq!(session.error("INSERT INTO t (a) VALUES ('refused')"), "25P02");
        session.run("ROLLBACK");
        let batch = [parse("", sql), bind("", "", &[]), execute("", 0), sync()];
        assert!(run(&mut session, &batch).contains("EZ"), "{sql}");
    }
    assert_rows(&twins, 0, 1);
    // A value that is taken: the numbers are used up, on all.
    for _ in 0..3 {
        assert_eq!(session.error("INSERT INTO i (a) VALUES ('taken')"), "23505");
    }
    assert_rows(&twins, 0, 1);
    // Rows that only the main server has begun to number.
    let select = "INSERT INTO i (a) SELECT CASE x WHEN 3 THEN 'taken' ELSE x::text END FROM generate_series(1, 4) x ORDER BY x";
    assert_eq!(session.error(select), "23505");
    assert_rows(&twins, 0, 1);
    assert_eq!(copy(&mut session, "COPY i (a) FROM STDIN", &["a", "b", "taken"]).as_deref(), Some("23505"));
    assert_rows(&twins, 0, 1);
    session.run("BEGIN");
    session.run("SAVEPOINT s");
    assert_eq!(session.error(select), "23505");
    session.run("ROLLBACK TO s");
    session.run("INSERT INTO i (a) VALUES ('behind it')");
    assert_eq!(copy(&mut session, "COPY i (a) FROM STDIN", &["c", "d"]), None);
    session.run("COMMIT");
    assert_rows(&twins, 0, 4);
    session.run("BEGIN");
    assert_eq!(copy(&mut session, "COPY i (a) FROM STDIN", &["e", "taken"]).as_deref(), Some("23505"));
    session.run("ROLLBACK");
    assert_rows(&twins, 0, 4);
    session.leave();
    twins.proxy.stop();
}

#[test]
fn what_differs_for_each_row_is_refused_or_allowed() {
    let twins = Twins::new(2);
    let mut session = login(&twins);
    session.run(SETUP);
    session.run("INSERT INTO t (a) VALUES ('one')");
    for sql in [
        "UPDATE t SET r = random()",
        "DELETE FROM t WHERE random() < 2",
        "INSERT INTO t (a) SELECT a FROM t ORDER BY 1",
        "INSERT INTO i (a) SELECT a FROM t",
        "COPY t (a) FROM STDIN",
    ] {
        assert_eq!(session.error(sql), "0A000", "{sql}");
        assert_eq!(run(&mut session, &[statement(sql), sync()]), "EZ 0A000");
    }
    assert_rows(&twins, 1, 0);
    session.leave();
    twins.proxy.stop();
    let strict = crate::replicating(&twins.cluster, "native_replication")
        .plugin("rewrite", "on_nondeterministic = \"reject\"")
        .start();
    let mut session = Raw::login(&strict);
    assert_eq!(session.error("INSERT INTO t (a) VALUES ('two')"), "0A000");
    session.run("INSERT INTO t (a, clock, r, u) VALUES ('two', now(), 1, NULL)");
    session.leave();
    assert_rows(&twins, 2, 0);
    strict.stop();
    let lax = crate::replicating(&twins.cluster, "native_replication")
        .plugin("rewrite", "on_nondeterministic = \"allow\"")
        .start();
    let mut session = Raw::login(&lax);
    session.run("INSERT INTO t (a) VALUES ('three')");
    assert_rows(&twins, 3, 0);
    session.run("UPDATE t SET r = random()");
    let sums = twins.servers().iter().map(|server| server.psql("SELECT sum(r) FROM t").unwrap());
    assert_ne!(sums.clone().next(), sums.clone().last(), "each server has its own");
    session.leave();
    lax.stop();
}

#[test]
fn who_numbers_rows_waits_for_who_takes_numbers() {
    let twins = Twins::new(2);
    let mut first = login(&twins);
    let mut second = login(&twins);
    first.run(SETUP);
    // Values wait for nobody.
    first.run("BEGIN");
    first.run("INSERT INTO i (a) VALUES ('one')");
    second.run("INSERT INTO i (a) VALUES ('two')");
    first.run("INSERT INTO i (a) VALUES ('three')");
    second.send(&query("INSERT INTO i (a) SELECT 'x' || x FROM generate_series(1, 3) x ORDER BY 1"));
    wait_blocked(&twins.servers()[0], "LOCK TABLE");
    // Whoever has the table already does not wait for who waits.
    first.run("INSERT INTO i (a) VALUES ('four')");
    first.run("COMMIT");
    assert_eq!(sqlstate(&second.wire.until_ready()), None);
    assert_rows(&twins, 0, 7);
    // As Pgpool-II's comments say.
    first.run("BEGIN");
    first.run("/*INSERT LOCK*/ INSERT INTO i (a) VALUES ('locks')");
    second.send(&query("INSERT INTO i (a) VALUES ('waits')"));
    wait_blocked(&twins.servers()[0], "LOCK TABLE");
    first.run("COMMIT");
    assert_eq!(sqlstate(&second.wire.until_ready()), None);
    second.run("/*NO INSERT LOCK*/ INSERT INTO i (a) VALUES ('does not')");
    assert_rows(&twins, 0, 10);
    first.leave();
    second.leave();
    twins.proxy.stop();
}

#[test]
fn numbers_go_on_when_main_is_lost() {
    let twins = Twins::new(2);
    let mut session = login(&twins);
    session.run(SETUP);
    session.run("INSERT INTO i (a) VALUES ('one')");
    session.run("BEGIN");
    session.run("INSERT INTO i (a) VALUES ('two')");
    twins.servers()[0].stop(Mode::Immediate).unwrap();
    session.run("INSERT INTO i (a) VALUES ('three')");
    session.run("COMMIT");
    session.run("INSERT INTO i (a) VALUES (now()::text)");
    assert_eq!(
        twins.servers()[1].psql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM i").unwrap(),
        "1 2 3 4"
    );
    session.leave();
    twins.proxy.stop();
}

#[test]
fn a_transaction_knows_the_tables_that_it_has_made() {
    let twins = Twins::new(2);
    let mut session = login(&twins);
    session.run("CREATE TABLE kept (a int)");
    session.run("PREPARE p AS INSERT INTO kept (a) VALUES (1)");
    session.run("BEGIN");
    session.run("CREATE TABLE made (id serial, at timestamptz DEFAULT clock_timestamp(), a text)");
    session.run("INSERT INTO made (a) VALUES ('simple'), ('twice')");
    assert_eq!(run(&mut session, &[statement("INSERT INTO made (a) VALUES (random())"), sync()]), "12CZ");
    session.run("SAVEPOINT s");
    session.run("ALTER TABLE made ADD r float8");
    session.run("ALTER TABLE made ALTER r SET DEFAULT random()");
    session.run("ALTER TABLE kept ADD u uuid");
    session.run("ALTER TABLE kept ALTER u SET DEFAULT gen_random_uuid()");
    session.run("INSERT INTO made (a) VALUES ('with r')");
    assert_eq!(session.error("EXECUTE p"), "0A000", "it was prepared without the column");
    session.run("ROLLBACK TO s");
    session.run("EXECUTE p");
    session.run("INSERT INTO made (a) VALUES ('without r')");
    session.run("ALTER TABLE kept ADD at timestamptz");
    session.run("ALTER TABLE kept ALTER at SET DEFAULT now()");
    session.run("DEALLOCATE p");
    session.run("PREPARE p AS INSERT INTO kept (a) VALUES (1)");
    session.run("EXECUTE p");
    session.run("COMMIT");
    session.run("INSERT INTO kept (a) VALUES (2)");
    assert_eq!(twins.everywhere("SELECT * FROM made ORDER BY id").lines().count(), 4);
    assert_eq!(twins.everywhere("SELECT * FROM kept ORDER BY a, at").lines().count(), 3);
    session.leave();
    twins.proxy.stop();
}
