//! The default classifier as it is shipped, compiled to WebAssembly and called
//! by the proxy, against the same code compiled for this machine: they must not
//! differ in anything, for any text of the classifier's own tests.
#![allow(clippy::unwrap_used)]

#[path = "../../plugins/classify/tests/statements/catalog.rs"]
mod catalog;
#[path = "../../plugins/classify/tests/golden/catalog.rs"]
#[allow(dead_code)]
mod golden_catalog;
#[path = "../../plugins/classify/tests/statements/table.rs"]
#[allow(dead_code)]
mod table;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use waypool::config::Config;
use waypool::plugin::contract::{self, FunctionFact, RelationFact, RelationFacts, SessionInfo, Volatility};
use waypool::plugin::{About, FactSource, Options, PluginHost, PluginWorker};
use waypool_classify::{Classify, Rules};
use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{self as sdk, Classifier, Plugin};

/// Servers that are never connected to.
const CONFIG: &str = "sr_check_user = \"nobody\"\n[[backend]]\nhostname = \"127.0.0.1\"\nport = 1\n";

/// The built-in plugins, the classifier with this configuration.
fn compiled(configuration: &str) -> PluginWorker {
    let config = Config::parse(CONFIG, Path::new("test.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let mut sources = waypool::proxy::sources(&config);
    for source in &mut sources {
        // Real time: a busy machine must not look like a loop.
        source.entry.deadline = Duration::from_secs(10);
        if source.name() == "classify" {
            source.entry.config = serde_json::from_str(configuration).unwrap();
        }
    }
    PluginWorker::new(PluginHost::new(sources, Options { workers: 1, code_cache: None }).unwrap())
}

fn native(configuration: &str) -> Classify {
    let rules: Rules = serde_json::from_str(configuration).unwrap();
    Classify::new(rules).unwrap()
}

/// The catalog of the native tests, for the proxy.
struct Facts<'a>(&'a FakeHost);

impl FactSource for Facts<'_> {
    fn epoch(&self) -> u64 {
        // Another catalog each time.
        static LAST: AtomicU64 = AtomicU64::new(0);
        LAST.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        function_fact(self.0.function_fact(schema, name))
    }

    fn operator_fact(&self, name: &str) -> FunctionFact {
        function_fact(self.0.operator_fact(name))
    }

    fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        match self.0.relation_fact(schema, name) {
            sdk::RelationFact::Unknown => RelationFact::Unknown,
            sdk::RelationFact::Missing => RelationFact::Missing,
            sdk::RelationFact::Found(facts) => RelationFact::Found(relation_facts(facts)),
        }
    }
}

fn function_fact(fact: sdk::FunctionFact) -> FunctionFact {
    match fact {
        sdk::FunctionFact::Unknown => FunctionFact::Unknown,
        sdk::FunctionFact::Missing => FunctionFact::Missing,
        sdk::FunctionFact::Found(sdk::Volatility::Immutable) => FunctionFact::Found(Volatility::Immutable),
        sdk::FunctionFact::Found(sdk::Volatility::Stable) => FunctionFact::Found(Volatility::Stable),
        sdk::FunctionFact::Found(sdk::Volatility::Volatile) => FunctionFact::Found(Volatility::Volatile),
    }
}

fn relation_facts(facts: sdk::RelationFacts) -> RelationFacts {
    [
        (sdk::RelationFacts::TEMPORARY, RelationFacts::TEMPORARY),
        (sdk::RelationFacts::UNLOGGED, RelationFacts::UNLOGGED),
        (sdk::RelationFacts::CATALOG, RelationFacts::CATALOG),
        (sdk::RelationFacts::VIEW, RelationFacts::VIEW),
        (sdk::RelationFacts::VOLATILE, RelationFacts::VOLATILE),
    ]
    .into_iter()
    .filter(|(here, _)| facts.contains(*here))
    .fold(RelationFacts::empty(), |all, (_, there)| all | there)
}

/// All of a verdict; the enumerations as their place in the contract.
#[derive(Debug, PartialEq)]
struct Whole {
    enumerations: [u8; 3],
    effects: u16,
    name: Option<String>,
    reads: Vec<String>,
    writes: Vec<String>,
    functions: Vec<String>,
    tags: Vec<String>,
    reason: String,
}

impl From<sdk::Verdict> for Whole {
    fn from(verdict: sdk::Verdict) -> Self {
        Whole {
            enumerations: [verdict.depends as u8, verdict.kind as u8, verdict.servers as u8],
            effects: verdict.effects.bits(),
            name: verdict.name,
            reads: verdict.reads,
            writes: verdict.writes,
            functions: verdict.functions,
            tags: verdict.tags,
            reason: verdict.reason,
        }
    }
}

impl From<contract::Verdict> for Whole {
    fn from(verdict: contract::Verdict) -> Self {
        Whole {
            enumerations: [verdict.depends as u8, verdict.kind as u8, verdict.servers as u8],
            effects: verdict.effects.bits(),
            name: verdict.name,
            reads: verdict.reads,
            writes: verdict.writes,
            functions: verdict.functions,
            tags: verdict.tags,
            reason: verdict.reason,
        }
    }
}

#[track_caller]
fn same(native: &mut Classify, compiled: &mut PluginWorker, text: &str, host: &FakeHost) {
    let here = answer(native.classify(text, host).unwrap());
    let there = ask(compiled, text, &Facts(host));
    assert_eq!(Whole::from(there), Whole::from(here), "compiled to Wasm, and native: {text}");
}

