//! Many clients who do everything; the servers are equal afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use waypool_sandbox::{Cluster, Server};
use waypool_tests::raw::{Raw, copy_data, copy_done, sqlstate};
use waypool_tests::wire::{bind, execute, parse, query, sync};

use crate::Twins;

const TABLES: &str =
    "CREATE TABLE account (id int PRIMARY KEY, owner int, balance int NOT NULL CHECK (balance > -1000));
CREATE TABLE entry (client int, round int, part int, what text, PRIMARY KEY (client, round, part));
CREATE TABLE log (id bigserial PRIMARY KEY, client int, what text, made timestamptz DEFAULT now(),
    clock timestamptz DEFAULT clock_timestamp(), r float8 DEFAULT random(), u uuid DEFAULT gen_random_uuid());
CREATE INDEX ON log (client);
CREATE TABLE item (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client int, round int, what text,
    made date DEFAULT '2026-01-01', UNIQUE (client, round, what));
INSERT INTO account SELECT i, i % 7, 100 FROM generate_series(1, 50) i;";

/// What happened to one client.
#[derive(Debug, Default)]
struct Done {
    rounds: usize,
    statements: usize,
    /// By SQLSTATE.
    failed: BTreeMap<String, usize>,
}

impl Done {
    fn add(&mut self, other: Done) {
        self.rounds += other.rounds;
        self.statements += other.statements;
        for (sqlstate, count) in other.failed {
            *self.failed.entry(sqlstate).or_default() += count;
        }
    }
}

/// Errors that a client has to expect when others write the same rows, what this
/// one provokes (23505), and what follows from them: a savepoint is not there if
/// the transaction had failed.
fn may_happen(sqlstate: &str) -> bool {
    matches!(sqlstate, "40P01" | "40001" | "XX001" | "23514" | "23505" | "25P02" | "57014" | "3B001")
}

struct Client {
    session: Raw,
    number: usize,
    random: u64,
    done: Done,
}

