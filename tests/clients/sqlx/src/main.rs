//! sqlx: prints what it gets, to be compared. The port and the database come from
//! the environment.

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgAdvisoryLock, PgConnectOptions, PgListener, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Row};

type Outcome = Result<(), sqlx::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let database = std::env::var("WAYPOOL_TEST_DATABASE").expect("WAYPOOL_TEST_DATABASE is set");
    // The rest is in PGHOST, PGPORT and PGUSER.
    let options = PgConnectOptions::new().database(&database).statement_cache_capacity(10);
    let mut connection = PgConnection::connect_with(&options).await?;
    values(&mut connection).await?;
    errors(&mut connection).await?;
    transactions(&mut connection).await?;
    streams(&mut connection).await?;
    copies(&mut connection).await?;
    many_statements(&mut connection).await?;
    connection.close().await?;
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await?;
    pooled(&pool).await?;
    notifications(&pool).await?;
    locks(&pool).await?;
    pool.close().await;
    Ok(())
}

fn told(error: sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => format!("{:?} {} {:?} {:?}", error.code(), error, error.table(), error.constraint()),
        None => error.to_string(),
    }
}

async fn values(connection: &mut PgConnection) -> Outcome {
    // Several statements at once go as a Query.
    connection
        .execute("DROP TABLE IF EXISTS r; CREATE TABLE r (id int PRIMARY KEY, name text, data bytea, list int[], real float8)")
        .await?;
    for n in 0..20_i32 {
        let done = sqlx::query("INSERT INTO r VALUES ($1, $2, $3, $4, $5)")
            .bind(n)
            .bind((n % 3 > 0).then(|| format!("name {n}")))
            .bind(vec![n as u8; 3])
            .bind(vec![n, n + 1])
            .bind(f64::from(n) / 7.0)
            .execute(&mut *connection)
            .await?;
        assert_eq!(done.rows_affected(), 1);
    }
    let rows =
        sqlx::query("SELECT * FROM r WHERE id < $1 ORDER BY id").bind(5).fetch_all(&mut *connection).await?;
    for row in rows {
        let name: Option<String> = row.get("name");
        let (data, list): (Vec<u8>, Vec<i32>) = (row.get("data"), row.get("list"));
        println!("{} {name:?} {data:?} {list:?} {}", row.get::<i32, _>("id"), row.get::<f64, _>("real"));
    }
    let one: (i64, Option<String>) =
        sqlx::query_as("SELECT count(*), max(name) FROM r").fetch_one(&mut *connection).await?;
    println!("{one:?}");
    let none = sqlx::query("SELECT 1 FROM r WHERE id = $1").bind(-1).fetch_optional(&mut *connection).await?;
    println!("{}", none.is_none());
    // Not prepared: the statement without a name.
    let once = sqlx::query_scalar::<_, i32>("SELECT $1 + 1").persistent(false).bind(41);
    println!("{}", once.fetch_one(&mut *connection).await?);
    let mut several = connection.fetch_many("SELECT 1 AS n; DELETE FROM r WHERE id > 17; SELECT 2 AS n");
    while let Some(step) = several.try_next().await? {
        match step {
            sqlx::Either::Left(done) => println!("{} rows", done.rows_affected()),
            sqlx::Either::Right(row) => println!("row {}", row.get::<i32, _>("n")),
        }
    }
    Ok(())
}

async fn errors(connection: &mut PgConnection) -> Outcome {
    for text in [
        "SELEC 1",
        "SELECT * FROM missing",
        "SELECT 1 / 0",
        "INSERT INTO r VALUES (1)",
        "SELECT 1; SELECT 1 / 0; SELECT 2",
    ] {
        let failed = connection.execute(text).await;
        println!("{}", failed.map_or_else(told, |_| "no error".into()));
    }
    let failed = sqlx::query("INSERT INTO r (id) VALUES ($1)").bind(2).execute(&mut *connection).await;
    println!("{}", failed.map_or_else(told, |_| "no error".into()));
    connection.ping().await?;
    // Changed below a prepared statement: the driver hears of it, or sees nothing.
    let text = "SELECT * FROM changing";
    connection.execute("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)").await?;
    let columns = |row: PgRow| row.columns().len();
    println!("{}", sqlx::query(text).map(columns).fetch_one(&mut *connection).await?);
    connection.execute("DROP TABLE changing").await?;
    Ok(())
}

async fn transactions(connection: &mut PgConnection) -> Outcome {
    let count = "SELECT count(*) FROM r";
    let mut outer = connection.begin().await?;
    sqlx::query("INSERT INTO r (id) VALUES ($1)").bind(100).execute(&mut *outer).await?;
    let mut inner = outer.begin().await?;
    sqlx::query("INSERT INTO r (id) VALUES ($1)").bind(101).execute(&mut *inner).await?;
    let failed = sqlx::query("INSERT INTO r (id) VALUES ($1)").bind(101).execute(&mut *inner).await;
    println!("{}", failed.map_or_else(told, |_| "no error".into()));
    let failed = sqlx::query(count).execute(&mut *inner).await;
    println!("{}", failed.map_or_else(told, |_| "no error".into()));
    inner.rollback().await?;
    println!("{}", sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *outer).await?);
    outer.commit().await?;
    // Rolled back by itself when dropped, before the next statement.
    let mut dropped = connection.begin().await?;
    sqlx::query("DELETE FROM r").execute(&mut *dropped).await?;
    drop(dropped);
    println!("{}", sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *connection).await?);
    let mut read_only = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    println!("{}", sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *read_only).await?);
    let failed = sqlx::query("DELETE FROM r").execute(&mut *read_only).await;
    println!("{}", failed.map_or_else(told, |_| "no error".into()));
    read_only.rollback().await
}

