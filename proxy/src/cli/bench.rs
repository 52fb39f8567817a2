//! `waypool bench`: what a statement costs on its way through the cache and
//! the built-in plugins, without any server.

use crate::auth::server::Credentials;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::plugin::Words;
use crate::plugin::contract::{RelationFacts, Transaction, Volatility};
use crate::plugin::{Options, PluginHost};
use crate::proxy;
use crate::routing::facts::{Facts, Lookup};
use crate::routing::{Database, Router, SessionState, classify};
use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Two servers that are never connected to.
const CONFIG: &str = "sr_check_user = \"nobody\"\n\
    [[backend]]\nhostname = \"127.0.0.1\"\nport = 1\n\
    [[backend]]\nhostname = \"127.0.0.1\"\nport = 2\n";
const DATABASE: &str = "bench";

/// Each measurement is the median of so many rounds …
const ROUNDS: usize = 15;
/// … of this length.
const ROUND: Duration = Duration::from_millis(30);

const PGBENCH: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 123456789;";
const JOIN: &str = "SELECT o.id, o.placed_at, c.name, c.email FROM orders o JOIN customers c ON c.id = o.customer_id \
    WHERE o.status = 'open' AND o.total > 100000000 AND c.country IN ('DE', 'FR') ORDER BY o.placed_at LIMIT 20";

pub fn bench() -> anyhow::Result<()> {
    let config = Config::parse(CONFIG, Path::new("bench.toml")).map_err(|errors| anyhow!("{errors}"))?;
    let cluster = Arc::new(Cluster::new(&config));
    let host = PluginHost::new(proxy::sources(&config), Options { workers: 1, code_cache: None })?;
    let lookup = Lookup {
        cluster: cluster.clone(),
        pools: Vec::new(),
        user: "nobody".into(),
        credentials: Credentials::None,
        from_standby: false,
        size: 100,
        expire: None,
    };
    let facts = Arc::new(Facts::new(Arc::new(lookup), DATABASE.into()));
    for table in ["pgbench_accounts", "orders", "customers"] {
        facts.learn_relation(table, RelationFacts::empty());
    }
    for operator in ["=", ">", "<>"] {
        facts.learn_operator(operator, Volatility::Immutable);
    }
    let database = Database { number: 0, name: DATABASE.into(), facts };
    let policies = Arc::new(ArcSwap::from_pointee(config.plugins.clone()));
    let router = RefCell::new(Router::new(cluster, host, policies, config.statement_cache_size));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

    println!("| what | pgbench's SELECT ({} bytes) | a join ({} bytes) |", PGBENCH.len(), JOIN.len());
    println!("|---|---|---|");
    let mut lines = Vec::new();
    for text in [PGBENCH, JOIN] {
        lines.push(runtime.block_on(statement(&router, text, &database))?);
    }
    for (name, at) in
        ["cache hit by exact text", "cache hit by shape", "miss: classifier and rewriter in Wasm"]
            .into_iter()
            .zip(0..)
    {
        println!("| {name} | {} ns | {} ns |", lines[0][at], lines[1][at]);
    }
    let classified =
        runtime.block_on(classify(&router, PGBENCH.as_bytes(), &database)).context("classify")?;
    let state = SessionState {
        transaction: Transaction::Idle,
        transaction_memory: 0,
        session_memory: 0,
        home: 1,
        tell_end: false,
        generation: 0,
    };
    let words = Words::default();
    let route = median(|| {
        black_box(router.borrow_mut().route(classified.verdict(), state, &database.name, &words).is_ok());
    });
    println!("| balancer call in Wasm, with the proxy's check | {route} ns | |");
    Ok(())
}

/// Nanoseconds for a hit by text, a hit by shape, and a miss.
async fn statement(router: &RefCell<Router>, text: &str, database: &Database) -> anyhow::Result<[u64; 3]> {
    let classified = classify(router, text.as_bytes(), database).await?;
    anyhow::ensure!(
        !classified.verdict().reason.contains("waiting"),
        "a fact is missing: {}",
        classified.verdict().reason
    );
    // The second look-up admits the exact text.
    for _ in 0..2 {
        anyhow::ensure!(
            router.borrow_mut().lookup(text.as_bytes(), database).is_some(),
            "the verdict was not kept"
        );
    }
    let exact = median(|| {
        black_box(router.borrow_mut().lookup(black_box(text.as_bytes()), database).is_some());
    });
    // Another literal each time, of nine digits: the exact text is never found.
    let mut number = 0u64;
    let mut other = text.as_bytes().to_vec();
    let at = text.find(|c: char| c.is_ascii_digit()).context("a digit")?;
    let shape = median(|| {
        number += 1;
        for (offset, digit) in other[at..at + 9].iter_mut().enumerate() {
            *digit = b'0' + (number / 10u64.pow(offset as u32) % 10) as u8;
        }
        black_box(router.borrow_mut().lookup(&other, database).is_some());
    });
    let miss = median(|| {
        black_box(router.borrow_mut().ask_plugins(text, database).is_ok());
    });
    Ok([exact, shape, miss])
}

/// Nanoseconds a call.
fn median(mut call: impl FnMut()) -> u64 {
    let mut rounds: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let (start, mut calls) = (Instant::now(), 0u64);
            while start.elapsed() < ROUND {
                for _ in 0..100 {
                    call();
                }
                calls += 100;
            }
            start.elapsed().as_nanos() as u64 / calls
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}