impl Client {
    fn new(mut session: Raw, number: usize) -> Client {
        for (name, sql) in [
            ("move", "UPDATE account SET balance = balance + $1::int WHERE id = $2::int"),
            ("log", "INSERT INTO log (client, what) VALUES ($1::int, $2)"),
        ] {
            session.send(&[parse(name, sql), sync()].concat());
            assert_eq!(sqlstate(&session.wire.until_ready()), None);
        }
        session.run("PREPARE p (int, text) AS INSERT INTO log (client, what, r) VALUES ($1, $2, -random())");
        Client { session, number, random: number as u64 * 7919 + 13, done: Done::default() }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    /// Whether it succeeded.
    fn heard(&mut self) -> bool {
        let failure = sqlstate(&self.session.wire.until_ready());
        self.done.statements += 1;
        if let Some(sqlstate) = &failure {
            assert!(may_happen(sqlstate), "client {}: SQLSTATE {sqlstate}", self.number);
            *self.done.failed.entry(sqlstate.clone()).or_default() += 1;
        }
        failure.is_none()
    }

    fn run(&mut self, sql: &str) -> bool {
        match self.below(2) {
            0 => self.session.send(&query(sql)),
            _ => self.session.send(&waypool_tests::raw::extended(sql)),
        }
        self.heard()
    }

    fn transfer(&mut self) -> bool {
        let (from, to, amount) = (self.below(50) + 1, self.below(50) + 1, self.below(20));
        let (first, last) = (from.min(to), from.max(to));
        let mut cycle = Vec::new();
        for (id, amount) in [(first, format!("-{amount}")), (last, amount.to_string())] {
            cycle.extend(bind("", "move", &[&amount, &id.to_string()]));
            cycle.extend(execute("", 0));
        }
        cycle.extend(sync());
        self.session.send(&cycle);
        self.heard()
    }

    /// Rows with numbers, times and random values.
    fn log(&mut self, round: usize) -> bool {
        let number = self.number;
        match self.below(4) {
            0 => self.run(&format!(
                "INSERT INTO log (client, what) VALUES ({number}, 'one'), ({number}, now()::text)"
            )),
            1 => self.run(&format!(
                "INSERT INTO log (client, what, u) SELECT {number}, timeofday(), gen_random_uuid()"
            )),
            2 => {
                self.session.send(&query(&format!("EXECUTE p ({number}, 'executed {round}')")));
                self.heard()
            }
            _ => {
                let values = [number.to_string(), "prepared".to_owned()];
                let once = [bind("", "log", &[&values[0], &values[1]]), execute("", 0)].concat();
                self.session.send(&[once.clone(), once, sync()].concat());
                self.heard()
            }
        }
    }

    /// Rows that each server numbers by itself; one time in eight one of them is
    /// there twice.
    fn items(&mut self, round: usize, part: usize) -> bool {
        let (number, twice) = (self.number, self.below(8) == 0);
        if self.below(2) == 0 {
            let last = if twice { 1 } else { 4 };
            return self.run(&format!(
                "INSERT INTO item (client, round, what) SELECT {number}, {round}, '{part} ' || x \
                 FROM unnest(ARRAY[1, 2, 3, {last}]) x ORDER BY x"
            ));
        }
        let rows = (1..10).map(|row| if twice && row == 9 { 1 } else { row });
        let rows: Vec<String> = rows.map(|row| format!("{number}\t{round}\t{part} copied {row}")).collect();
        self.copy("item (client, round, what)", &rows)
    }

    fn copy(&mut self, table: &str, rows: &[String]) -> bool {
        self.session.send(&query(&format!("COPY {table} FROM STDIN")));
        let begun = self.session.wire.next().unwrap();
        if begun.tag != b'G' {
            // What was read is the error itself.
            let sqlstate = begun.field(b'C').unwrap();
            assert!(may_happen(&sqlstate), "client {}: SQLSTATE {sqlstate}", self.number);
            *self.done.failed.entry(sqlstate).or_default() += 1;
            self.heard();
            return false;
        }
        let data: Vec<u8> = rows.iter().flat_map(|row| copy_data(format!("{row}\n").as_bytes())).collect();
        self.session.send(&[data, copy_done()].concat());
        self.heard()
    }

    fn round(&mut self) {
        let (number, round) = (self.number, self.done.rounds);
        let old = round.saturating_sub(20);
        match self.below(10) {
            0 => _ = self.transfer(),
            1 => _ = self.run(&format!("INSERT INTO entry VALUES ({number}, {round}, 0, 'alone')")),
            2 => {
                let rows: Vec<_> =
                    (100..110).map(|part| format!("{number}\t{round}\t{part}\tcopied")).collect();
                _ = self.copy("entry", &rows);
            }
            3 => _ = self.run(&format!("DELETE FROM entry WHERE client = {number} AND round < {old}")),
            4 => {
                let id = self.below(50) + 1;
                _ = self.run(&format!("UPDATE account SET balance = balance + 1 WHERE id = {id}"));
            }
            5 => _ = self.log(round),
            6 => _ = self.items(round, 0),
            7 => {
                let older = "made < now() - interval '500 ms'";
                _ = match self.below(3) {
                    0 => self.run(&format!("DELETE FROM log WHERE client = {number} AND {older}")),
                    1 => self.run(&format!(
                        "UPDATE log SET made = now(), what = DEFAULT WHERE client = {number} AND {older}"
                    )),
                    _ => self.run(&format!("DELETE FROM item WHERE client = {number} AND round < {old}")),
                };
            }
            _ => self.transaction(round),
        }
        self.done.rounds += 1;
    }

    fn transaction(&mut self, round: usize) {
        let number = self.number;
        assert!(self.run("BEGIN"));
        for part in 1..4 {
            self.run(&format!("SAVEPOINT s{part}"));
            self.run(&format!("INSERT INTO entry VALUES ({number}, {round}, {part}, 'in a transaction')"));
            match self.below(6) {
                0 | 1 => _ = self.transfer(),
                2 | 3 => _ = self.log(round),
                4 => _ = self.items(round, part),
                _ => {}
            }
            if self.below(3) == 0 {
                self.run(&format!("ROLLBACK TO s{part}"));
            }
        }
        match self.below(4) {
            0 => assert!(self.run("ROLLBACK")),
            _ => _ = self.run("COMMIT"),
        }
    }
}

/// All data in an order that does not depend on who came first, as pg_dump writes it.
fn dump(twins: &Twins, server: &Server) -> Vec<u8> {
    for table in ["account", "entry", "log", "item"] {
        server.psql(&format!("CLUSTER {table} USING {table}_pkey")).unwrap();
    }
    let mut pg_dump = std::process::Command::new(twins.cluster.installation().program("pg_dump"));
    let port = server.port().to_string();
    let output =
        pg_dump.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "postgres"]).output().unwrap();
    assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    // Each dump has a key of its own in it, see \restrict of psql.
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.contains("restrict "));
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

