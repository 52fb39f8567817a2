//! pg_dump and pg_restore through the proxy.
#![allow(clippy::unwrap_used)]

use waypool_tests::{Database, Proxy, primary_and_standby, program, psql_in, run};

const CONTENT: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE SCHEMA "Other Place";
    CREATE TABLE people (
        id serial PRIMARY KEY, name text NOT NULL UNIQUE, mood mood DEFAULT 'happy',
        born date, data jsonb, raw bytea, twice int GENERATED ALWAYS AS (length(name) * 2) STORED);
    CREATE TABLE "Other Place"."Odd ""Name" (id int REFERENCES people ON DELETE CASCADE, n positive);
    CREATE TABLE events (at timestamptz, what text) PARTITION BY RANGE (at);
    CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE INDEX ON events (at);
    CREATE VIEW happy AS SELECT * FROM people WHERE mood = 'happy';
    CREATE MATERIALIZED VIEW counted AS SELECT mood, count(*) FROM people GROUP BY mood;
    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
        $body$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $body$;
    CREATE TRIGGER shout BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION shout();
    CREATE SEQUENCE counter START 100 INCREMENT 7;
    INSERT INTO people (name, mood, born, data, raw)
        SELECT 'person ' || n, (ARRAY['sad', 'happy'])[n % 2 + 1]::mood, date '1970-01-01' + n,
               jsonb_build_object('n', n, 'quote', '''"\'), decode(md5(n::text), 'hex')
        FROM generate_series(1, 5000) AS n;
    INSERT INTO "Other Place"."Odd ""Name" SELECT id, id FROM people;
    INSERT INTO events SELECT timestamptz '2024-01-01' + n * interval '1 hour', E'tab\there\\n' || n
        FROM generate_series(0, 10000) AS n;
    SELECT nextval('counter');
    SELECT lo_from_bytea(4242, decode(repeat('00ff', 5000), 'hex'));
    COMMENT ON TABLE people IS 'it''s a comment';
    REFRESH MATERIALIZED VIEW counted;
"#;

fn dump(proxy: &Proxy, port: u16, database: &str) -> String {
    let mut command = program(proxy, "pg_dump");
    command.env("PGPORT", port.to_string()).arg(database);
    let dumped = run(&mut command, "").ok();
    // Newer versions of pg_dump put a random word there.
    let same = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
    dumped.split_inclusive('\n').filter(same).collect()
}

#[test]
fn a_dump_through_the_proxy_is_the_same_and_can_be_loaded_through_it() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let original = Database::create("dump_original", CONTENT);
    let copy = Database::create("dump_copy", "");
    let direct_port = original.cluster.primary().port();
    let direct = dump(&proxy, direct_port, original.name);
    assert!(direct.contains("person 5000") || direct.contains("PERSON 5000"));
    let through = dump(&proxy, proxy.port(), original.name);
    assert!(through == direct, "the dump through the proxy differs");
    psql_in(&proxy, copy.name, &through);
    assert!(dump(&proxy, direct_port, copy.name) == direct, "the loaded copy differs");
    proxy.stop();
}

#[test]
fn a_parallel_restore_through_the_proxy_is_complete() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let original = Database::create("restore_original", CONTENT);
    let copy = Database::create("restore_copy", "");
    run(program(&proxy, "pg_dump").args(["-Fc", "-f", "archive", original.name]), "").ok();
    let mut restore = program(&proxy, "pg_restore");
    restore.args(["--exit-on-error", "-j", "2", "-d", copy.name, "archive"]);
    run(&mut restore, "").ok();
    let direct_port = original.cluster.primary().port();
    let expected = dump(&proxy, direct_port, original.name);
    assert!(dump(&proxy, direct_port, copy.name) == expected, "the restored copy differs");
    proxy.stop();
}

#[test]
fn a_parallel_dump_through_the_proxy_is_complete() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let original = Database::create("pdump_original", CONTENT);
    let copy = Database::create("pdump_copy", "");
    // Its workers take the snapshot which the leader has exported on the primary.
    run(program(&proxy, "pg_dump").args(["-Fd", "-j", "2", "-f", "folder", original.name]), "").ok();
    run(program(&proxy, "pg_restore").args(["--exit-on-error", "-d", copy.name, "folder"]), "").ok();
    let direct_port = original.cluster.primary().port();
    let expected = dump(&proxy, direct_port, original.name);
    assert!(dump(&proxy, direct_port, copy.name) == expected, "the restored copy differs");
    proxy.stop();
}
