//! Many clients at a time, whose answers can be checked while servers come and go.
//!
//! Reads ask for values that are known; each write inserts a number of its own,
//! which is remembered when it has been acknowledged. At the end the table must
//! hold each acknowledged number exactly once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Error, Statement};
use waypool_sandbox::Server;

use crate::{Proxy, connect};

/// Rows of the table of known values: `k` from 1, `v = k * k + 1`.
const KNOWN: i64 = 1_000;

/// Makes the tables, in the database `postgres`. The ledger has no unique
/// constraint: a number that was inserted twice would be there twice.
pub fn prepare(primary: &Server) {
    let made = primary.psql(&format!(
        "DROP TABLE IF EXISTS known, ledger;
         CREATE TABLE known AS SELECT k, k * k + 1 AS v FROM generate_series(1::bigint, {KNOWN}) AS k;
         CREATE INDEX ON known (k);
         CREATE TABLE ledger (id bigint NOT NULL);
         CREATE INDEX ON ledger (id)"
    ));
    made.unwrap_or_else(|error| panic!("{error}"));
}

/// What a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    Login,
    Read,
    Write,
    /// A read, a write and another read in one transaction.
    Transaction,
}

/// A statement that got an error instead of its answer.
#[derive(Debug, Clone)]
pub struct Failure {
    pub what: What,
    /// Empty when the connection was closed without a word.
    pub sqlstate: String,
    /// Since the traffic began.
    pub at: Duration,
    pub message: String,
}

/// What happened to the traffic.
#[derive(Debug, Default)]
pub struct Report {
    pub acknowledged: Vec<i64>,
    /// Writes whose outcome the client was not told.
    pub unknown: Vec<i64>,
    pub reads: u64,
    pub failures: Vec<Failure>,
    /// Answers that are not what they have to be, in words.
    pub wrong: Vec<String>,
}

/// What all clients share.
struct Shared {
    began: Instant,
    stop: AtomicBool,
    report: Mutex<Report>,
}

/// Has `clients` clients send statements through the proxy while `script` runs,
/// on this thread, and returns what became of them.
pub fn run(proxy: &Proxy, clients: usize, script: impl FnOnce(Instant)) -> Report {
    let began = Instant::now();
    let shared = Arc::new(Shared { began, stop: AtomicBool::new(false), report: Mutex::default() });
    std::thread::scope(|scope| {
        let all = shared.clone();
        let traffic = scope.spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let clients = (0..clients).map(|number| One::new(number as i64, &all).live(proxy));
                futures_util::future::join_all(clients).await;
            });
        });
        script(began);
        shared.stop.store(true, Ordering::Relaxed);
        traffic.join().expect("no client panicked");
    });
    let mut report = shared.report.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut report)
}

/// One client.
struct One {
    number: i64,
    writes: i64,
    random: u64,
    shared: Arc<Shared>,
}

impl One {
    fn new(number: i64, shared: &Arc<Shared>) -> One {
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
        One { number, writes: 0, random, shared: shared.clone() }
    }

