//! Reads after writes while replay stops and goes on at random.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use waypool_sandbox::{Cluster, Server};
use waypool_tests::raw::{Raw, extended, read_port, sqlstate, value};
use waypool_tests::{Proxy, psql, wait_until, wire};

use crate::{login, parse, pause, proxy, servers};

const SESSIONS: usize = 4;

/// Numbers without a pattern, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// What the sessions have seen so far.
#[derive(Debug, Default)]
struct Seen {
    reads: AtomicUsize,
    by_standby: AtomicUsize,
    stale: AtomicUsize,
    /// Microseconds
    longest: AtomicUsize,
    pauses: AtomicUsize,
    over: AtomicBool,
}

/// Writes, and reads what it wrote, again and again: with a session of its own,
/// in turn with another one of the same user where `twin` says so.
fn write_and_read(proxy: &Proxy, number: usize, user: &str, twin: bool, reads: usize, seen: &Seen) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 * (number as u64 + 1));
    let mut sessions = [login(proxy, user), login(proxy, user)];
    let read = format!("SELECT concat_ws(' ', inet_server_port(), (SELECT v FROM soak WHERE k = {number}))");
    let standby = sessions[0].value("SELECT inet_server_port()").parse::<u16>().unwrap();
    let mut done = 0;
    for v in 1.. {
        write(&mut sessions[0], number, v, random.below(5));
        for _ in 0..=random.below(3) {
            let reader = &mut sessions[usize::from(twin)];
            let transaction = random.below(10) == 0;
            if transaction {
                reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
            }
            let began = Instant::now();
            reader.send(&if random.below(2) == 0 { wire::query(&read) } else { extended(&read) });
            let answer = reader.wire.until_ready();
            let took = began.elapsed().as_micros() as usize;
            let got = value(&answer).unwrap_or_else(|| panic!("{:?}", sqlstate(&answer)));
            let (port, found) = parse(&got);
            if transaction {
                reader.run("COMMIT");
            }
            seen.longest.fetch_max(took, Ordering::Relaxed);
            seen.by_standby.fetch_add(usize::from(port == standby), Ordering::Relaxed);
            seen.stale.fetch_add(usize::from(found != v), Ordering::Relaxed);
            seen.reads.fetch_add(1, Ordering::Relaxed);
            done += 1;
        }
        if done >= reads {
            return;
        }
    }
}

fn write(session: &mut Raw, k: usize, v: i32, how: usize) {
    let update = format!("UPDATE soak SET v = {v} WHERE k = {k}");
    match how {
        0 => session.run(&update),
        1 => {
            session.send(&extended(&update));
            assert_eq!(sqlstate(&session.wire.until_ready()), None);
        }
        2 => ["BEGIN", update.as_str(), "COMMIT"].iter().for_each(|sql| session.run(sql)),
        3 => session.run(&format!("SELECT soak({k}, {v})")),
        _ => session.run(&format!("SELECT 1; {update}")),
    }
}

/// Pauses and resumes replay, each time after so many reads.
fn disturb(standby: &Server, seen: &Seen) {
    let mut random = Random(42);
    let mut control = Raw::direct(standby, &[]);
    let read_on = |count: usize| {
        let goal = seen.reads.load(Ordering::Relaxed) + count;
        wait_until("reads go on", || {
            seen.reads.load(Ordering::Relaxed) >= goal || seen.over.load(Ordering::Relaxed)
        });
    };
    while !seen.over.load(Ordering::Relaxed) {
        read_on(random.below(200));
        control.run("SELECT pg_wal_replay_pause()");
        seen.pauses.fetch_add(1, Ordering::Relaxed);
        read_on(random.below(20));
        control.run("SELECT pg_wal_replay_resume()");
    }
}

fn prepare(cluster: &Cluster) {
    let setup = format!(
        "DROP TABLE IF EXISTS soak; CREATE TABLE soak (k int PRIMARY KEY, v int) WITH (fillfactor = 20);
         INSERT INTO soak SELECT k, 0 FROM generate_series(0, {SESSIONS}) AS k; GRANT ALL ON soak TO PUBLIC;
         CREATE OR REPLACE FUNCTION soak(k int, v int) RETURNS void LANGUAGE sql AS
             'UPDATE soak SET v = $2 WHERE k = $1'"
    );
    cluster.primary().psql(&setup).unwrap();
    cluster.server(1).wait_replay(cluster.primary()).unwrap();
}

