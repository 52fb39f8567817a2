//! Clients that read all the time, and count which server answered.

use anyhow::{Context, anyhow, bail};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls, Statement};

/// A server says itself which one it is.
const QUERY: &str = "select inet_server_port(), name from boats where id = $1";
/// Each client rests as long between two queries. Some thousand queries a second
/// show as much as all that the machine can do, and leave processors idle: on
/// busy ones, Linux with autogroups (`sched_autogroup_enabled`; each server
/// process is a group of its own) was seen not to run a server process for half
/// a minute, while it ran the others.
const REST: Duration = Duration::from_millis(2);
/// Long enough for a slow machine, short enough not to look like a hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of the queries sent within one part of the tour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub primary: u64,
    pub standby: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// Sent and not answered yet.
    under_way: u64,
}

impl Counts {
    pub fn queries(&self) -> u64 {
        self.primary + self.standby + self.errors
    }
}

/// The running clients. Dropping it ends them.
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

struct Shared {
    primary_port: i32,
    now: Mutex<Now>,
    answered: Condvar,
}

#[derive(Default)]
struct Now {
    /// By part of the tour; the last is the present one.
    parts: Vec<Counts>,
    ended: bool,
}

impl Load {
    /// Starts `clients` of them; returns when each has connected.
    pub fn start(conninfo: &str, primary_port: u16, clients: usize) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connected = runtime.block_on(async {
            let mut connected = Vec::new();
            for _ in 0..clients {
                connected.push(connect(conninfo).await?);
            }
            Ok::<_, anyhow::Error>(connected)
        });
        let connected = connected.context("a client could not connect to Waypool")?;
        let now = Mutex::new(Now { parts: vec![Counts::default()], ended: false });
        let shared = Arc::new(Shared { primary_port: primary_port.into(), now, answered: Condvar::new() });
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("demo-clients".into()).spawn(move || {
            runtime.block_on(async {
                let mut reading = JoinSet::new();
                for (client, statement) in connected {
                    reading.spawn(read(client, statement, of_thread.clone()));
                }
                while let Some(ended) = reading.join_next().await {
                    ended?;
                }
                Ok(())
            })
        })?;
        Ok(Load { shared, thread: Some(thread) })
    }

    /// Ends the present part and begins the next. Returns the counts of the
    /// one before, when every query sent within it is answered.
    pub fn next_part(&self) -> anyhow::Result<Counts> {
        let mut now = self.shared.lock();
        let part = now.parts.len() - 1;
        now.parts.push(Counts::default());
        self.wait(now, |now| now.parts[part].under_way == 0).map(|now| now.parts[part].clone())
    }

    /// Waits until some query of the present part is answered.
    pub fn wait_for_queries(&self, count: u64) -> anyhow::Result<()> {
        let enough = |now: &Now| now.parts.last().is_some_and(|part| part.queries() >= count);
        self.wait(self.shared.lock(), enough).map(drop)
    }

    fn wait<'n>(
        &self,
        now: MutexGuard<'n, Now>,
        condition: impl Fn(&Now) -> bool,
    ) -> anyhow::Result<MutexGuard<'n, Now>> {
        let waited = self.shared.answered.wait_timeout_while(now, PATIENCE, |now| !condition(now));
        let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            bail!("the clients' queries have not been answered for {} s", PATIENCE.as_secs());
        }
        Ok(now)
    }

    /// Lets the clients finish their queries and leave.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.shared.lock().ended = true;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(anyhow!("the clients' thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
    }
}

async fn connect(conninfo: &str) -> anyhow::Result<(Client, Statement)> {
    let (client, connection) = tokio_postgres::connect(conninfo, NoTls).await?;
    // Ends when the client is dropped; what goes wrong, the client tells.
    tokio::spawn(connection);
    let statement = client.prepare(QUERY).await?;
    Ok((client, statement))
}

/// One client's life.
async fn read(client: Client, statement: Statement, shared: Arc<Shared>) {
    while let Some(part) = shared.begin() {
        let answer = client.query_one(&statement, &[&1_i32]).await;
        let port = answer.and_then(|row| row.try_get::<_, i32>(0));
        shared.note(part, port);
        if client.is_closed() {
            return;
        }
        sleep(REST).await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A query is about to be sent. Returns the part that it belongs to;
    /// `None`: no more.
    fn begin(&self) -> Option<usize> {
        let mut now = self.lock();
        if now.ended {
            return None;
        }
        let part = now.parts.len().checked_sub(1)?;
        now.parts[part].under_way += 1;
        Some(part)
    }

    fn note(&self, part: usize, port: Result<i32, tokio_postgres::Error>) {
        let mut now = self.lock();
        let counts = &mut now.parts[part];
        counts.under_way -= 1;
        match port {
            Ok(port) if port == self.primary_port => counts.primary += 1,
            Ok(_) => counts.standby += 1,
            Err(error) => {
                counts.errors += 1;
                counts.first_error.get_or_insert(error.to_string());
            }
        }
        self.answered.notify_all();
    }
}
