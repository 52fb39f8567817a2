//! Values that the rewriter puts in, which the primary evaluates: in the simple
//! and the extended protocol, and with PREPARE and EXECUTE. One server replicates
//! to the other here; the rewriter is told that nobody does.
#![allow(clippy::unwrap_used)]

use tokio_postgres::Client;
use waypool_tests::raw::{Raw, sqlstate, tags};
use waypool_tests::wire::{bind, describe, execute, flush, parse, sync};
use waypool_tests::{Builder, Database, Proxy, client_with_messages, primary_and_standby, run_async};

/// Each row knows the text that inserted it.
const SETUP: &str = r"
    CREATE TABLE t (id serial, a int, made timestamptz DEFAULT now(), r float8 DEFAULT random(), sent text);
    CREATE FUNCTION sent() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.sent := current_query(); RETURN NEW; END';
    CREATE TRIGGER sent BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION sent();
    CREATE FUNCTION dice(int) RETURNS numeric LANGUAGE sql AS 'SELECT (random() * $1)::numeric'";

fn builder() -> Builder {
    let told = "backend_clustering_mode = \"native_replication\"";
    Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).plugin("rewrite", told)
}

fn login(proxy: &Proxy, database: &Database) -> Raw {
    Raw::login_with(proxy, &[("database", database.name)])
}

#[test]
fn a_query_has_the_values_of_the_primary_in_its_text() {
    let proxy = builder().start();
    let database = Database::create("values_simple", SETUP);
    let session = &mut login(&proxy, &database);
    session.run("SET datestyle = 'SQL, DMY'");
    session.run("SET timezone = 'Asia/Kolkata'");
    session.run("BEGIN");
    session.run("INSERT INTO t (a) /* it's mine */ VALUES (1), (2)");
    assert_eq!(session.value("SELECT count(DISTINCT r) FROM t"), "2");
    assert_eq!(session.value("SELECT string_agg(id::text, ' ') FROM t"), "1 2");
    assert_eq!(session.value("SELECT bool_and(made = now()) FROM t"), "t");
    assert_eq!(session.value("SELECT currval('t_id_seq')"), "2");
    session.run("COMMIT");
    let sent = session.value("SELECT sent FROM t LIMIT 1");
    let begins = "INSERT INTO t (a, \"id\", \"made\", \"r\") /* it's mine */ VALUES (1, '1'::integer, '20";
    assert!(sent.starts_with(begins), "{sent}");
    // The same sequence goes on, whoever counts.
    session.run("INSERT INTO t DEFAULT VALUES");
    assert_eq!(session.value("SELECT max(id) FROM t"), "3");
    session.run("INSERT INTO t (a, sent) VALUES (dice(6), $$a\\'b$$)");
    assert_eq!(session.value("SELECT a BETWEEN 0 AND 6 FROM t WHERE id = 4"), "t");
}

#[test]
fn what_cannot_be_evaluated_fails_as_the_statement_would() {
    let proxy = builder().start();
    let database = Database::create("values_errors", SETUP);
    let session = &mut login(&proxy, &database);
    assert_eq!(session.error("INSERT INTO t (a) VALUES (nextval('nosuch'))"), "42P01");
    assert_eq!(session.error("UPDATE t SET r = random()"), "0A000");
    session.run("BEGIN");
    assert_eq!(session.error("INSERT INTO t (a) VALUES (nextval('nosuch'))"), "42P01");
    assert_eq!(session.error("SELECT 1"), "25P02");
    assert_eq!(session.error("INSERT INTO t (a) VALUES (1)"), "25P02");
    session.run("ROLLBACK");
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    // The same in the extended protocol.
    session.send(
        &[parse("", "INSERT INTO t (a) VALUES (nextval('nosuch'))"), bind("", "", &[]), sync()].concat(),
    );
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("42P01"));
    session.run("INSERT INTO t (a) VALUES (1)");
}

