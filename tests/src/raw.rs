//! Raw clients that have logged in: what [`wire`](crate::wire) sends and reads,
//! put into the questions that tests ask.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::wire::{self, Message, Wire};
use crate::{Proxy, wait_until};

/// A session, with what cancels its queries.
#[derive(Debug)]
pub struct Raw {
    pub wire: Wire,
    /// The process id and the key that the proxy gave it.
    pub pid: u32,
    pub key: Vec<u8>,
}

impl Raw {
    /// Logs in as `postgres`, where the proxy trusts everybody.
    #[track_caller]
    pub fn login(proxy: &Proxy) -> Raw {
        Raw::login_with(proxy, &[])
    }

    /// [`Raw::login`] with further startup parameters; a later one of the same
    /// name counts.
    #[track_caller]
    pub fn login_with(proxy: &Proxy, parameters: &[(&str, &str)]) -> Raw {
        Raw::try_login(proxy, parameters).unwrap_or_else(|error| panic!("cannot log in: {}", text(&error)))
    }

    /// [`Raw::login_with`] where the proxy may refuse; its error.
    pub fn try_login(proxy: &Proxy, parameters: &[(&str, &str)]) -> Result<Raw, Message> {
        Raw::begin_login(proxy, parameters).finish()
    }

    /// Logs in at a server that trusts everybody, past the proxy.
    #[track_caller]
    pub fn direct(server: &waypool_sandbox::Server, parameters: &[(&str, &str)]) -> Raw {
        let login = Raw::begin(Wire::connect_to(server.port()), parameters).finish();
        login.unwrap_or_else(|error| panic!("cannot log in at a server: {}", text(&error)))
    }

    /// Sends the startup packet, and waits for nothing.
    pub fn begin_login(proxy: &Proxy, parameters: &[(&str, &str)]) -> Login {
        Raw::begin(Wire::connect(proxy), parameters)
    }

    fn begin(mut wire: Wire, parameters: &[(&str, &str)]) -> Login {
        let mut all = vec![("user", "postgres"), ("database", "postgres")];
        all.retain(|(name, _)| parameters.iter().all(|(other, _)| other != name));
        all.extend(parameters);
        wire.send(&wire::startup((3, 0), &all));
        Login { wire }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.wire.send(bytes);
    }

    /// One Query message and all that answers it.
    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        self.wire.query(sql)
    }

    /// The first column of the only row; panics at an error.
    #[track_caller]
    pub fn value(&mut self, sql: &str) -> String {
        let answer = self.query(sql);
        value(&answer).unwrap_or_else(|| panic!("{sql} has no value: {}", texts(&answer)))
    }

    /// Runs a statement that has to succeed.
    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        let answer = self.query(sql);
        assert_eq!(sqlstate(&answer), None, "{sql}: {}", texts(&answer));
    }

    /// The SQLSTATE of a statement that has to fail, after which the session
    /// goes on.
    #[track_caller]
    pub fn error(&mut self, sql: &str) -> String {
        let answer = self.query(sql);
        sqlstate(&answer).unwrap_or_else(|| panic!("{sql} should have failed: {}", texts(&answer)))
    }

    /// The process of the server that runs this session's writes.
    #[track_caller]
    pub fn backend_pid(&mut self) -> String {
        // A volatile function is for the primary.
        self.value("SELECT pg_backend_pid() FROM random()")
    }

    /// Asks the proxy to cancel what this session runs, on a connection of its
    /// own. Returns when the proxy has closed that: the request has been carried
    /// out.
    pub fn cancel(&self, proxy: &Proxy) {
        send_cancel(proxy, self.pid, &self.key);
    }

    /// Says goodbye and goes.
    pub fn leave(mut self) {
        self.wire.send(&wire::terminate());
        self.wire.until_closed();
    }

    /// Goes without a word, as if it had been killed.
    pub fn vanish(self) {
        // Both directions at once; dropping it closes the socket.
        let _ = self.wire.stream.shutdown(Shutdown::Both);
    }

    /// Whether a message of the proxy's has come; takes none.
    pub fn has_answer(&self) -> bool {
        has_answer(&self.wire)
    }
}