    fn random(&mut self, below: u64) -> u64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn report(&self, note: impl FnOnce(&mut Report)) {
        note(&mut self.shared.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn failed(&self, what: What, error: &Error) {
        let failure = Failure {
            what,
            sqlstate: error.code().map_or_else(String::new, |code| code.code().to_owned()),
            at: self.shared.began.elapsed(),
            message: error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string),
        };
        self.report(|report| report.failures.push(failure));
    }

    fn wrong(&self, what: String) {
        self.report(|report| report.wrong.push(what));
    }

    /// Logs in, works, and logs in again when the session was lost.
    async fn live(mut self, proxy: &Proxy) {
        while !self.stopped() {
            let client = match connect(proxy, "").await {
                Ok((client, _)) => client,
                Err(error) => {
                    self.failed(What::Login, &error);
                    self.think().await;
                    continue;
                }
            };
            match client.prepare("SELECT v FROM known WHERE k = $1").await {
                Ok(known) => self.work(&client, &known).await,
                Err(error) => self.failed(What::Read, &error),
            }
        }
    }

    async fn work(&mut self, client: &Client, known: &Statement) {
        while !self.stopped() && !client.is_closed() {
            let (what, done) = match self.random(10) {
                0..=2 => (What::Write, self.write(client).await),
                3 => (What::Transaction, self.transaction(client, known).await),
                4 => (What::Read, self.read_by_text(client).await),
                5 => (What::Read, self.read_own(client).await),
                _ => (What::Read, self.read_prepared(client, known).await),
            };
            if let Err(error) = done {
                self.failed(what, &error);
                // What is left of a transaction.
                let _ = client.batch_execute("ROLLBACK").await;
            }
            self.think().await;
        }
    }

    /// Real clients have other things to do too.
    async fn think(&mut self) {
        let pause = Duration::from_millis(1 + self.random(40));
        tokio::time::sleep(pause).await;
    }

    fn check(&self, k: i64, v: i64) {
        if v == k * k + 1 {
            self.report(|report| report.reads += 1);
        } else {
            self.wrong(format!("known value {k} is {v}"));
        }
    }

    async fn read_prepared(&mut self, client: &Client, known: &Statement) -> Result<(), Error> {
        let k = 1 + self.random(KNOWN as u64) as i64;
        let v = client.query_one(known, &[&k]).await?.get(0);
        self.check(k, v);
        Ok(())
    }

    /// The simple protocol.
    async fn read_by_text(&mut self, client: &Client) -> Result<(), Error> {
        use tokio_postgres::SimpleQueryMessage;
        let k = 1 + self.random(KNOWN as u64) as i64;
        let answer = client.simple_query(&format!("SELECT v FROM known WHERE k = {k}")).await?;
        let rows: Vec<_> = answer
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i64>().ok(),
                _ => None,
            })
            .collect();
        match rows[..] {
            [v] => self.check(k, v),
            _ => self.wrong(format!("known value {k} has {} rows", rows.len())),
        }
        Ok(())
    }

    /// A standby may not have it yet; nobody may have it twice.
    async fn read_own(&mut self, client: &Client) -> Result<(), Error> {
        let id = self.number << 32 | self.writes;
        let count: i64 = client.query_one("SELECT count(*) FROM ledger WHERE id = $1", &[&id]).await?.get(0);
        if count > 1 {
            self.wrong(format!("{id} is there {count} times"));
        }
        self.report(|report| report.reads += 1);
        Ok(())
    }

    async fn write(&mut self, client: &Client) -> Result<(), Error> {
        self.writes += 1;
        let id = self.number << 32 | self.writes;
        let done = client.execute("INSERT INTO ledger VALUES ($1)", &[&id]).await;
        self.wrote(id, done.as_ref().map(|count| *count));
        done.map(drop)
    }

    async fn transaction(&mut self, client: &Client, known: &Statement) -> Result<(), Error> {
        self.writes += 1;
        let id = self.number << 32 | self.writes;
        let done = self.in_transaction(client, known, id).await;
        self.wrote(id, done.as_ref().map(|()| 1));
        done
    }

    async fn in_transaction(&mut self, client: &Client, known: &Statement, id: i64) -> Result<(), Error> {
        client.batch_execute("BEGIN").await?;
        self.read_prepared(client, known).await?;
        client.execute("INSERT INTO ledger VALUES ($1)", &[&id]).await?;
        let count: i64 = client.query_one("SELECT count(*) FROM ledger WHERE id = $1", &[&id]).await?.get(0);
        if count != 1 {
            self.wrong(format!("the transaction that wrote {id} sees it {count} times"));
        }
        client.batch_execute("COMMIT").await
    }

    fn wrote(&self, id: i64, done: Result<u64, &Error>) {
        match done {
            Ok(1) => self.report(|report| report.acknowledged.push(id)),
            Ok(count) => self.wrong(format!("one row inserted, {count} told")),
            Err(_) => self.report(|report| report.unknown.push(id)),
        }
    }
}

impl Report {
    /// Compares with what a server has; panics with everything that is wrong.
    #[track_caller]
    pub fn check_ledger(&self, server: &Server) {
        let ids = server.psql("SELECT id FROM ledger").unwrap_or_else(|error| panic!("{error}"));
        let mut there: HashMap<i64, u32> = HashMap::new();
        for id in ids.lines() {
            *there.entry(id.parse().expect("a number")).or_default() += 1;
        }
        let twice = there.values().filter(|count| **count > 1).count();
        let lost = self.acknowledged.iter().filter(|id| !there.contains_key(id)).count();
        for id in self.acknowledged.iter().chain(&self.unknown) {
            there.remove(id);
        }
        let by = server.id();
        assert_eq!(
            (lost, twice, there.len()),
            (0, 0, 0),
            "server {by}: acknowledged and lost, twice, from nowhere"
        );
    }

    /// Checks what clients were told while only a standby failed: every answer is
    /// right, and errors came only to reads, as those of a lost connection.
    #[track_caller]
    pub fn check_answers(&self) {
        assert!(self.wrong.is_empty(), "{} wrong answers: {:?}", self.wrong.len(), self.wrong.first());
        let allowed = |failure: &&Failure| {
            let reads = matches!(failure.what, What::Read | What::Transaction);
            // A row that is cut off in its middle can be followed by nothing.
            let lost = matches!(failure.sqlstate.as_str(), "08006" | "57P01" | "57P02" | "57P03" | "");
            reads && lost
        };
        let others: Vec<_> = self.failures.iter().filter(|failure| !allowed(failure)).collect();
        assert!(others.is_empty(), "{} other errors: {:#?}", others.len(), &others[..others.len().min(5)]);
    }

    /// For people.
    pub fn summary(&self) -> String {
        let mut kinds: HashMap<(What, &str), u32> = HashMap::new();
        for failure in &self.failures {
            *kinds.entry((failure.what, &failure.sqlstate)).or_default() += 1;
        }
        format!(
            "{} reads, {} writes acknowledged, {} of unknown outcome; errors: {kinds:?}",
            self.reads,
            self.acknowledged.len(),
            self.unknown.len()
        )
    }
}