#[test]
fn an_execute_gets_new_values_each_time() {
    let proxy = builder().start();
    let database = Database::create("values_prepare", SETUP);
    let session = &mut login(&proxy, &database);
    session.run("PREPARE p (int, text) AS INSERT INTO t (a) VALUES ($1)");
    session.run("EXECUTE p (1, 'unused')");
    session.run("execute P (floor(random()), ')') -- none");
    session.run("EXPLAIN ANALYZE EXECUTE p (3, NULL)");
    assert_eq!(session.value("SELECT string_agg(id::text, ' ') FROM t"), "1 2 3");
    assert_eq!(session.value("SELECT count(DISTINCT (made, r)) FROM t"), "3");
    // The protocol knows the statement by the same name.
    session.send(&[describe(b'S', "p"), bind("", "p", &["4", "x"]), execute("", 0), sync()].concat());
    let answer = session.wire.until_ready();
    assert_eq!(sqlstate(&answer), None);
    let described = answer.iter().find(|message| message.tag == b't').unwrap();
    assert_eq!(described.body[..2], [0, 2], "the client has two parameters");
    assert_eq!(session.value("SELECT id FROM t WHERE a = 4"), "4");
    session.send(&[parse("", "EXECUTE p (5, '')"), bind("", "", &[]), sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("0A000"));
}

#[test]
fn a_client_knows_of_its_own_parameters_alone() {
    let proxy = builder().start();
    let database = Database::create("values_extended", SETUP);
    run_async(insert_prepared(&proxy, &database));
}

#[test]
fn shared_statements_have_values_too() {
    let proxy = builder().top("pool_mode = \"transaction\"").start();
    let database = Database::create("values_shared", SETUP);
    run_async(insert_prepared(&proxy, &database));
}

async fn connect(proxy: &Proxy, database: &Database) -> Client {
    client_with_messages(proxy, &format!("dbname={}", database.name)).await.0
}

/// Two clients with the same statement, which the driver describes and binds in
/// binary form.
async fn insert_prepared(proxy: &Proxy, database: &Database) {
    let clients = [connect(proxy, database).await, connect(proxy, database).await];
    for client in &clients {
        let statement =
            client.prepare("INSERT INTO t (a, r) VALUES ($1, dice(6)) RETURNING id").await.unwrap();
        assert_eq!(statement.params().len(), 1);
        assert_eq!(statement.columns().len(), 1);
        for a in [10, 20] {
            client.query_one(&statement, &[&a]).await.unwrap();
        }
    }
    let counted =
        "SELECT count(DISTINCT id), count(DISTINCT r), count(DISTINCT made), sum(a), min(sent) FROM t";
    let row = clients[0].query_one(counted, &[]).await.unwrap();
    let counts: [i64; 4] = [0, 1, 2, 3].map(|column| row.get(column));
    assert_eq!(counts, [4, 4, 4, 60]);
    let sent: &str = row.get(4);
    let expected = "INSERT INTO t (a, r, \"id\", \"made\") VALUES ($1, (CASE WHEN true THEN $2 ELSE (dice(6)\n) END), \
                    $3::integer, $4::timestamp with time zone) RETURNING id";
    assert_eq!(sent, expected);
}

#[test]
fn values_belong_behind_the_begin_of_their_batch() {
    let proxy = builder().start();
    let database = Database::create("values_pipeline", SETUP);
    let session = &mut login(&proxy, &database);
    let run = |name: &str| [bind("", name, &[]), execute("", 0)].concat();
    let insert = "INSERT INTO t (a, made) VALUES (txid_current(), now())";
    let batch = [parse("b", "BEGIN"), run("b"), parse("i", insert), run("i"), run("i")];
    session.send(&[batch.concat(), parse("c", "COMMIT"), run("c"), sync()].concat());
    let answer = session.wire.until_ready();
    assert_eq!(sqlstate(&answer), None);
    assert_eq!(tags(&answer), "12C12C2C12CZ");
    assert_eq!(
        session.value("SELECT count(*) FROM t WHERE a = xmin::text::int"),
        "2",
        "the transaction's own"
    );
    assert_eq!(session.value("SELECT count(DISTINCT made) FROM t"), "1");
    // Outside of a transaction all of a batch is evaluated before it.
    session.send(&[run("i"), run("i"), sync()].concat());
    assert_eq!(tags(&session.wire.until_ready()), "2C2CZ");
    assert_eq!(session.value("SELECT count(DISTINCT id) FROM t"), "4");
}

#[test]
fn a_bind_that_does_not_fit_is_told_so() {
    let proxy = builder().start();
    let database = Database::create("values_misfits", SETUP);
    let session = &mut login(&proxy, &database);
    session.send(&[parse("i", "INSERT INTO t (a) VALUES ($1)"), bind("", "i", &[]), sync()].concat());
    let answer = session.wire.until_ready();
    let error = answer.iter().find(|message| message.tag == b'E').unwrap();
    let message = "bind message supplies 0 parameters, but prepared statement \"i\" requires 1";
    assert_eq!(
        (error.field(b'C').unwrap().as_str(), error.field(b'M').unwrap().as_str()),
        ("08P01", message)
    );
    // In the middle of an implicit transaction nothing can be asked for.
    session.send(&[parse("i", "INSERT INTO t (a) VALUES ($1)"), sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
    session.send(&[parse("", "SELECT 1"), bind("", "", &[]), execute("", 0), flush()].concat());
    while session.wire.read_message().unwrap().unwrap().tag != b'C' {}
    session.send(&[bind("", "i", &["1"]), execute("", 0), sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("0A000"));
    // Another format for each parameter, and a long one.
    session.run("SELECT 1");
    let long = format!("{}1", "0".repeat(399_999));
    session.send(&[bind("", "i", &[&long]), execute("", 0), sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
    assert_eq!(session.value("SELECT a FROM t"), "1");
}
