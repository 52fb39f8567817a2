//! `waypool bench`: what a statement costs on its way through the cache and
//! the built-in plugins, without any server; and what these cost as a whole.

mod generation;

use crate::auth::server::Credentials;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::plugin::contract::{RelationFacts, SessionInfo, Volatility};
use crate::plugin::{About, NoFacts, Options, PluginHost, PluginWorker, Words};
use crate::proxy;
use crate::routing::facts::{Facts, Lookup};
use crate::routing::{Database, Router, Scope, SessionState, classify, route};
use anyhow::{Context, anyhow};
use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};
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

pub(super) const PGBENCH: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 123456789;";
pub(super) const JOIN: &str = "SELECT o.id, o.placed_at, c.name, c.email FROM orders o JOIN customers c ON c.id = o.customer_id \
    WHERE o.status = 'open' AND o.total > 100000000 AND c.country IN ('DE', 'FR') ORDER BY o.placed_at LIMIT 20";

pub fn bench() -> anyhow::Result<()> {
    let config = Config::parse(CONFIG, Path::new("bench.toml")).map_err(|errors| anyhow!("{errors}"))?;
    let cluster = Arc::new(Cluster::new(&config));
    cluster.assume_up();
    let begin = Instant::now();
    let host = PluginHost::new(proxy::sources(&config), Options { workers: 2, code_cache: None })?;
    let started = begin.elapsed();
    let info = SessionInfo { database: DATABASE.into(), ..SessionInfo::default() };
    let mut worker = PluginWorker::new(host.clone());
    let chain = worker.current().chain(&info);
    drop(worker.current().classify(&chain, "SELECT 1", &About::text(&info, &NoFacts))?);
    let ready = begin.elapsed();
    let facts = known_facts(&cluster);
    let database = Rc::new(Database { name: DATABASE.into(), facts: facts.clone() });
    let router = RefCell::new(Router::new(cluster, host.clone(), config.statement_cache_size));
    let scope = router.borrow_mut().scope(&database, &info);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

    let joins = ten_joins();
    let texts = [PGBENCH, JOIN, &joins];
    let [pgbench, join, ten] = texts.map(str::len);
    println!(
        "| what | pgbench's SELECT ({pgbench} bytes) | a join ({join} bytes) | ten joins ({ten} bytes) |"
    );
    println!("|---|---|---|---|");
    let mut columns = Vec::new();
    for text in texts {
        columns.push(runtime.block_on(statement(&router, text, &scope))?);
    }
    let plugins = worker.current().clone();
    let about = About::text(&info, &*facts);
    let classified = texts.map(|text| median(|| drop(black_box(plugins.classify(&chain, text, &about)))));
    let rewritten =
        texts.map(|text| median(|| drop(black_box(plugins.rewrite(&chain, text, &about, |_| Ok(None))))));
    row("cache hit by exact text", columns.iter().map(|column| column[0]));
    row("cache hit by shape", columns.iter().map(|column| column[1]));
    row("miss: classifier in Wasm", classified.into_iter());
    row("miss: rewriter in Wasm", rewritten.into_iter());
    let classified = runtime.block_on(classify(&router, PGBENCH.as_bytes(), &scope)).context("classify")?;
    let state = SessionState { home: 1, ..SessionState::default() };
    let words = Words::default();
    let balance = |state| {
        // It never waits with the default plugins.
        let routed = pin!(route(&router, &scope, classified.verdict(), state, &words));
        black_box(routed.poll(&mut TaskContext::from_waker(Waker::noop())).is_ready());
    };
    let kept = median(|| balance(state));
    let mut another = state;
    let called = median(|| {
        // Of no matter outside of a transaction, but another question.
        another.memories[0].transaction += 1;
        balance(another);
    });
    println!("| balancer call in Wasm, with the proxy's check | {called} ns | | |");
    println!("| balancer's steady decision, with the proxy's check | {kept} ns | | |");
    let micros = started.as_micros();
    println!(
        "\nThe default plugins were loaded in {micros} us, ready for the first statement in {} us.",
        ready.as_micros()
    );
    generation::generation(ready)
}

/// What the catalog would say of the names in the statements.
pub(super) fn known_facts(cluster: &Arc<Cluster>) -> Arc<Facts> {
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
    for number in 1..=10 {
        facts.learn_relation(&format!("detail_{number}"), RelationFacts::empty());
    }
    for operator in ["=", ">", "<>"] {
        facts.learn_operator(operator, Volatility::Immutable);
    }
    facts
}

fn row(name: &str, nanos: impl Iterator<Item = u64>) {
    let columns: Vec<_> = nanos.map(|nanos| format!(" {nanos} ns |")).collect();
    println!("| {name} |{}", columns.concat());
}

/// A statement of about a kilobyte.
pub(super) fn ten_joins() -> String {
    let joins: String = (1..=10)
        .map(|n| {
            format!(" LEFT JOIN detail_{n} AS d{n} ON d{n}.order_id = o.id AND d{n}.kind = 'kind number {n}'")
        })
        .collect();
    let columns: String = (1..=10).map(|n| format!(", d{n}.amount")).collect();
    format!(
        "SELECT o.id{columns} FROM orders AS o{joins} WHERE o.customer_id = 123456789 ORDER BY o.id LIMIT 50"
    )
}

/// Nanoseconds for a hit by text and a hit by shape.
async fn statement(router: &RefCell<Router>, text: &str, scope: &Scope) -> anyhow::Result<[u64; 2]> {
    let classified = classify(router, text.as_bytes(), scope).await?;
    anyhow::ensure!(
        !classified.verdict().reason.contains("waiting"),
        "a fact is missing: {}",
        classified.verdict().reason
    );
    // The second look-up admits the exact text.
    for _ in 0..2 {
        anyhow::ensure!(
            router.borrow_mut().lookup(text.as_bytes(), scope).is_some(),
            "the verdict was not kept"
        );
    }
    let exact = median(|| {
        black_box(router.borrow_mut().lookup(black_box(text.as_bytes()), scope).is_some());
    });
    // Another literal each time, of nine digits: the exact text is never found.
    let mut number = 0u64;
    let mut other = text.as_bytes().to_vec();
    let nine = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    let at = text.as_bytes().windows(9).position(nine).context("a number of nine digits")?;
    let shape = median(|| {
        number += 1;
        for (offset, digit) in other[at..at + 9].iter_mut().enumerate() {
            *digit = b'0' + (number / 10u64.pow(offset as u32) % 10) as u8;
        }
        black_box(router.borrow_mut().lookup(&other, scope).is_some());
    });
    Ok([exact, shape])
}

/// Nanoseconds a call.
pub(super) fn median(mut call: impl FnMut()) -> u64 {
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
