//! The contract is a WIT file: one small rule as a plugin in JavaScript and in
//! Python (`examples/languages`), built here and run in front of real servers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use waypool_tests::raw::{Raw, read_port};
use waypool_tests::{Builder, Proxy, primary_and_standby, psql, run, waypool};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn a_plugin_in_javascript_with_spidermonkey() {
    let plugin = build("javascript", &[], "javascript");
    check(&plugin);
    a_heap_that_grows_costs_no_statement(&plugin);
}

#[test]
fn a_plugin_in_javascript_with_quickjs() {
    check(&build("javascript", &["--quickjs"], "javascript-quickjs"));
}

#[test]
fn a_plugin_in_python() {
    check(&build("python", &[], "python"));
}

/// What is the same in every language.
fn check(plugin: &Path) {
    let proxy = builder(plugin).start();
    nothing_but_waypool_is_imported(plugin);
    the_comment_decides_about_reads(&proxy);
    the_comment_changes_nothing_else(&proxy);
    people_are_told(&proxy);
    another_word_can_be_had(&proxy, plugin);
    assert!(!proxy.log().contains("fault="), "a call failed");
}

fn nothing_but_waypool_is_imported(plugin: &Path) {
    let mut inspect = Command::new(waypool());
    // The code that the proxy has compiled is used again.
    inspect.args(["plugin", "inspect"]).arg(plugin).env("XDG_CACHE_HOME", format!("{ROOT}/target/tmp"));
    let told = run(&mut inspect, "").ok();
    let interfaces: Vec<&str> = told.split_whitespace().filter(|word| word.contains(":")).collect();
    assert_eq!(interfaces[1..], ["waypool:plugin/host@0.1.0", "waypool:plugin/types@0.1.0"], "{told}");
    assert!(told.contains("Reads with a certain comment go to the primary"), "{told}");
}

fn the_comment_decides_about_reads(proxy: &Proxy) {
    let mut session = Raw::login(proxy);
    // The plugin is asked; then the answers are in the cache, by their text.
    for _ in 0..3 {
        assert_eq!(read_port(&mut session), standby());
        assert_eq!(port(&mut session, "SELECT inet_server_port() /* fresh */"), primary());
        assert_eq!(port(&mut session, "SELECT /* fresh */ inet_server_port()"), primary());
        assert_eq!(port(&mut session, "SELECT inet_server_port() /* frosch \u{1f438} */"), standby());
    }
}

fn the_comment_changes_nothing_else(proxy: &Proxy) {
    let mut session = Raw::login(proxy);
    session.run("SET /* fresh */ application_name = 'everywhere'");
    let question = "SELECT current_setting('application_name') || ' on ' || inet_server_port()";
    assert_eq!(session.value(question), format!("everywhere on {}", standby()));
    assert_eq!(session.value(&format!("{question} /* fresh */")), format!("everywhere on {}", primary()));
    assert_eq!(session.error("this is /* fresh */ no SQL"), "42601");
}

fn people_are_told(proxy: &Proxy) {
    let told = psql(proxy, "SHOW waypool_route FOR SELECT 1 /* fresh */");
    assert!(told.contains("reason|the comment /* fresh */"), "{told}");
    assert!(told.contains("tags|fresh"), "{told}");
    let mut stats = Command::new(waypool());
    stats.args(["plugin", "stats", "fresh", "--json", "--config"]).arg(proxy.config_path());
    let told = run(&mut stats, "").ok();
    assert!(told.contains("\"reads\""), "{told}");
}

fn another_word_can_be_had(proxy: &Proxy, plugin: &Path) {
    let said = proxy.reconfigure(|builder| builder.plugin("fresh", "word = \"two words\""));
    assert!(said.contains("reload refused") && said.contains("letters, digits and underscores"), "{said}");
    let said = proxy.reconfigure(|_| builder(plugin).plugin("fresh", "word = \"newest\""));
    assert!(said.contains("configuration reloaded"), "{said}");
    let mut session = Raw::login(proxy);
    assert_eq!(port(&mut session, "SELECT inet_server_port() /* newest */"), primary());
    assert_eq!(port(&mut session, "SELECT inet_server_port() /* fresh */"), standby());
}

/// SpiderMonkey would collect its garbage at about 90 MB. Here it has 16 MB, of
/// which it takes nine at once: enough for some 13,000 calls.
fn a_heap_that_grows_costs_no_statement(plugin: &Path) {
    let proxy = builder(plugin).plugin_entry("fresh", "memory_limit = \"16MB\"").start();
    let mut session = Raw::login(&proxy);
    for n in 0..20_000 {
        assert_eq!(port(&mut session, &format!("SELECT inet_server_port() /* {n} */")), standby());
    }
    assert!(!proxy.log().contains("fault="), "a call failed");
}

// === building ===

/// Runs the example's build.sh, unless nothing has changed since it ran.
fn build(folder: &str, arguments: &[&str], name: &str) -> PathBuf {
    let folder = Path::new(ROOT).join("examples/languages").join(folder);
    let plugin = Path::new(ROOT).join(format!("target/plugins/languages/{name}.wasm"));
    if !is_up_to_date(&plugin, &folder) {
        run(Command::new(folder.join("build.sh")).args(arguments).arg(&plugin), "").ok();
    }
    plugin
}

fn is_up_to_date(plugin: &Path, folder: &Path) -> bool {
    let changed = |file: &Path| fs::metadata(file).and_then(|data| data.modified()).ok();
    let Some(built) = changed(plugin) else {
        return false;
    };
    let older = |file: &Path| changed(file).is_some_and(|changed: SystemTime| changed < built);
    let contract = Path::new(ROOT).join("plugin-sdk/wit/waypool.wit");
    let setup = Path::new(ROOT).join("tools/python-packages.txt");
    let sources = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    sources.chain([contract, setup]).all(|file| older(&file))
}

// === where statements go ===

/// Reads go to the standby unless something is in the way.
fn builder(plugin: &Path) -> Builder {
    // Interpreters are slow, and a deadline is wall time.
    let entry = format!("path = {plugin:?}\ndeadline = \"10s\"");
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).plugin_entry("fresh", &entry)
}

#[track_caller]
fn port(session: &mut Raw, sql: &str) -> u16 {
    session.value(sql).parse().unwrap()
}

fn primary() -> u16 {
    primary_and_standby().primary().port()
}

fn standby() -> u16 {
    primary_and_standby().server(1).port()
}
