//! Thousands of clients on few connections: each gets its own answers, its
//! share, and nobody else's settings, whoever is killed meanwhile.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use waypool_tests::wire::{bind, execute, parse, startup, sync};
use waypool_tests::{Proxy, primary_and_standby, rss_kib};

const SHORT: Crowd = Crowd { clients: 300, connections: 10, length: Duration::from_secs(8) };
const LONG: Crowd = Crowd { clients: 5000, connections: 20, length: Duration::from_secs(60) };

#[derive(Clone, Copy)]
struct Crowd {
    clients: usize,
    connections: usize,
    length: Duration,
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    answers: Vec<Cell<u64>>,
    /// Their own connection was lost, as it may when somebody kills it.
    lost: Cell<u64>,
    /// Server connections, and clients.
    killed: Cell<u64>,
    clients_killed: Cell<u64>,
}

struct Talker {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Its application_name
    name: String,
}

/// The end of a conversation.
struct Cut;

impl Talker {
    async fn login(port: u16, name: &str, tag: usize) -> Result<Talker, Cut> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|_| Cut)?;
        let mut talker = Talker { stream, buffer: Vec::new(), name: format!("{name} {tag}") };
        let who = [("user", "postgres"), ("database", "postgres"), ("application_name", &talker.name)];
        let hello = startup((3, 0), &who);
        talker.ask(&hello).await?;
        talker.ask(&[parse("mine", &format!("SELECT $1::text || ' of {tag}'")), sync()].concat()).await?;
        Ok(talker)
    }

    /// Sends messages, and returns the values of all rows up to ReadyForQuery.
    async fn ask(&mut self, messages: &[u8]) -> Result<Vec<String>, Cut> {
        self.stream.write_all(messages).await.map_err(|_| Cut)?;
        let mut values = Vec::new();
        loop {
            while let Some((tag, body)) = self.take() {
                match tag {
                    b'D' => values.push(String::from_utf8_lossy(&body[6..]).into_owned()),
                    b'Z' => return Ok(values),
                    b'E' => {
                        let text = String::from_utf8_lossy(&body).replace('\0', " ");
                        // 08006: its server connection was killed.
                        assert!(text.contains("C08006"), "{text}");
                        if text.contains("SFATAL") {
                            return Err(Cut);
                        }
                    }
                    _ => {}
                }
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(|_| Cut)? == 0 {
                return Err(Cut);
            }
        }
    }

    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let length = u32::from_be_bytes(self.buffer.get(1..5)?.try_into().ok()?) as usize;
        if self.buffer.len() < length + 1 {
            return None;
        }
        let frame: Vec<u8> = self.buffer.drain(..=length).collect();
        Some((frame[0], frame[5..].to_vec()))
    }

    /// One round of everything that could be mixed up with somebody else's.
    async fn round(&mut self, tag: usize, n: usize) -> Result<(), Cut> {
        let query = |sql: String| waypool_tests::wire::query(&sql);
        let mine = format!("{tag}.{n}");
        let values = self.ask(&query(format!("SELECT '{mine}'"))).await?;
        check(&values, &mine);
        let prepared = [bind("", "mine", &[&mine]), execute("", 0), sync()].concat();
        check(&self.ask(&prepared).await?, &format!("{mine} of {tag}"));
        if n % 4 == 0 {
            self.ask(&query(format!("SET waypool_test.tag = '{mine}'"))).await?;
        }
        let text = "SELECT current_setting('application_name') || '|' || \
                    coalesce(current_setting('waypool_test.tag', true), '')";
        let state = format!("{}|{tag}.{}", self.name, n - n % 4);
        check(&self.ask(&query(text.to_owned())).await?, &state);
        self.ask(&query("BEGIN".into())).await?;
        let values = self.ask(&query(format!("SELECT '{mine} in a transaction'"))).await?;
        check(&values, &format!("{mine} in a transaction"));
        self.ask(&query("COMMIT".into())).await?;
        Ok(())
    }
}

/// An answer that its server did not get to give is none; any other is the
/// one that was asked for.
#[track_caller]
fn check(values: &[String], expected: &str) {
    assert!(values.iter().all(|value| value == expected), "{values:?} instead of {expected}");
}

