//! Snapshot isolation: what a transaction sees is the same on all servers. With
//! native replication it need not be: the same tests show that.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use waypool_tests::raw::{Raw, extended, sqlstate, tags, wait_blocked};
use waypool_tests::wire::{bind, execute, parse, query, sync};

use crate::{Twins, mark};

const ACCOUNTS: i64 = 20;
const TOTAL: i64 = ACCOUNTS * 100;

fn twins(mode: &str, servers: usize, more: &str) -> Twins {
    let twins = Twins::in_mode(mode, servers, |builder| builder.top(more));
    let mut session = Raw::login(&twins.proxy);
    session.run(&format!(
        "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
         CREATE TABLE seen (client int, round int, what text, total bigint, PRIMARY KEY (client, round, what));
         INSERT INTO account SELECT i, 100 FROM generate_series(1, {ACCOUNTS}) i"
    ));
    session.leave();
    twins
}

fn isolated(servers: usize) -> Twins {
    twins("snapshot_isolation", servers, "")
}

/// What every server has noted, asked directly.
fn seen(twins: &Twins) -> Vec<String> {
    let all = "SELECT client, round, what, total FROM seen ORDER BY 1, 2, 3";
    twins.servers().iter().map(|server| server.psql(all).unwrap()).collect()
}

/// One transaction reads, another one commits, and the first writes what it sees.
fn reader_writes_behind_a_commit(twins: &Twins) {
    let mut reader = Raw::login(&twins.proxy);
    reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(reader.value("SELECT sum(balance) FROM account"), TOTAL.to_string());
    let mut writer = Raw::login(&twins.proxy);
    writer.run("UPDATE account SET balance = balance + 11 WHERE id = 1");
    reader.run("INSERT INTO seen SELECT 0, 0, 'sum', sum(balance) FROM account");
    reader.run("COMMIT");
}

#[test]
fn with_native_replication_snapshots_differ() {
    let twins = twins("native_replication", 2, "");
    reader_writes_behind_a_commit(&twins);
    let seen = seen(&twins);
    assert_ne!(seen[0], seen[1], "the anomaly that snapshot_isolation is there for");
}

#[test]
fn a_transaction_sees_the_same_on_all_servers() {
    let twins = isolated(3);
    reader_writes_behind_a_commit(&twins);
    assert_eq!(twins.everywhere("SELECT total FROM seen"), TOTAL.to_string());
    assert_eq!(twins.everywhere("SELECT sum(balance) FROM account"), (TOTAL + 11).to_string());
}

#[test]
fn in_the_extended_protocol_too() {
    let twins = isolated(2);
    let mut reader = Raw::login(&twins.proxy);
    // BEGIN and what follows come in one batch.
    reader.send(&parse("sum", "SELECT sum(balance) FROM account"));
    let begin = [parse("", "BEGIN"), bind("", "", &[]), execute("", 0)].concat();
    let sum = [bind("", "sum", &[]), execute("", 0), sync()].concat();
    reader.send(&[begin, sum].concat());
    let answer = reader.wire.until_ready();
    assert_eq!(sqlstate(&answer), None, "{answer:?}");
    let mut writer = Raw::login(&twins.proxy);
    writer.run("UPDATE account SET balance = balance + 11 WHERE id = 1");
    let note = "INSERT INTO seen SELECT 0, 0, 'sum', sum(balance) FROM account";
    reader.send(&[extended(note), extended("COMMIT")].concat());
    for _ in 0..2 {
        assert_eq!(sqlstate(&reader.wire.until_ready()), None);
    }
    assert_eq!(twins.everywhere("SELECT total FROM seen"), TOTAL.to_string());

    // A transaction that is parsed in has its snapshot from then on.
    reader.run("BEGIN");
    reader.send(&[parse("later", note), sync()].concat());
    assert_eq!(sqlstate(&reader.wire.until_ready()), None);
    writer.run("DELETE FROM seen");
    reader
        .send(&[parse("", "SELECT count(*) FROM seen"), bind("", "", &[]), execute("", 0), sync()].concat());
    let count = waypool_tests::raw::value(&reader.wire.until_ready());
    assert_eq!(count.as_deref(), Some("1"));
    reader.run("ROLLBACK");
}

