//! Swaps, broken pushes, rollbacks and shadows under pgbench's load.

use std::path::PathBuf;

use waypool_tests::load::{Done, Load, quiet_servers};
use waypool_tests::plugins::{Change, Stats, WITNESS, Witness, history, order, post, told};
use waypool_tests::raw::Raw;
use waypool_tests::{Builder, Proxy, wait_until};

use crate::WHICH;

pub const CLIENTS: u32 = 32;
/// Versions in turn: fewer than swaps, as a plugin has 100 counters.
pub const VERSIONS: u32 = 6;
pub const SWAPS: u32 = 20;
/// After so many swaps there is a broken push, and a rollback.
pub const EVERY: u32 = 4;

/// Threads share nothing but what is published: two, whatever this machine has.
pub fn builder(witness: &Witness) -> Builder {
    let lines = "worker_threads = 2\ndefault_pool_size = 100";
    // Deadlines are wall time, and here more want to run than there are processors.
    witness.in_use(Proxy::builder(quiet_servers()).top(lines)).plugin_entry(WITNESS, "deadline = \"10s\"")
}

/// What an operator does, and what has to stand in the history then.
pub struct Operator<'a> {
    pub proxy: &'a Proxy,
    pub witness: &'a Witness,
    expected: Vec<Change>,
    /// The digest in use, and the one before.
    in_use: [String; 2],
}

impl<'a> Operator<'a> {
    pub fn new(proxy: &'a Proxy, witness: &'a Witness) -> Self {
        let expected = history(proxy, WITNESS);
        assert_eq!(expected.len(), 1, "{expected:?}");
        let first = expected[0].sha256.clone();
        Operator { proxy, witness, expected, in_use: [first.clone(), first] }
    }

    pub fn push(&self, number: u32) -> String {
        self.witness.push(self.proxy, version(number), "sound")
    }

    pub fn swap(&mut self, number: u32, sha256: &str) {
        let why = format!("swap {number}");
        self.post("swap", &serde_json::json!({ "sha256": sha256, "why": why }));
        self.in_use = [sha256.to_owned(), self.in_use[0].clone()];
        self.expect("swap", why);
    }

    pub fn rollback(&mut self, number: u32) {
        let why = format!("after swap {number}");
        self.post("rollback", &serde_json::json!({ "why": why }));
        self.in_use.swap(0, 1);
        self.expect("rollback", why);
    }

    fn post(&self, action: &str, order: &serde_json::Value) {
        post(self.proxy, &format!("/v1/plugins/{WITNESS}/{action}"), order);
    }

    fn expect(&mut self, action: &str, why: String) {
        let generation = self.expected[self.expected.len() - 1].generation + 1;
        let sha256 = self.in_use[0].clone();
        self.expected.push(Change { generation, action: action.to_owned(), sha256, why });
    }

    /// Each kind of brokenness in turn; none gets in.
    pub fn push_broken(&self, number: u32) {
        let (file, why) = self.broken(number / EVERY);
        let said =
            order(self.proxy, &["push", &file.display().to_string(), "--name", WITNESS, "--why", "broken"]);
        let said = said.error();
        assert!(said.contains(why), "{said}");
    }

    fn broken(&self, number: u32) -> (PathBuf, &'static str) {
        match number % 5 {
            0 => (self.witness.file("letter", b"this is a letter, not a plugin"), "WebAssembly"),
            1 => (self.witness.torso(), "not a valid WebAssembly component"),
            2 => (self.witness.version(99, "stillborn"), "this version does not live"),
            3 => (self.witness.version(99, "sick"), "this version is sick"),
            // On what clients have just sent; the probe's statement is fine.
            _ => (self.witness.version(99, "fragile"), "this version is fragile"),
        }
    }

    #[track_caller]
    pub fn check_history(&self) {
        assert_eq!(history(self.proxy, WITNESS), self.expected);
    }
}

/// Waits until the version in use has decided something.
pub fn wait_until_used(proxy: &Proxy, version: u32) {
    let counted = || Stats::of(proxy, WITNESS).counter(&format!("routed v{version:03}"));
    let before = counted();
    wait_until("the version in use decides", || counted() > before);
}

/// Of the n-th swap: another one than before it, and than before a rollback.
pub fn version(number: u32) -> u32 {
    1 + number % VERSIONS
}

/// Every statement was decided, by one version; `prepared` statements were
/// decided once more when they were only prepared.
#[track_caller]
pub fn check_decisions(proxy: &Proxy, done: &Done, prepared: u64) {
    let stats = Stats::of(proxy, WITNESS);
    assert_eq!((stats.sum("torn "), stats.sum("mixed "), stats.failures()), (0, 0, 0), "{}", stats.0);
    let decided = (stats.sum("routed "), stats.sum("ended "));
    let expected = (done.statements() + prepared, done.all_transactions());
    assert_eq!(decided, expected, "{}\n{}", stats.0, done.said);
    assert_eq!(stats.sum("admitted "), u64::from(CLIENTS) + 1, "pgbench connects once more, to look around");
    for number in 0..VERSIONS {
        let counter = format!("routed v{:03}", version(number));
        assert!(stats.counter(&counter) > 0, "{counter} is 0: {}", stats.0);
    }
}

