//! What a generation of plugins costs as a whole: its start, the memory of its
//! instances, and what a second thread is worth.

use super::{CONFIG, DATABASE, PGBENCH, known_facts};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::plugin::contract::{
    Effects, Kind, Node, NodeRole, Servers, SessionInfo, SessionState, Statement, Transaction, Verdict,
};
use crate::plugin::{About, MAX_BALANCERS, Memory, Options, PluginHost, PluginWorker, Topology, Words};
use crate::proxy::{self, embedded};
use crate::routing::facts::Facts;
use anyhow::{Context, anyhow};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// Starts with and without compiled code.
const STARTS: usize = 5;
/// One thread and two take turns so often …
const TURNS: usize = 9;
/// … for so long each.
const TURN: Duration = Duration::from_millis(200);

/// Prints a table.
pub(super) fn generation(built_in: Duration) -> anyhow::Result<()> {
    println!("\n| the built-in plugins together | |\n|---|---|");
    println!("| start, compiled into the program | {built_in:.1?} |");
    let (cold, warm) = starts()?;
    println!("| start from files, nothing in the code cache | {cold:.1?} |");
    println!("| start from files, compiled code in the cache | {warm:.1?} |");
    let threads = Threads::new()?;
    for (name, bytes) in threads.memory()? {
        println!("| memory of an instance: {name} | {} KiB |", bytes / 1024);
    }
    for (what, call) in [("classifier misses", Call::Classify), ("balancer calls", Call::Route)] {
        let (wall, busy) = threads.speed_up(call);
        println!("| {what} by two threads, against one | {wall:.2} × ({busy:.2} × by processor time) |");
    }
    Ok(())
}

// === Starts ===

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("waypool-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// How long a host takes to be there, with the built-in plugins as files, when
/// they have to be compiled and when they have been: medians.
fn starts() -> anyhow::Result<(Duration, Duration)> {
    let folder = Folder::new()?;
    let mut text = CONFIG.to_owned();
    for (name, (wasm, _)) in
        [("classify", embedded::CLASSIFY), ("balance", embedded::BALANCE), ("rewrite", embedded::REWRITE)]
    {
        let file = folder.0.join(format!("{name}.wasm"));
        fs::write(&file, wasm).with_context(|| format!("cannot write {}", file.display()))?;
        text.push_str(&format!("[plugins.{name}]\npath = {file:?}\n"));
    }
    let config = Config::parse(&text, Path::new("bench.toml")).map_err(|errors| anyhow!("{errors}"))?;
    let start = |cache: &Path| -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let options = Options { workers: 2, code_cache: Some(cache.to_owned()) };
        drop(black_box(PluginHost::new(proxy::sources(&config), options)?));
        Ok(begin.elapsed())
    };
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for number in 0..STARTS {
        let cache = folder.0.join(format!("cache-{number}"));
        cold.push(start(&cache)?);
        warm.push(start(&cache)?);
    }
    cold.sort_unstable();
    warm.sort_unstable();
    Ok((cold[STARTS / 2], warm[STARTS / 2]))
}

// === Threads ===

/// What a thread does over and over.
#[derive(Clone, Copy)]
enum Call {
    Classify,
    Route,
}

/// Calls a second.
#[derive(Clone, Copy, Default)]
struct Rate {
    wall: f64,
    /// Of processor time.
    busy: f64,
}

/// Threads that call the same plugins, each in its own instances.
struct Threads {
    host: Arc<PluginHost>,
    facts: Arc<Facts>,
    topology: Topology,
    session: SessionInfo,
}

impl Threads {
    fn new() -> anyhow::Result<Self> {
        let config = Config::parse(CONFIG, Path::new("bench.toml")).map_err(|errors| anyhow!("{errors}"))?;
        let options = Options { workers: 2, code_cache: None };
        let node = |id, role| Node {
            id,
            role,
            usable: true,
            delayed: false,
            weight: 1.0,
            lag_bytes: 0,
            lag_micros: 0,
        };
        Ok(Threads {
            host: PluginHost::new(proxy::sources(&config), options)?,
            facts: known_facts(&Arc::new(Cluster::new(&config))),
            topology: Topology {
                epoch: 1,
                nodes: vec![node(0, NodeRole::Primary), node(1, NodeRole::Standby)],
            },
            session: SessionInfo { database: DATABASE.into(), ..SessionInfo::default() },
        })
    }