fn answer(opinion: sdk::Opinion) -> sdk::Verdict {
    match opinion {
        sdk::Opinion::Answer(verdict) => verdict,
        other => panic!("the last classifier has to answer: {other:?}"),
    }
}

fn ask(compiled: &mut PluginWorker, text: &str, facts: &dyn FactSource) -> contract::Verdict {
    let session = SessionInfo { database: "db".into(), ..SessionInfo::default() };
    let plugins = compiled.current();
    let chain = plugins.chain(&session);
    plugins.classify(&chain, text, &About::text(&session, facts)).unwrap().answer
}

#[test]
fn the_table_of_statements() {
    let mut configuration = "";
    let mut pair = None;
    // Facts that are there, and facts that have to be looked up
    let hosts = [catalog::plain(), catalog::plain().unknown_by_default(true)];
    for case in table::cases() {
        if case.configuration != configuration {
            configuration = case.configuration;
            pair = None;
        }
        let (native, compiled) = pair.get_or_insert_with(|| (native(configuration), compiled(configuration)));
        for host in &hosts {
            same(native, compiled, &case.text, host);
        }
    }
}

/// The configurations under which Pgpool-II was recorded
const VARIANTS: &[&str] = &[
    "{}",
    r#"{"allow_sql_comments": true}"#,
    r#"{"read_only_function_list": "f_.*,now"}"#,
    r#"{"write_function_list": "f_stab,nextval,setval"}"#,
    r#"{"check_temp_table": "trace"}"#,
    r#"{"check_temp_table": "none"}"#,
    r#"{"check_unlogged_table": false}"#,
    r#"{"primary_routing_query_pattern_list": "SELECT 1.*;.*t2.*"}"#,
];

#[test]
fn the_recorded_statements() {
    let cases = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/cases.txt")).unwrap();
    let host = golden_catalog::catalog();
    for configuration in VARIANTS {
        let (mut native, mut compiled) = (native(configuration), compiled(configuration));
        for line in cases.lines().filter(|line| !line.starts_with("== ")) {
            same(&mut native, &mut compiled, &line.replace("\\n", "\n"), &host);
        }
    }
}

#[test]
fn a_wrong_configuration_is_refused_by_name() {
    let config = Config::parse(CONFIG, Path::new("test.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    for (configuration, named) in [
        (r#"{"read_only_function_list": "a", "write_function_list": "b"}"#, "exclude each other"),
        (r#"{"write_function_list": "a,b("}"#, "write_function_list"),
        (r#"{"check_temp_table": "some"}"#, "check_temp_table"),
    ] {
        let mut sources = waypool::proxy::sources(&config);
        let classify = sources.iter_mut().find(|source| source.name() == "classify").unwrap();
        classify.entry.config = serde_json::from_str(configuration).unwrap();
        let refused = PluginHost::new(sources, Options { workers: 1, code_cache: None });
        let message = refused.err().unwrap().to_string();
        assert!(message.contains(named), "{configuration}: {message}");
    }
}

const PGBENCH: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 123456789;";

const JOIN: &str = "SELECT o.id, o.placed_at, c.name, c.email FROM orders o JOIN customers c ON c.id = o.customer_id \
    WHERE o.status = 'open' AND o.total > 100000000 AND c.country IN ('DE', 'FR') ORDER BY o.placed_at LIMIT 20";

/// Ten joins in a kilobyte.
fn ten_joins() -> String {
    let joins: String = (1..=10)
        .map(|number| {
            format!(
                " LEFT JOIN table_number_{number} t{number} ON t{number}.order_id = o.id AND \
                 t{number}.status <> 'x{number}'"
            )
        })
        .collect();
    format!(
        "SELECT o.id, count(*), sum(t1.amount) AS total, max(t2.changed_at), coalesce(t3.name, 'none') FROM orders o\
         {joins} WHERE o.placed_at >= '2024-01-01' AND o.total > 100 GROUP BY o.id, t3.name ORDER BY total DESC LIMIT 50"
    )
}

/// Not a test of right or wrong: run it by name to see what a miss costs.
#[test]
#[ignore = "it measures"]
fn what_a_miss_costs() {
    let host = FakeHost::new();
    struct Known;
    impl FactSource for Known {
        fn epoch(&self) -> u64 {
            7
        }
        fn function_fact(&self, _: Option<&str>, _: &str) -> FunctionFact {
            FunctionFact::Found(Volatility::Stable)
        }
        fn operator_fact(&self, _: &str) -> FunctionFact {
            FunctionFact::Found(Volatility::Stable)
        }
        fn relation_fact(&self, _: Option<&str>, _: &str) -> RelationFact {
            RelationFact::Found(RelationFacts::empty())
        }
    }
    for configuration in
        ["{}", r#"{"write_function_list": "f_.*,g", "primary_routing_query_pattern_list": ".*hot.*"}"#]
    {
        let (mut native, mut compiled) = (native(configuration), compiled(configuration));
        for text in [PGBENCH, JOIN, &ten_joins()] {
            let wasm = nanoseconds(|| drop(ask(&mut compiled, text, &Known)));
            let native = nanoseconds(|| drop(native.classify(text, &host)));
            println!("{configuration}: {} bytes: {wasm} ns compiled, {native} ns native", text.len());
        }
    }
}

/// The median of some rounds.
fn nanoseconds(mut call: impl FnMut()) -> u128 {
    const CALLS: u32 = 5_000;
    let mut rounds: Vec<u128> = (0..15)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(|_| call());
            start.elapsed().as_nanos() / u128::from(CALLS)
        })
        .collect();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}
