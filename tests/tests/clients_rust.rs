//! tokio-postgres through the proxy: the extended protocol, pipelined.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use futures_util::{StreamExt, pin_mut};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};
use waypool_tests::{Database, PATIENCE, Proxy, client_with_messages, primary_and_standby, run_async};

/// Reads go to the standby whenever they may.
fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start()
}

async fn connect(proxy: &Proxy, database: &Database) -> Client {
    client_with_messages(proxy, &format!("dbname={}", database.name)).await.0
}

#[test]
fn values_of_all_kinds_come_and_go() {
    let proxy = proxy();
    let setup = "CREATE TABLE t (a int2, b int8, c float8, d bool, e text, f bytea, g int4[], h text[], i timestamptz)";
    let database = Database::create("rust_values", setup);
    run_async(async {
        let client = connect(&proxy, &database).await;
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let bytes = (0..=255_u8).collect::<Vec<_>>();
        let words = vec![Some("a"), None, Some("quote \" and \\")];
        client
            .execute(
                insert,
                &[&-5_i16, &i64::MAX, &0.1, &true, &"naïve ☃", &bytes, &vec![1, 2, 3], &words, &now],
            )
            .await
            .unwrap();
        let nothing = None::<&str>;
        client
            .execute(
                insert,
                &[
                    &None::<i16>,
                    &None::<i64>,
                    &None::<f64>,
                    &None::<bool>,
                    &nothing,
                    &None::<&[u8]>,
                    &None::<Vec<i32>>,
                    &None::<Vec<&str>>,
                    &None::<SystemTime>,
                ],
            )
            .await
            .unwrap();
        let rows = client.query("SELECT * FROM t ORDER BY a", &[]).await.unwrap();
        let row = &rows[0];
        assert_eq!((row.get(0), row.get(1), row.get(2)), (-5_i16, i64::MAX, 0.1));
        assert_eq!((row.get(3), row.get(4)), (true, "naïve ☃"));
        assert_eq!((row.get(5), row.get(6)), (bytes.as_slice(), vec![1, 2, 3]));
        assert_eq!((row.get(7), row.get(8)), (words, now));
        assert!((0..4).all(|column| rows[1].try_get::<_, bool>(column).is_err()));
        assert_eq!(rows[1].get::<_, Option<&str>>(4), None);
    });
    proxy.stop();
}

#[test]
fn a_thousand_statements_in_flight_are_answered_in_order() {
    let proxy = proxy();
    let database = Database::create("rust_pipeline", "CREATE TABLE t (n int)");
    run_async(async {
        let client = connect(&proxy, &database).await;
        let read = client.prepare("SELECT $1::int8 * 2").await.unwrap();
        let write = client.prepare("INSERT INTO t VALUES ($1)").await.unwrap();
        // Reads and writes alternate between the servers; every seventh fails.
        let answers = join_all((0..1000_i64).map(|n| {
            let (client, read, write) = (&client, &read, &write);
            async move {
                match n % 7 {
                    0 => client.query_typed("SELECT 1 / 0", &[]).await.map(|_| 0),
                    1 | 2 => client.execute(write, &[&(n as i32)]).await.map(|count| count as i64),
                    _ => client.query_one(read, &[&n]).await.map(|row| row.get::<_, i64>(0)),
                }
            }
        }))
        .await;
        for (n, answer) in answers.into_iter().enumerate() {
            match n % 7 {
                0 => assert_eq!(answer.unwrap_err().code(), Some(&SqlState::DIVISION_BY_ZERO), "{n}"),
                1 | 2 => assert_eq!(answer.unwrap(), 1, "{n}"),
                _ => assert_eq!(answer.unwrap(), 2 * n as i64),
            }
        }
        let count = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
        assert_eq!(count.get::<_, i64>(0), 286);
    });
    proxy.stop();
}