/// So many clients for so long, who log in by this.
fn work(login: impl Fn() -> Raw + Sync, clients: usize, time: Duration) -> Done {
    let end = Instant::now() + time;
    let done: Vec<Done> = std::thread::scope(|scope| {
        let clients: Vec<_> = (1..=clients)
            .map(|number| {
                let login = &login;
                scope.spawn(move || {
                    let mut client = Client::new(login(), number);
                    while Instant::now() < end {
                        client.round();
                    }
                    client.session.leave();
                    client.done
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    done.into_iter().fold(Done::default(), |mut all, one| {
        all.add(one);
        all
    })
}

fn soak(servers: usize, clients: usize, time: Duration) {
    let twins = Twins::new(servers);
    let mut session = Raw::login(&twins.proxy);
    session.run(TABLES);
    let done = work(|| Raw::login(&twins.proxy), clients, time);
    eprintln!("{servers} servers, {clients} clients: {done:?}");
    assert!(done.rounds > clients * 10, "only {} rounds", done.rounds);
    assert!(done.failed.values().sum::<usize>() < done.rounds / 2, "too many failed: {done:?}");
    assert!(!twins.nodes().contains("down"), "{}", twins.nodes());
    // The last who failed may have left numbers behind that only main has given.
    session.run(
        "INSERT INTO item (client, round, what) SELECT 0, 0, 'last' FROM generate_series(1, 1) x ORDER BY 1",
    );
    session.leave();
    twins.proxy.stop();
    let dumps: Vec<Vec<u8>> = twins.servers().iter().map(|server| dump(&twins, server)).collect();
    assert!(dumps[0].len() > 1000, "the dump is empty");
    for (id, other) in dumps.iter().enumerate() {
        assert!(*other == dumps[0], "the dumps of servers 0 and {id} differ");
    }
}

#[test]
fn servers_are_equal_after_many_clients() {
    soak(3, 4, Duration::from_secs(4));
}

#[test]
#[ignore = "a minute each; `make soak` runs it"]
fn soak_two_servers_stay_equal() {
    soak(2, 10, Duration::from_secs(60));
}

#[test]
#[ignore = "a minute each; `make soak` runs it"]
fn soak_three_servers_stay_equal() {
    soak(3, 10, Duration::from_secs(60));
}

/// The same without Waypool: what one PostgreSQL has to say to it.
#[test]
#[ignore = "to compare with"]
fn one_server_alone() {
    let cluster = Cluster::builder().independent(1).setting("deadlock_timeout", "200ms").start().unwrap();
    let login = || Raw::direct(&cluster.servers()[0], &[("user", "postgres"), ("database", "postgres")]);
    let mut session = login();
    session.run(TABLES);
    let done = work(login, 10, Duration::from_secs(60));
    eprintln!("one server alone: {done:?}");
    assert!(done.rounds > 100);
    session.leave();
}