fn swap_under_load(protocol: &str, prepared: u64) {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let mut operator = Operator::new(&proxy, &witness);
    // Compiled beforehand: the full form, in soak.rs, does that under load too.
    let digests: Vec<String> = (0..VERSIONS).map(|number| operator.push(number)).collect();
    let mut load = Load::mixed(&proxy, &format!("-c {CLIENTS} -M {protocol}"));
    for number in 1..=SWAPS {
        let digest = &digests[(number % VERSIONS) as usize];
        assert_eq!(operator.push(number), *digest);
        operator.swap(number, digest);
        wait_until_used(&proxy, version(number));
        if number % EVERY == 0 {
            operator.push_broken(number);
            operator.rollback(number);
            wait_until_used(&proxy, version(number - 1));
        }
    }
    assert!(load.is_running(), "the load ended before the swaps did");
    let (done, _) = load.stop();
    check_decisions(&proxy, &done, prepared);
    operator.check_history();
    let last = format!("v{:03}", version(SWAPS - 1));
    assert_eq!(Raw::login(&proxy).value(WHICH), last);
    proxy.stop();
}

#[test]
fn no_statement_of_the_simple_protocol_notices_a_swap() {
    swap_under_load("simple", 0);
}

#[test]
fn no_statement_of_the_extended_protocol_notices_a_swap() {
    swap_under_load("extended", 0);
}

#[test]
fn no_prepared_statement_notices_a_swap() {
    // Each client prepares eight statements.
    swap_under_load("prepared", u64::from(CLIENTS) * 8);
}

#[test]
fn a_shadow_is_asked_and_changes_nothing() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let load = Load::mixed(&proxy, &format!("-c {CLIENTS}"));
    let shadow = || Stats::of(&proxy, WITNESS).0["shadow"].clone();
    let figure = |name: &str| shadow()[name].as_u64().unwrap_or_default();

    // Another version adds other tags, and routes alike.
    witness.push(&proxy, 2, "sound");
    order(&proxy, &["shadow", WITNESS, "--share", "50%"]).ok();
    let mut session = Raw::login(&proxy);
    let mut asked = 0;
    wait_until("the shadow has differed", || {
        // Each another shape, which the classifiers are asked about.
        asked += 1;
        assert_eq!(session.value(&format!("{WHICH}{}", " || ''".repeat(asked))), "v001");
        figure("differed") > 0 && figure("asked") > 100
    });
    let told = shadow();
    let example = &told["examples"][0];
    assert!(example["live"].as_str().unwrap().contains("v001"), "{told}");
    assert!(example["shadow"].as_str().unwrap().contains("v002"), "{told}");
    assert_eq!(told["failed"].as_u64(), Some(0), "{told}");
    assert!((told["share"].as_f64().unwrap() - 0.5).abs() < 0.001, "{told}");

    // The same version never differs.
    witness.push(&proxy, 1, "sound");
    order(&proxy, &["shadow", WITNESS, "--share", "1"]).ok();
    wait_until("the shadow has been asked", || figure("asked") > 1_000);
    assert_eq!((figure("differed"), figure("failed")), (0, 0));

    // One that fails is counted, and harms nobody.
    witness.push(&proxy, 3, "traitor");
    order(&proxy, &["shadow", WITNESS, "--share", "10%"]).ok();
    wait_until("the shadow has failed", || figure("failed") > 10);

    order(&proxy, &["shadow", WITNESS, "--end"]).ok();
    assert!(shadow().is_null(), "{}", shadow());
    let (done, _) = load.stop();
    let stats = Stats::of(&proxy, WITNESS);
    let mine = asked as u64;
    assert_eq!(stats.counter("routed v001"), done.statements() + mine, "{}", stats.0);
    assert_eq!((stats.sum("routed v00"), stats.failures()), (done.statements() + mine, 0), "{}", stats.0);
    let generation = told_generation(&proxy);
    assert_eq!(history(&proxy, WITNESS).last().unwrap().generation, generation);
}

fn told_generation(proxy: &Proxy) -> u64 {
    told(proxy, &["history"]).as_array().unwrap().last().unwrap()["generation"].as_u64().unwrap()
}

#[test]
fn a_plugin_is_disabled_and_enabled_under_load() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let load = Load::mixed(&proxy, &format!("-c {CLIENTS}"));
    for _ in 0..5 {
        order(&proxy, &["disable", WITNESS]).ok();
        order(&proxy, &["enable", WITNESS]).ok();
        wait_until_used(&proxy, 1);
    }
    let (done, _) = load.stop();
    let stats = Stats::of(&proxy, WITNESS);
    let routed = stats.sum("routed ");
    assert!(routed > 0 && routed < done.statements(), "{routed} of {}", done.statements());
    assert_eq!((stats.sum("torn "), stats.sum("mixed "), stats.failures()), (0, 0, 0), "{}", stats.0);
}

#[test]
fn versions_that_fail_under_load_are_taken_back_and_no_transaction_fails() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let load = Load::mixed(&proxy, &format!("-c {CLIENTS}"));
    for round in 0..3 {
        witness.swap(&proxy, 2 + round, "traitor");
        wait_until("the version before is back", || {
            history(&proxy, WITNESS).last().is_some_and(|last| last.action == "automatic rollback")
        });
        wait_until_used(&proxy, 1);
    }
    load.stop();
    let actions: Vec<_> = history(&proxy, WITNESS).into_iter().map(|change| change.action).collect();
    assert_eq!(actions[1..], ["swap", "automatic rollback"].repeat(3));
}