#[test]
fn transactions_nest_and_roll_back_when_dropped() {
    let proxy = proxy();
    let database = Database::create("rust_transactions", "CREATE TABLE t (n int PRIMARY KEY)");
    run_async(async {
        let mut client = connect(&proxy, &database).await;
        let count = "SELECT count(*) FROM t";
        let mut outer = client.transaction().await.unwrap();
        outer.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
        let mut inner = outer.transaction().await.unwrap();
        inner.execute("INSERT INTO t VALUES (2)", &[]).await.unwrap();
        let innermost = inner.savepoint("named").await.unwrap();
        let duplicate = innermost.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap_err();
        assert_eq!(duplicate.code(), Some(&SqlState::UNIQUE_VIOLATION));
        innermost.rollback().await.unwrap();
        assert_eq!(inner.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 2);
        drop(inner);
        assert_eq!(outer.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
        outer.commit().await.unwrap();
        drop(client.transaction().await.unwrap());
        let read_only = client.build_transaction().read_only(true).start().await.unwrap();
        let refused = read_only.execute("DELETE FROM t", &[]).await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
        drop(read_only);
        assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
    });
    proxy.stop();
}

#[test]
fn hundreds_of_prepared_statements_live_and_die() {
    let proxy = proxy();
    let database = Database::create("rust_prepared", "CREATE TABLE t (n int)");
    run_async(async {
        let mut client = connect(&proxy, &database).await;
        let texts: Vec<String> = (0..300).map(|n| format!("SELECT {n} + count(*) FROM t")).collect();
        let prepared = join_all(texts.iter().map(|text| client.prepare(text))).await;
        let mut prepared: Vec<_> = prepared.into_iter().map(Result::unwrap).collect();
        for round in 0..3_i64 {
            let transaction = client.transaction().await.unwrap();
            transaction.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
            // Prepared while reads went to the standby, needed on the primary.
            for (n, statement) in prepared.iter().enumerate().step_by(7) {
                let row = transaction.query_one(statement, &[]).await.unwrap();
                assert_eq!(row.get::<_, i64>(0), n as i64 + round + 1);
            }
            transaction.commit().await.unwrap();
            for (n, statement) in prepared.iter().enumerate() {
                let row = client.query_one(statement, &[]).await.unwrap();
                assert_eq!(row.get::<_, i64>(0), n as i64 + round + 1);
            }
            // Dropped from the end: their Close messages go out by themselves.
            prepared.truncate(prepared.len() - 90);
        }
    });
    proxy.stop();
}

#[test]
fn a_portal_gives_its_rows_bit_by_bit() {
    let proxy = proxy();
    let database = Database::create("rust_portal", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    run_async(async {
        let mut client = connect(&proxy, &database).await;
        let transaction = client.transaction().await.unwrap();
        let portal = transaction.bind("SELECT n FROM t WHERE n > $1 ORDER BY n", &[&5]).await.unwrap();
        let mut numbers = Vec::new();
        loop {
            let rows = transaction.query_portal(&portal, 100).await.unwrap();
            numbers.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
            if rows.len() < 100 {
                break;
            }
            transaction.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
            if numbers.len() == 300 {
                // What is open stays open when the transaction begins to write.
                transaction.execute("DELETE FROM t WHERE n > 500", &[]).await.unwrap();
            }
        }
        assert_eq!(numbers, (6..=1000).collect::<Vec<_>>());
        transaction.rollback().await.unwrap();
    });
    proxy.stop();
}

#[test]
fn simple_queries_of_several_statements_stop_at_the_first_error() {
    let proxy = proxy();
    let database = Database::create("rust_simple", "CREATE TABLE t (n int)");
    run_async(async {
        let client = connect(&proxy, &database).await;
        let text = "INSERT INTO t VALUES (1), (2); SELECT n FROM t ORDER BY n; ; DELETE FROM t WHERE n = 1";
        let answers = client.simple_query(text).await.unwrap();
        let told: Vec<String> = answers
            .iter()
            .filter_map(|answer| match answer {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                SimpleQueryMessage::CommandComplete(count) => Some(format!("{count} rows")),
                _ => None,
            })
            .collect();
        assert_eq!(told, ["2 rows", "1", "2", "2 rows", "1 rows"]);
        let error =
            client.simple_query("INSERT INTO t VALUES (3); SELECT 1 / 0; SELECT 2").await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
        let error = client.simple_query("BEGIN; INSERT INTO t VALUES (3); SELEC").await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR));
        client.batch_execute("BEGIN; INSERT INTO t VALUES (4); ROLLBACK").await.unwrap();
        let row = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 1);
        client.check_connection().await.unwrap();
    });
    proxy.stop();
}