/// So many reads in each scope; returns what to report.
fn no_stale_reads(cluster: &Cluster, scope: &str, reads: usize) -> String {
    prepare(cluster);
    let proxy = proxy(cluster, scope, 10).start();
    let (seen, proxy) = (&Seen::default(), &proxy);
    let began = Instant::now();
    thread::scope(|threads| {
        threads.spawn(|| disturb(cluster.server(1), seen));
        let twin = scope == "user";
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|number| {
                let user = ["anna", "bert"][number % 2];
                let work = move || write_and_read(proxy, number, user, twin, reads / SESSIONS, seen);
                threads.spawn(work)
            })
            .collect();
        let ended: Vec<_> = sessions.into_iter().map(thread::ScopedJoinHandle::join).collect();
        seen.over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a session failed");
    });
    let [reads, by_standby, stale, longest, pauses] =
        [&seen.reads, &seen.by_standby, &seen.stale, &seen.longest, &seen.pauses]
            .map(|count| count.load(Ordering::Relaxed));
    let report = format!(
        "{scope}: {reads} reads after writes in {:?}, {by_standby} answered by the standby, {pauses} pauses \
         of replay, {stale} stale; the longest read took {longest} µs",
        began.elapsed()
    );
    assert_eq!(stale, 0, "{report}");
    assert!(by_standby > reads / 20 && by_standby < reads, "a test of little worth: {report}");
    proxy.stop();
    report
}

/// delay_threshold: once the proxy knows that the standby is behind it, nobody
/// reads from it, until it has caught up.
fn threshold_holds(cluster: &Cluster, rounds: usize, reads: usize) -> String {
    const THRESHOLD: usize = 100_000;
    let (primary, standby) = (cluster.primary(), cluster.server(1));
    let proxy = proxy(cluster, "off", 10)
        .top(&format!("delay_threshold = {THRESHOLD}\nsr_check_period = \"100ms\""))
        .start();
    let mut sessions: Vec<Raw> = (0..SESSIONS).map(|_| Raw::login(&proxy)).collect();
    let mut random = Random(7);
    let lag = || -> usize {
        let nodes = psql(&proxy, "SHOW pool_nodes");
        nodes.lines().nth(1).unwrap().split('|').nth(10).unwrap().parse().unwrap()
    };
    for _ in 0..rounds {
        wait_until("the standby is read from", || read_port(&mut sessions[0]) == standby.port());
        pause(standby);
        let bytes = THRESHOLD + 1 + random.below(1_000_000);
        sessions[0].run(&format!("SELECT pg_logical_emit_message(false, 'soak', repeat('x', {bytes}))"));
        wait_until("the delay is known", || lag() > THRESHOLD);
        // The balancers of all workers hear of it with their next statement.
        wait_until("the delay counts", || read_port(&mut sessions[0]) == primary.port());
        for at in 0..reads {
            assert_eq!(read_port(&mut sessions[at % SESSIONS]), primary.port());
        }
        assert!(lag() > THRESHOLD);
        standby.psql("SELECT pg_wal_replay_resume()").unwrap();
    }
    proxy.stop();
    format!(
        "off: {rounds} times over delay_threshold, {} reads meanwhile, none by the standby",
        rounds * reads
    )
}

#[test]
fn no_read_is_stale_while_replay_stops_and_goes_on() {
    let cluster = servers();
    for scope in ["session", "user"] {
        no_stale_reads(&cluster, scope, 1_000);
    }
    threshold_holds(&cluster, 3, 100);
}

/// Minutes: `cargo test --release -p waypool-tests --test read_your_writes -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn soak_read_your_writes() {
    let cluster = servers();
    for scope in ["session", "user"] {
        println!("{}", no_stale_reads(&cluster, scope, 100_000));
    }
    println!("{}", threshold_holds(&cluster, 100, 1_000));
}
