//! What idle clients cost: buffers belong to work, not to connections.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use waypool_tests::raw::{Raw, value};
use waypool_tests::wire::{bind, execute, parse, sync};
use waypool_tests::{Proxy, rss_kib, wait_until};

use crate::connections;

/// KiB of resident memory that a client may cost that has logged in.
const IDLE: u64 = 4;
/// And that has run statements and waits again.
const AFTER_QUERIES: u64 = 8;
/// Sockets of this process, or of the proxy, that are no client's.
const OTHER_FILES: u64 = 1000;

struct Crowd {
    proxy: Proxy,
    clients: Vec<Raw>,
    /// The proxy's memory without them, in KiB.
    before: u64,
}

impl Crowd {
    /// So many clients, on 20 server connections.
    fn gather(count: usize) -> Crowd {
        allow_files(count as u64 + OTHER_FILES);
        let top = format!("max_client_conn = {}\nquery_wait_timeout = \"60s\"", count + 10);
        let proxy = connections(20).top(&top).start();
        // What is made at its first use is nobody's own.
        let mut first = login(&proxy);
        talk(&mut first);
        let before = rss_kib(proxy.pid());
        let clients = (0..count).map(|_| login(&proxy)).collect();
        Crowd { proxy, clients, before }
    }

    /// Waits until the proxy has no more memory than this for each.
    #[track_caller]
    fn costs_at_most(&self, kib: u64, when: &str) {
        let count = self.clients.len() as u64;
        let used = || rss_kib(self.proxy.pid()).saturating_sub(self.before);
        wait_until(&format!("a client costs at most {kib} KiB {when}"), || used() <= kib * count);
        let each = used() as f64 / count as f64;
        println!("{count} clients {when}: {each:.1} KiB each");
    }

    /// All ask at once, so that most wait for a server connection, and each gets
    /// its own answer.
    fn ask_at_once(&mut self) {
        for (number, client) in self.clients.iter_mut().enumerate() {
            let tag = format!("client {number}");
            let read = [parse("", "SELECT $1::text"), bind("", "", &[&tag]), execute("", 0), sync()];
            client.send(&read.concat());
        }
        for (number, client) in self.clients.iter_mut().enumerate() {
            let answer = client.wire.until_ready();
            assert_eq!(value(&answer), Some(format!("client {number}")));
        }
    }

    fn check(count: usize) {
        let mut crowd = Crowd::gather(count);
        crowd.costs_at_most(IDLE, "after the login");
        crowd.clients.iter_mut().for_each(talk);
        crowd.costs_at_most(AFTER_QUERIES, "after a few statements");
        // What thousands who wait at once need, the allocator does not give back
        // at once: no bound is checked behind this.
        crowd.ask_at_once();
    }
}

fn login(proxy: &Proxy) -> Raw {
    // As libpq asks for them.
    Raw::login_with(proxy, &[("application_name", "crowd"), ("client_encoding", "UTF8")])
}

/// Both protocols, a transaction, a statement with a name.
fn talk(client: &mut Raw) {
    for statement in ["SELECT 1", "BEGIN", "SELECT count(*) FROM pg_class", "COMMIT"] {
        client.run(statement);
    }
    let read = [parse("mine", "SELECT $1::int + 1"), bind("", "mine", &["1"]), execute("", 0), sync()];
    client.send(&read.concat());
    assert_eq!(value(&client.wire.until_ready()).as_deref(), Some("2"));
}

/// Many shells allow fewer than the system does; the proxy inherits it.
fn allow_files(count: u64) {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(most >= count, "ulimit -Hn is {most}: {count} files are needed");
    setrlimit(Resource::RLIMIT_NOFILE, now.max(count), most).unwrap();
}

#[test]
fn idle_clients_cost_little_memory() {
    Crowd::check(1500);
}

#[test]
#[ignore = "takes half a minute: make soak"]
fn soak_ten_thousand_idle_clients() {
    Crowd::check(10_000);
}