#[test]
fn who_changes_a_row_second_is_refused_everywhere() {
    let twins = isolated(2);
    let [mut first, mut second] = [Raw::login(&twins.proxy), Raw::login(&twins.proxy)];
    for session in [&mut first, &mut second] {
        session.run("BEGIN");
        session.run("SELECT 1 FROM account");
    }
    first.run("UPDATE account SET balance = balance + 1 WHERE id = 1");
    let mark = mark("second");
    second.send(&query(&format!("UPDATE account SET balance = balance + 2 WHERE id = 1 {mark}")));
    wait_blocked(&twins.servers()[0], &mark);
    first.run("COMMIT");
    assert_eq!(sqlstate(&second.wire.until_ready()).as_deref(), Some("40001"));
    second.run("ROLLBACK");
    assert_eq!(twins.everywhere("SELECT balance FROM account WHERE id = 1"), "101");
}

#[test]
fn what_comes_before_the_snapshot_may_come() {
    let twins = isolated(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("BEGIN");
    session.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    assert_eq!(session.value("SHOW transaction_isolation"), "serializable");
    session.run("SAVEPOINT s");
    // A lock is there before the snapshot: what it waited for is seen.
    let mut writer = Raw::login(&twins.proxy);
    writer.run("UPDATE account SET balance = balance + 5 WHERE id = 2");
    session.run("LOCK TABLE account IN SHARE MODE");
    assert_eq!(session.value("SELECT balance FROM account WHERE id = 2"), "105");
    session.run("COMMIT AND CHAIN");
    writer.run("UPDATE account SET balance = balance + 5 WHERE id = 2");
    assert_eq!(session.value("SELECT balance FROM account WHERE id = 2"), "110", "of another transaction");
    session.run("ROLLBACK AND CHAIN");
    writer.run("UPDATE account SET balance = balance + 5 WHERE id = 2");
    session.run("INSERT INTO seen SELECT 1, 1, 'chained', balance FROM account WHERE id = 2");
    session.run("COMMIT");
    assert_eq!(twins.everywhere("SELECT total FROM seen"), "115");
    assert_eq!(Raw::login(&twins.proxy).value("SHOW transaction_isolation"), "repeatable read");
    let given = [("user", "postgres"), ("options", "-c default_transaction_isolation=serializable")];
    assert_eq!(Raw::login_with(&twins.proxy, &given).value("SHOW transaction_isolation"), "serializable");
}

#[test]
fn a_text_with_a_transaction_in_it_is_refused() {
    let twins = isolated(2);
    let mut session = Raw::login(&twins.proxy);
    assert_eq!(session.error("BEGIN; DELETE FROM account; COMMIT"), "0A000");
    session.run("INSERT INTO seen VALUES (1, 1, 'a', 1); INSERT INTO seen VALUES (1, 1, 'b', 2)");
    assert_eq!(tags(&session.query("BEGIN; SELECT 1; COMMIT")), "CTDCCZ");
    assert_eq!(twins.everywhere("SELECT count(*) FROM seen"), "2");
    // It was prepared with the snapshot of all.
    session.run("PREPARE note AS INSERT INTO seen SELECT 2, 2, 'prepared', sum(balance) FROM account");
    session.run("EXECUTE note");
    assert_eq!(twins.everywhere("SELECT total FROM seen WHERE client = 2"), TOTAL.to_string());
    // Not in a transaction, then.
    session.run("VACUUM account");
}

struct Client {
    session: Raw,
    number: i64,
    random: i64,
    round: i64,
    failed: BTreeMap<String, usize>,
    broken: usize,
}

impl Client {
    fn below(&mut self, limit: i64) -> i64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33).rem_euclid(limit)
    }

    /// Whether all of them succeeded; else the transaction is rolled back.
    fn all(&mut self, statements: &[String]) -> bool {
        for sql in statements {
            let message = if self.below(2) == 0 { query(sql) } else { extended(sql) };
            self.session.send(&message);
            if let Some(sqlstate) = sqlstate(&self.session.wire.until_ready()) {
                assert!(matches!(sqlstate.as_str(), "40001" | "40P01" | "XX001"), "{sql}: {sqlstate}");
                *self.failed.entry(sqlstate).or_default() += 1;
                self.session.query("ROLLBACK");
                return false;
            }
        }
        true
    }

    fn round(&mut self) {
        self.round += 1;
        let (number, round) = (self.number, self.round);
        let (from, to, amount) = (self.below(ACCOUNTS) + 1, self.below(ACCOUNTS) + 1, self.below(9));
        let note = |what: &str, query: &str| {
            format!("INSERT INTO seen SELECT {number}, {round}, '{what}', {query} FROM account")
        };
        match self.below(4) {
            0 => {
                let pay = |id: i64, amount: i64| {
                    format!("UPDATE account SET balance = balance + {amount} WHERE id = {id}")
                };
                let pays = [(from.min(to), -amount), (from.max(to), amount)].map(|(id, sum)| pay(id, sum));
                let [first, second] = pays;
                self.all(&["BEGIN".to_owned(), first, second, "COMMIT".to_owned()]);
            }
            1 => {
                let one = format!("max(balance) FILTER (WHERE id = {from})");
                self.all(&[note("alone", &one)]);
            }
            2 => {
                let half = format!("sum(balance) FILTER (WHERE id <= {from})");
                let rest = format!("sum(balance) FILTER (WHERE id > {from})");
                let [begin, commit] = ["BEGIN", "COMMIT"].map(str::to_owned);
                self.all(&[begin, note("half", &half), note("rest", &rest), commit]);
            }
            _ => {
                self.session.query("BEGIN");
                let mut sum = |which: &str| {
                    let sql =
                        format!("SELECT coalesce(sum(balance), 0) FROM account WHERE id {which} {from}");
                    self.session.value(&sql).parse::<i64>().unwrap()
                };
                if sum("<=") + sum(">") != TOTAL {
                    self.broken += 1;
                }
                self.session.query("COMMIT");
            }
        }
    }
}

