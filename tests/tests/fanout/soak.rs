//! Many clients who do everything; the servers are equal afterwards.

use std::time::{Duration, Instant};

use waypool_sandbox::Server;
use waypool_tests::raw::{Raw, copy_data, copy_done, sqlstate};
use waypool_tests::wire::{bind, execute, parse, query, sync};

use crate::Twins;

const TABLES: &str =
    "CREATE TABLE account (id int PRIMARY KEY, owner int, balance int NOT NULL CHECK (balance > -1000));
CREATE TABLE entry (client int, round int, part int, what text, PRIMARY KEY (client, round, part));
INSERT INTO account SELECT i, i % 7, 100 FROM generate_series(1, 50) i;";

/// What happened to one client.
#[derive(Debug, Default)]
struct Done {
    rounds: usize,
    failed: usize,
}

/// Errors that a client has to expect when others write the same rows, and what
/// follows from them: a savepoint is not there if the transaction had failed.
fn may_happen(sqlstate: &str) -> bool {
    matches!(sqlstate, "40P01" | "40001" | "XX001" | "23514" | "25P02" | "57014" | "3B001")
}

struct Client {
    session: Raw,
    number: usize,
    random: u64,
    done: Done,
}

impl Client {
    fn new(twins: &Twins, number: usize) -> Client {
        let mut session = Raw::login(&twins.proxy);
        session.send(
            &[parse("move", "UPDATE account SET balance = balance + $1::int WHERE id = $2::int"), sync()]
                .concat(),
        );
        assert_eq!(sqlstate(&session.wire.until_ready()), None);
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
        if let Some(sqlstate) = &failure {
            assert!(may_happen(sqlstate), "client {}: SQLSTATE {sqlstate}", self.number);
            self.done.failed += 1;
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

    fn copy(&mut self, round: usize) -> bool {
        self.session.send(&query("COPY entry FROM STDIN"));
        let begun = self.session.wire.next().unwrap();
        if begun.tag != b'G' {
            return self.heard();
        }
        for part in 100..110 {
            self.session.send(&copy_data(format!("{}\t{round}\t{part}\tcopied\n", self.number).as_bytes()));
        }
        self.session.send(&copy_done());
        self.heard()
    }

    fn round(&mut self) {
        let (number, round) = (self.number, self.done.rounds);
        match self.below(7) {
            0 => _ = self.transfer(),
            1 => _ = self.run(&format!("INSERT INTO entry VALUES ({number}, {round}, 0, 'alone')")),
            2 => _ = self.copy(round),
            3 => {
                _ = self.run(&format!(
                    "DELETE FROM entry WHERE client = {number} AND round < {}",
                    round.saturating_sub(20)
                ))
            }
            4 => {
                let id = self.below(50) + 1;
                _ = self.run(&format!("UPDATE account SET balance = balance + 1 WHERE id = {id}"));
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
            if self.below(3) == 0 {
                self.transfer();
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
    server.psql("CLUSTER account USING account_pkey").unwrap();
    server.psql("CLUSTER entry USING entry_pkey").unwrap();
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

fn soak(servers: usize, clients: usize, time: Duration) {
    let twins = Twins::new(servers);
    let mut session = Raw::login(&twins.proxy);
    session.run(TABLES);
    session.leave();
    let end = Instant::now() + time;
    let done: Vec<Done> = std::thread::scope(|scope| {
        let clients: Vec<_> = (1..=clients)
            .map(|number| {
                let twins = &twins;
                scope.spawn(move || {
                    let mut client = Client::new(twins, number);
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
    let rounds: usize = done.iter().map(|done| done.rounds).sum();
    let failed: usize = done.iter().map(|done| done.failed).sum();
    eprintln!("{servers} servers, {clients} clients: {rounds} rounds, {failed} statements failed");
    assert!(rounds > clients * 10, "only {rounds} rounds");
    assert!(failed < rounds / 2, "{failed} statements of {rounds} rounds failed");
    assert!(!twins.nodes().contains("down"), "{}", twins.nodes());
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