/// A client that has sent its startup packet.
#[derive(Debug)]
pub struct Login {
    pub wire: Wire,
}

impl Login {
    /// [`Raw::has_answer`]
    pub fn has_answer(&self) -> bool {
        has_answer(&self.wire)
    }

    /// Reads to the first ReadyForQuery, or to the error. Answers to nothing but
    /// trust.
    pub fn finish(mut self) -> Result<Raw, Message> {
        let (mut pid, mut key) = (0, Vec::new());
        loop {
            let message = self.wire.next().expect("waypool says why it closes a connection");
            match message.tag {
                b'E' => return Err(message),
                b'Z' => return Ok(Raw { wire: self.wire, pid, key }),
                b'K' => {
                    let (its_pid, its_key) = message.body.split_first_chunk().expect("BackendKeyData");
                    (pid, key) = (u32::from_be_bytes(*its_pid), its_key.to_vec());
                }
                _ => {}
            }
        }
    }
}

/// Sends a CancelRequest; returns when the proxy has closed the connection.
pub fn send_cancel(proxy: &Proxy, pid: u32, key: &[u8]) {
    let mut wire = Wire::connect(proxy);
    wire.send(&wire::cancel_request(pid, key));
    let answers = wire.until_closed();
    assert!(answers.is_empty(), "a cancel request is never answered: {answers:?}");
}

fn has_answer(wire: &Wire) -> bool {
    wire.stream.set_nonblocking(true).expect("a socket option");
    let peeked = wire.stream.peek(&mut [0]);
    wire.stream.set_nonblocking(false).expect("a socket option");
    peeked.is_ok()
}

// === answers ===

/// The SQLSTATE of the first error among these messages.
pub fn sqlstate(answer: &[Message]) -> Option<String> {
    answer.iter().find(|message| message.tag == b'E')?.field(b'C')
}

/// The first column of the first row.
pub fn value(answer: &[Message]) -> Option<String> {
    answer.iter().find(|message| message.tag == b'D')?.columns().into_iter().next()?
}

/// The types of these messages, as in the protocol's documentation.
pub fn tags(answer: &[Message]) -> String {
    answer.iter().map(|message| char::from(message.tag)).collect()
}

/// A message for people.
pub fn text(message: &Message) -> String {
    let shown = &message.body[..message.body.len().min(300)];
    format!("{} {}", char::from(message.tag), String::from_utf8_lossy(shown).replace('\0', " "))
}

fn texts(answer: &[Message]) -> String {
    let lines: Vec<String> = answer.iter().map(text).collect();
    lines.join("; ")
}

/// Expects a FATAL error with this SQLSTATE and then the end of the connection.
#[track_caller]
pub fn expect_fatal(wire: &mut Wire, expected: &str) -> Message {
    let messages = wire.until_closed();
    let last = messages.last().unwrap_or_else(|| panic!("closed without a word, instead of {expected}"));
    assert_eq!(last.field(b'S').as_deref(), Some("FATAL"), "{}", texts(&messages));
    assert_eq!(last.field(b'C').as_deref(), Some(expected), "{}", texts(&messages));
    last.clone()
}

// === messages that wire has not ===

/// GSSENCRequest
pub fn gssenc_request() -> Vec<u8> {
    [8_u32.to_be_bytes(), 80_877_104_u32.to_be_bytes()].concat()
}

pub fn copy_data(data: &[u8]) -> Vec<u8> {
    wire::message(b'd', &[data])
}

pub fn copy_done() -> Vec<u8> {
    wire::message(b'c', &[])
}

pub fn copy_fail(why: &str) -> Vec<u8> {
    wire::message(b'f', &[&wire::string(why)])
}

/// A message's type and the length that it claims, with nothing behind it.
pub fn header(tag: u8, length: u32) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes()].concat()
}

/// Parse, Bind, Execute and Sync in one go, as drivers send a statement.
pub fn extended(sql: &str) -> Vec<u8> {
    [wire::parse("", sql), wire::bind("", "", &[]), wire::execute("", 0), wire::sync()].concat()
}