async fn streams(connection: &mut PgConnection) -> Outcome {
    let numbers = sqlx::query_scalar::<_, i32>("SELECT generate_series(1, $1)").bind(50_000);
    let sum = numbers
        .fetch(&mut *connection)
        .try_fold(0_i64, |sum, n| async move { Ok(sum + i64::from(n)) })
        .await?;
    println!("{sum}");
    // The rest is read before the next statement.
    let mut stream =
        sqlx::query_scalar::<_, i32>("SELECT generate_series(1, $1)").bind(50_000).fetch(&mut *connection);
    println!("{:?}", stream.next().await.transpose()?);
    drop(stream);
    println!("{}", sqlx::query_scalar::<_, i32>("SELECT 7").fetch_one(&mut *connection).await?);
    let portal: Vec<i32> =
        sqlx::query_scalar("SELECT id FROM r ORDER BY id LIMIT 3").fetch_all(&mut *connection).await?;
    println!("{portal:?}");
    Ok(())
}

async fn copies(connection: &mut PgConnection) -> Outcome {
    let mut into = connection.copy_in_raw("COPY r (id, name) FROM STDIN").await?;
    into.send(b"200\tone\n201\ttwo\n".as_slice()).await?;
    println!("{}", into.finish().await?);
    let mut given_up = connection.copy_in_raw("COPY r (id, name) FROM STDIN").await?;
    given_up.send(b"300\tone\n".as_slice()).await?;
    given_up.abort("no more").await?;
    let failing = connection.copy_in_raw("COPY r (id, name) FROM STDIN").await?;
    let mut failing = failing;
    failing.send(b"x\ty\n".as_slice()).await?;
    println!("{}", failing.finish().await.map_or_else(told, |_| "no error".into()));
    let out = connection
        .copy_out_raw("COPY (SELECT id, name FROM r WHERE id >= 200 ORDER BY id) TO STDOUT")
        .await?;
    let bytes: Vec<u8> =
        out.try_fold(Vec::new(), |all, part| async move { Ok([all, part.to_vec()].concat()) }).await?;
    println!("{:?}", String::from_utf8_lossy(&bytes));
    Ok(())
}

/// More than the driver keeps: it closes those used least.
async fn many_statements(connection: &mut PgConnection) -> Outcome {
    let mut sum = 0;
    for round in 0..3 {
        for n in 0..30 {
            let text = format!("SELECT {n} + $1::int4 + (SELECT count(*)::int4 FROM r)");
            sum += sqlx::query_scalar::<_, i32>(AssertSqlSafe(text))
                .bind(round)
                .fetch_one(&mut *connection)
                .await?;
        }
    }
    println!("{sum} {}", connection.cached_statements_size());
    connection.clear_cached_statements().await?;
    println!("{}", sqlx::query_scalar::<_, i32>("SELECT $1").bind(5).fetch_one(&mut *connection).await?);
    Ok(())
}

async fn pooled(pool: &PgPool) -> Outcome {
    let answers = try_join_all((0..100_i32).map(|n| async move {
        match n % 4 {
            0 => {
                let mut transaction = pool.begin().await?;
                sqlx::query("UPDATE r SET real = real WHERE id = $1")
                    .bind(n % 10)
                    .execute(&mut *transaction)
                    .await?;
                let mine =
                    sqlx::query_scalar::<_, i32>("SELECT $1").bind(n).fetch_one(&mut *transaction).await?;
                transaction.commit().await?;
                Ok::<_, sqlx::Error>(mine)
            }
            _ => sqlx::query_scalar("SELECT $1 + count(*)::int4 * 0 FROM r").bind(n).fetch_one(pool).await,
        }
    }));
    println!("{:?}", answers.await?);
    Ok(())
}

async fn notifications(pool: &PgPool) -> Outcome {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all(["news", "other"]).await?;
    for n in 0..5 {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(["news", "other"][n % 2])
            .bind(n.to_string())
            .execute(pool)
            .await?;
        let heard = listener.recv().await?;
        println!("{} {}", heard.channel(), heard.payload());
    }
    listener.unlisten_all().await
}

async fn locks(pool: &PgPool) -> Outcome {
    let lock = PgAdvisoryLock::new("waypool");
    let held = lock.acquire(pool.acquire().await?).await?;
    println!("{}", lock.try_acquire(pool.acquire().await?).await?.is_right());
    held.release_now().await?;
    let again = lock.try_acquire(pool.acquire().await?).await?;
    println!("{}", again.is_left());
    Ok(())
}
