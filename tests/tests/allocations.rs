//! A statement of a session that has run it before takes no memory: whatever it
//! needs has been kept by its thread. The proxy runs in this process, so that
//! its allocations can be counted.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use waypool::config::Config;
use waypool::listen::Running;
use waypool::proxy::Proxy;
use waypool_sandbox::Cluster;
use waypool_tests::wire::{bind, describe, execute, parse, query, startup, sync};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts what all threads ask for but those of the tests themselves.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if !EXEMPT.try_with(Cell::get).unwrap_or(true) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all is the system's own allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Statements of a round. Something else in the process may want memory now and
/// then: the best round counts.
const STATEMENTS: usize = 100;
const ROUNDS: usize = 10;

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn login(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client { stream, buffer: vec![0; 64 * 1024] };
        client.ask(&startup((3, 0), &[("user", "postgres"), ("database", "postgres")]));
        client
    }

    /// Sends this and reads to a ReadyForQuery, the end of what is read then.
    fn ask(&mut self, bytes: &[u8]) -> &[u8] {
        self.stream.write_all(bytes).unwrap();
        let mut end = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[end..]).unwrap();
            assert!(count > 0, "waypool closed the connection");
            end += count;
            if self.buffer[..end].ends_with(b"Z\0\0\0\x05I") {
                return &self.buffer[..end];
            }
        }
    }
}

/// How often the proxy allocates for so many of these.
fn allocations(client: &mut Client, messages: &[Vec<u8>]) -> u64 {
    let mut round = || {
        let before = COUNT.load(Ordering::SeqCst);
        for number in 0..STATEMENTS {
            let answer = client.ask(&messages[number % messages.len()]);
            assert!(answer.windows(2).any(|part| part == b"D\0"), "no row: {answer:?}");
        }
        COUNT.load(Ordering::SeqCst) - before
    };
    // The first ones are the cold ones.
    round();
    (0..ROUNDS).map(|_| round()).min().unwrap()
}

fn start(cluster: &Cluster, pool_mode: &str) -> (Running, u16) {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let backends = cluster.servers().iter().map(|server| {
        format!("[[backend]]\nhostname = \"127.0.0.1\"\nport = {}\nsslmode = \"disable\"\n", server.port())
    });
    let text = format!(
        "port = {port}\nunix_socket_directories = []\nworker_threads = 1\npool_mode = \"{pool_mode}\"\n\
         hba = [\"host all all all trust\"]\nsr_check_user = \"postgres\"\n{}",
        backends.collect::<String>()
    );
    let config = Config::parse(&text, Path::new("test.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    (Running::start(Proxy::new(config).unwrap()).unwrap(), port)
}

#[test]
fn a_warm_statement_allocates_nothing() {
    EXEMPT.set(true);
    let cluster = Cluster::builder().standbys(1).start().unwrap();
    for pool_mode in ["session", "transaction"] {
        let (running, port) = start(&cluster, pool_mode);
        let mut client = Client::login(port);
        let numbered = |number| query(&format!("SELECT {number} AS answer"));
        let read = || [bind("", "named", &["1"]), describe(b'P', ""), execute("", 0), sync()].concat();
        let parsed = [parse("", "SELECT $1::int"), bind("", "", &["1"]), describe(b'P', ""), execute("", 0)];
        client.ask(&[parse("named", "SELECT $1::int + 1"), sync()].concat());
        let cases = [
            ("the same Query", vec![query("SELECT 1")]),
            ("a Query with another number each time", (0..STATEMENTS).map(numbered).collect()),
            ("a Query for the primary", vec![query("SELECT random()")]),
            ("an unnamed statement", vec![[parsed.concat(), sync()].concat()]),
            ("a named statement", vec![read()]),
        ];
        for (what, messages) in cases {
            let count = allocations(&mut client, &messages);
            assert_eq!(count, 0, "{what}, {pool_mode}: allocations of {STATEMENTS} statements");
        }
        drop(client);
        running.stop();
    }
}