/// Transfers, and transactions that note what they see. Whether the servers are
/// equal afterwards, and how many transactions saw a wrong sum.
fn transfers(twins: &Twins, clients: i64, time: Duration) -> (bool, usize) {
    let end = Instant::now() + time;
    let all: Vec<Client> = thread::scope(|scope| {
        let clients: Vec<_> = (1..=clients)
            .map(|number| {
                scope.spawn(move || {
                    let session = Raw::login(&twins.proxy);
                    let failed = BTreeMap::new();
                    let mut client =
                        Client { session, number, random: number * 7919, round: 0, failed, broken: 0 };
                    while Instant::now() < end {
                        client.round();
                    }
                    client
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let mut failed = BTreeMap::new();
    for (sqlstate, count) in all.iter().flat_map(|client| &client.failed) {
        *failed.entry(sqlstate).or_insert(0) += count;
    }
    let rounds: i64 = all.iter().map(|client| client.round).sum();
    let broken: usize = all.iter().map(|client| client.broken).sum();
    let seen = seen(twins);
    let halves = "SELECT count(*) FROM (SELECT sum(coalesce(total, 0)) AS all FROM seen WHERE what IN ('half', 'rest') \
                  GROUP BY client, round) x WHERE \"all\" <> ";
    let wrong = twins.servers()[0].psql(&format!("{halves}{TOTAL}")).unwrap();
    eprintln!("{rounds} rounds, failed: {failed:?}, wrong sums: {broken} read, {wrong} written");
    assert!(rounds > clients * 5, "only {rounds} rounds");
    let wrong: usize = wrong.trim().parse().unwrap();
    (seen.iter().all(|one| *one == seen[0]), broken + wrong)
}

fn stay_equal(servers: usize, more: &str, clients: i64, time: Duration) {
    let twins = twins("snapshot_isolation", servers, more);
    let (equal, wrong) = transfers(&twins, clients, time);
    assert!(equal, "servers differ");
    assert_eq!(wrong, 0, "transactions saw a sum that never was");
    twins.everywhere("SELECT * FROM account ORDER BY id");
    assert_eq!(twins.everywhere("SELECT sum(balance) FROM account"), TOTAL.to_string());
    assert!(!twins.nodes().contains("down"), "{}", twins.nodes());
}

#[test]
fn transfers_and_sums_agree() {
    stay_equal(3, "", 6, Duration::from_secs(3));
}

#[test]
#[ignore = "a minute; `make soak` runs it"]
fn soak_transfers_and_sums_agree() {
    stay_equal(2, "", 10, Duration::from_secs(60));
}

#[test]
#[ignore = "a minute; `make soak` runs it"]
fn soak_transfers_and_sums_agree_on_three_servers() {
    stay_equal(3, "", 10, Duration::from_secs(60));
}

/// So that the test is known to see what it looks for.
#[test]
#[ignore = "a minute; `make soak` runs it"]
fn soak_transfers_and_sums_differ_with_native_replication() {
    let twins = twins("native_replication", 2, "");
    let (equal, wrong) = transfers(&twins, 10, Duration::from_secs(60));
    assert!(!equal && wrong > 0, "equal: {equal}, wrong sums: {wrong}");
}