#[test]
fn notifications_reach_a_client_that_waits() {
    let proxy = proxy();
    let database = Database::create("rust_notifications", "");
    run_async(async {
        let options = format!("dbname={}", database.name);
        let (listener, mut messages) = client_with_messages(&proxy, &options).await;
        listener.batch_execute("LISTEN news").await.unwrap();
        let speaker = connect(&proxy, &database).await;
        for n in 0..10 {
            let payload = n.to_string();
            speaker.execute("SELECT pg_notify('news', $1)", &[&payload]).await.unwrap();
            let heard = tokio::time::timeout(PATIENCE, messages.recv()).await.unwrap().unwrap();
            let AsyncMessage::Notification(heard) = heard else { panic!("{heard:?}") };
            assert_eq!((heard.channel(), heard.payload()), ("news", payload.as_str()));
            // A read on the standby in between does no harm.
            listener.query_one("SELECT 1", &[]).await.unwrap();
        }
    });
    proxy.stop();
}

#[test]
fn a_query_is_cancelled_and_the_session_goes_on() {
    let proxy = proxy();
    let database = Database::create("rust_cancel", "");
    run_async(async {
        let client = connect(&proxy, &database).await;
        for server in ["", "/*NO LOAD BALANCE*/ "] {
            let text = format!("{server}SELECT count(*) FROM generate_series(1, 100000000000)");
            let query = client.query_one(&text, &[]);
            pin_mut!(query);
            // A request that comes before the query has begun hits nothing.
            let error = loop {
                let answer = tokio::time::timeout(Duration::from_millis(200), &mut query).await;
                match answer {
                    Ok(answer) => break answer.unwrap_err(),
                    Err(_) => client.cancel_token().cancel_query(NoTls).await.unwrap(),
                }
            };
            assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
            client.query_one("SELECT 1", &[]).await.unwrap();
        }
    });
    proxy.stop();
}

#[test]
fn long_texts_values_and_answers_pass() {
    let proxy = proxy();
    let database = Database::create("rust_long", "CREATE TABLE t (s text)");
    run_async(async {
        let client = connect(&proxy, &database).await;
        let long = "x".repeat(20 << 20);
        client.execute("INSERT INTO t VALUES ($1)", &[&long]).await.unwrap();
        let row = client.query_one("SELECT s FROM t", &[]).await.unwrap();
        assert!(row.get::<_, &str>(0) == long, "a long value came back changed");
        // Longer than what is classified: as a read it would be allowed anywhere.
        let text = format!("SELECT length('{}')", "y".repeat(1 << 20));
        let row = client.query_one(&text, &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 1 << 20);
        let answer = client.simple_query(&text).await.unwrap();
        assert!(
            answer
                .iter()
                .any(|it| matches!(it, SimpleQueryMessage::Row(row) if row.get(0) == Some("1048576")))
        );
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
        let rows =
            client.query_raw("SELECT n, repeat('z', 100) FROM generate_series(1, 200000) AS n", parameters);
        let rows = rows.await.unwrap();
        pin_mut!(rows);
        let mut expected = 1;
        while let Some(row) = rows.next().await {
            assert_eq!(row.unwrap().get::<_, i32>(0), expected);
            expected += 1;
        }
        assert_eq!(expected, 200_001);
    });
    proxy.stop();
}

#[test]
fn an_answer_that_nobody_reads_does_not_spoil_the_next_one() {
    let proxy = proxy();
    let database = Database::create("rust_abandoned", "");
    run_async(async {
        let client = connect(&proxy, &database).await;
        for n in 0..50_i32 {
            // Dropped while its answer is on the way: tokio-postgres reads on.
            let slow = client.query("SELECT generate_series(1, 20000)", &[]);
            let _ = tokio::time::timeout(Duration::from_millis(1), slow).await;
            let row = client.query_one("SELECT $1::int4", &[&n]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), n);
        }
    });
    proxy.stop();
}