/// Messages to ReadyForQuery or to the end of the connection, which may come in
/// the middle of one.
pub fn until_ready_or_cut(wire: &mut Wire) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut header = [0; 5];
    while wire.stream.read_exact(&mut header).is_ok() {
        let [tag, length @ ..] = header;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        if wire.stream.read_exact(&mut body).is_err() {
            break;
        }
        messages.push(Message { tag, body });
        if tag == b'Z' {
            break;
        }
    }
    messages
}

// === floods ===

/// Sends these bytes over and over, and reads nothing, until `limit` bytes are
/// gone or the other side has taken none for a while. Returns what it took.
pub fn flood(wire: &mut Wire, unit: &[u8], limit: usize) -> usize {
    /// Long enough that a proxy which still reads would have done so.
    const SILENCE: Duration = Duration::from_secs(2);
    let block = unit.repeat((64 * 1024 / unit.len()).max(1));
    wire.stream.set_write_timeout(Some(SILENCE)).expect("a socket option");
    let (mut sent, mut at) = (0, 0);
    while sent < limit {
        match wire.stream.write(&block[at..]) {
            Ok(count) => {
                sent += count;
                at = (at + count) % block.len();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("waypool closed the connection after {sent} bytes: {error}"),
        }
    }
    sent
}

/// Reads and drops bytes until the proxy has closed the connection.
pub fn drain(wire: &mut Wire) {
    let mut buffer = vec![0; 1 << 20];
    while matches!(wire.stream.read(&mut buffer), Ok(count) if count > 0) {}
}

// === memory ===

/// The most memory that a process has ever had in RAM, in KiB.
pub fn peak_rss_kib(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no VmHWM in {path}"))
}

/// Runs `load` and returns its result; panics when the proxy's memory has grown
/// by more than `mib` MiB at any moment meanwhile.
#[track_caller]
pub fn within_memory<T>(proxy: &Proxy, mib: u64, load: impl FnOnce() -> T) -> T {
    // Forgets the peak of its start.
    fs::write(format!("/proc/{}/clear_refs", proxy.pid()), "5").expect("the peak can be reset");
    let before = crate::rss_kib(proxy.pid());
    let result = load();
    let peak = peak_rss_kib(proxy.pid()).saturating_sub(before) / 1024;
    assert!(peak <= mib, "waypool's memory grew by {peak} MiB; {mib} MiB are allowed");
    result
}

// === what servers say ===

/// Waits until this question to a server is answered by `t`.
#[track_caller]
pub fn wait_true(server: &waypool_sandbox::Server, what: &str, sql: &str) {
    wait_until(what, || server.psql(sql).is_ok_and(|answer| answer == "t"));
}

/// Waits until a statement that holds this text runs on a server.
#[track_caller]
pub fn wait_running(server: &waypool_sandbox::Server, mark: &str) {
    wait_true(server, &format!("{mark} runs"), &running(mark));
}

/// Waits until a statement that holds this text runs on any of these servers.
#[track_caller]
pub fn wait_running_somewhere(cluster: &waypool_sandbox::Cluster, mark: &str) {
    let sql = running(mark);
    wait_until(&format!("{mark} runs"), || {
        cluster.servers().iter().any(|server| server.psql(&sql).is_ok_and(|answer| answer == "t"))
    });
}

fn running(mark: &str) -> String {
    format!(
        "SELECT count(*) > 0 FROM pg_stat_activity \
         WHERE state = 'active' AND query LIKE '%{mark}%' AND pid <> pg_backend_pid()"
    )
}

/// Waits until a statement that holds this text waits for a lock on a server.
#[track_caller]
pub fn wait_blocked(server: &waypool_sandbox::Server, mark: &str) {
    let sql = format!(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{mark}%'"
    );
    wait_true(server, &format!("{mark} waits for a lock"), &sql);
}

/// The port of the server that answers this session's reads.
#[track_caller]
pub fn read_port(session: &mut Raw) -> u16 {
    session.value("SELECT inet_server_port()").parse().expect("a port")
}