    /// Of each plugin's instance, after it has been called.
    fn memory(&self) -> anyhow::Result<Vec<(String, usize)>> {
        let mut worker = PluginWorker::new(self.host.clone());
        let plugins = worker.current().clone();
        let chain = plugins.chain(&self.session);
        let about = About::text(&self.session, &*self.facts);
        drop(plugins.rewrite(&chain, PGBENCH, &about, |_| Ok(None))?);
        drop(plugins.classify(&chain, PGBENCH, &about)?);
        let words = Words::default();
        let about = About::session(&self.session, &words);
        let mut memories = [Memory::default(); MAX_BALANCERS];
        black_box(plugins.plan_session(&chain, &self.topology, 7, &mut memories, &about)?);
        Ok(plugins.memory())
    }

    /// Calls of two threads in the time in which one makes one, by the clock and
    /// by the processor time that they had: medians. The latter does not count
    /// what else runs on this machine, nor waiting for a lock.
    fn speed_up(&self, call: Call) -> (f64, f64) {
        let turns: Vec<(Rate, Rate)> = (0..TURNS).map(|_| (self.rate(1, call), self.rate(2, call))).collect();
        let median = |rate: fn(&Rate) -> f64| {
            let mut ratios: Vec<f64> = turns.iter().map(|(one, two)| rate(two) / rate(one)).collect();
            ratios.sort_unstable_by(f64::total_cmp);
            ratios[TURNS / 2]
        };
        (median(|rate| rate.wall), median(|rate| rate.busy))
    }

    /// Of so many threads together.
    fn rate(&self, threads: usize, call: Call) -> Rate {
        let together = Barrier::new(threads);
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.turn(&together, call))).collect();
            let rates = all.into_iter().filter_map(|thread| thread.join().ok());
            rates.fold(Rate::default(), |sum, rate| Rate {
                wall: sum.wall + rate.wall,
                busy: sum.busy + rate.busy,
            })
        })
    }

    /// Of one thread.
    fn turn(&self, together: &Barrier, call: Call) -> Rate {
        let mut worker = PluginWorker::new(self.host.clone());
        let plugins = worker.current().clone();
        let chain = plugins.chain(&self.session);
        let words = Words::default();
        let verdict = Verdict {
            kind: Kind::Select,
            servers: Servers::Any,
            effects: Effects::empty(),
            ..Verdict::conservative("a read")
        };
        let statement = Statement { kind: verdict.kind, servers: verdict.servers, effects: verdict.effects };
        let state = SessionState {
            transaction: Transaction::Idle,
            transaction_memory: 0,
            session_memory: 0,
            home: 1,
            waited_millis: 0,
            random: 7,
        };
        let mut memories = [Memory::default(); MAX_BALANCERS];
        let text = About::text(&self.session, &*self.facts);
        let routed = About::statement(&self.session, &verdict, &words);
        let mut once = || match call {
            Call::Classify => drop(black_box(plugins.classify(&chain, PGBENCH, &text))),
            Call::Route => {
                // Another question than before: a call in any case.
                memories[0].transaction += 1;
                drop(black_box(plugins.route(&chain, &self.topology, statement, state, &memories, &routed)));
            }
        };
        once();
        together.wait();
        let (begin, begin_busy, mut calls) = (Instant::now(), processor_time(), 0u32);
        while begin.elapsed() < TURN {
            for _ in 0..100 {
                once();
            }
            calls += 100;
        }
        let busy = processor_time().saturating_sub(begin_busy);
        Rate {
            wall: f64::from(calls) / begin.elapsed().as_secs_f64(),
            busy: f64::from(calls) / busy.as_secs_f64(),
        }
    }
}

/// That this thread has had.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
