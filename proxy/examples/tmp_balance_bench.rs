use std::sync::Arc; use std::time::{Instant,Duration}; use std::path::Path; use std::hint::black_box;
use waypool::{cluster::*, config::Config, plugin::{*, contract::*}, routing::{Router, SessionState}, proxy};
use arc_swap::ArcSwap;
fn main() {
    let text = "sr_check_user = \"nobody\"\n[[backend]]\nhostname = \"127.0.0.1\"\nport = 1\n[[backend]]\nhostname = \"127.0.0.1\"\nport = 2\n";
    let config = Config::parse(text, Path::new("bench.toml")).unwrap();
    for up in [false, true] {
    let cluster = Arc::new(Cluster::new(&config));
    if up { cluster.assume_up(); }
    let host = PluginHost::new(proxy::sources(&config), Options { workers: 1, code_cache: None }).unwrap();
    let policies = Arc::new(ArcSwap::from_pointee(config.plugins.clone()));
    let mut router = Router::new(cluster, host, policies, config.statement_cache_size);
    let mut verdict = Verdict::conservative("x");
    verdict.kind = Kind::Select; verdict.servers = Servers::Any; verdict.effects = Effects::empty();
    let state = SessionState { transaction: Transaction::Idle, transaction_memory: 0, session_memory: 0, home: 1, tell_end: false, generation: 0 };
    let words = Words::default();
    let mut rounds: Vec<u64> = (0..15).map(|_| { let start = Instant::now(); let mut n = 0u64;
        while start.elapsed() < Duration::from_millis(30) { for _ in 0..100 { black_box(router.route(&verdict, state, "bench", &words).is_ok()); } n += 100; }
        start.elapsed().as_nanos() as u64 / n }).collect();
    rounds.sort(); println!("up={up}: {} ns", rounds[7]);
    }
}