fn run(crowd: Crowd, kills: bool) {
    let top = format!(
        "pool_mode = \"transaction\"\ndefault_pool_size = {}\nmax_client_conn = 20000\nquery_wait_timeout = 0",
        crowd.connections
    );
    // Fairness is among equals: who reads elsewhere waits in other queues.
    let weights = if kills { [1.0, 1.0] } else { [1.0, 0.0] };
    let proxy = Proxy::builder(primary_and_standby()).weights(&weights).top(&top).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = rss_kib(proxy.pid());
    let seen = LocalSet::new().block_on(&runtime, talk(proxy.port(), crowd, kills));
    let answers: Vec<u64> = seen.answers.iter().map(Cell::get).collect();
    let all: u64 = answers.iter().sum();
    // Those who were there all the time.
    let mut answers = answers[if kills { crowd.clients / 2 } else { 0 }..].to_vec();
    answers.sort_unstable();
    let (least, median) = (answers[0], answers[answers.len() / 2]);
    eprintln!(
        "{} clients, {} connections: {all} rounds in all, least {least}, median {median}, most {}; {} clients and {} \
         connections killed, {} lost theirs; waypool's memory grew from {before} to {} KiB",
        crowd.clients,
        crowd.connections,
        answers[answers.len() - 1],
        seen.clients_killed.get(),
        seen.killed.get(),
        seen.lost.get(),
        rss_kib(proxy.pid()),
    );
    if kills {
        assert!(seen.killed.get() > 0 && seen.clients_killed.get() > 0 && least > 0);
    } else {
        assert_eq!(seen.lost.get(), 0);
        assert!(least * 3 >= median, "a client got less than a third of the others: {least} of {median}");
    }
    proxy.stop();
}

async fn talk(port: u16, crowd: Crowd, kills: bool) -> Rc<Seen> {
    // Both tests may run at a time, on the same servers.
    let name = if kills { "mortal" } else { "client" };
    let answers = (0..crowd.clients).map(|_| Cell::new(0)).collect();
    let seen = Rc::new(Seen { answers, ..Seen::default() });
    // All of them first: then they compete on equal terms.
    let mut talkers = Vec::new();
    for tag in 0..crowd.clients {
        talkers.push(Talker::login(port, name, tag).await.ok());
    }
    let end = Instant::now() + crowd.length;
    let start = |tag: usize, talker| spawn_local(client(port, name, tag, end, talker, seen.clone()));
    let mut tasks: Vec<_> = talkers.into_iter().enumerate().map(|(tag, talker)| start(tag, talker)).collect();
    let mut ended = Vec::new();
    if kills {
        // Whoever is killed comes again. Those in the second half live on.
        let kill = |n: usize| {
            let tag = n % (crowd.clients / 2);
            tasks[tag].abort();
            // Kept: it may have panicked before.
            ended.push(std::mem::replace(&mut tasks[tag], start(tag, None)));
            seen.clients_killed.set(seen.clients_killed.get() + 1);
        };
        kill_until(end, kill, &seen.killed).await;
    }
    for end in join_all(ended.into_iter().chain(tasks)).await {
        match end {
            Ok(()) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    seen
}

/// Talks up to the end, and logs in again when its connection is lost.
async fn client(
    port: u16,
    name: &'static str,
    tag: usize,
    end: Instant,
    mut talker: Option<Talker>,
    seen: Rc<Seen>,
) {
    while Instant::now() < end {
        let Some(mut one) = talker.take() else {
            talker = Talker::login(port, name, tag).await.ok();
            continue;
        };
        for n in 0.. {
            if one.round(tag, n).await.is_err() {
                seen.lost.set(seen.lost.get() + 1);
                break;
            }
            seen.answers[tag].set(seen.answers[tag].get() + 1);
            if Instant::now() >= end {
                return;
            }
        }
    }
}

/// A client every 10 ms, in the middle of whatever it does, and a server
/// connection every 100 ms.
async fn kill_until(end: Instant, mut kill_client: impl FnMut(usize), killed: &Cell<u64>) {
    let servers = primary_and_standby().servers();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for n in 0_usize.. {
        ticks.tick().await;
        if Instant::now() >= end {
            return;
        }
        kill_client(n);
        if n % 10 == 0 {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE application_name LIKE 'mortal %' ORDER BY random() LIMIT 1";
            let server = &servers[n / 10 % servers.len()];
            let done = tokio::task::spawn_blocking(|| server.psql(sql)).await.unwrap().unwrap();
            killed.set(killed.get() + u64::from(done == "t"));
        }
    }
}

#[test]
fn a_crowd_shares_a_few_connections_fairly() {
    run(SHORT, false);
}

#[test]
fn a_crowd_of_which_some_are_killed_keeps_its_answers_apart() {
    run(SHORT, true);
}

#[test]
#[ignore = "a minute with 5,000 clients: make soak"]
fn soak_five_thousand_clients_on_twenty_connections() {
    run(LONG, false);
}

#[test]
#[ignore = "a minute with 5,000 clients, of which half are killed: make soak"]
fn soak_five_thousand_clients_that_are_killed() {
    run(LONG, true);
}
