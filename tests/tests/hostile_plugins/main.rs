//! Plugins that are none, that fail and that never end: statements are answered
//! all the same, other sessions do not notice, and operators are told.
//!
//! The plugin is examples/hostile, which does what a statement's comment orders:
//! `SELECT 1 /* route trap */`.
#![allow(clippy::unwrap_used)]

mod hooks;
mod loading;
mod others;
mod sessions;
mod whole;

use waypool_tests::plugins::{Stats, built};
use waypool_tests::{Builder, Proxy, primary_and_standby};

/// The name under which it is configured.
const HOSTILE: &str = "hostile";

/// Reads go to the standby, as long as all plugins do what they should. One
/// thread serves all sessions: nobody can evade a plugin that does not come back.
fn builder() -> Builder {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).top("worker_threads = 1")
}

/// With a hostile plugin of this name.
fn hostile(builder: Builder, name: &str, config: &str) -> Builder {
    builder.plugin_entry(name, &format!("path = {:?}", built(HOSTILE))).plugin(name, config)
}

/// It does what is ordered, and leaves all answers to the plugins behind it.
/// What it does has to be counted as what it is, on a machine that is busy, too.
fn modest(builder: Builder) -> Builder {
    modest_within("500ms", builder)
}

fn modest_within(deadline: &str, builder: Builder) -> Builder {
    hostile(builder, HOSTILE, "modest = true").plugin_entry(HOSTILE, &limits(deadline))
}

fn limits(deadline: &str) -> String {
    format!("deadline = {deadline:?}\nmemory_limit = \"8MB\"")
}

fn rejecting(builder: Builder) -> Builder {
    builder.plugin_entry(HOSTILE, "on_error = \"reject\"")
}

fn primary_port() -> u16 {
    primary_and_standby().server(0).port()
}

fn standby_port() -> u16 {
    primary_and_standby().server(1).port()
}

// === what is counted ===

/// What an operator is told of the hostile plugin.
fn stats(proxy: &Proxy) -> Stats {
    Stats::of(proxy, HOSTILE)
}

/// Calls that failed in this way.
fn failures(stats: &Stats, fault: &str) -> u64 {
    stats.0["counts"]["failures"][fault].as_u64().unwrap()
}

fn lines_dropped(stats: &Stats) -> u64 {
    stats.0["counts"]["lines_dropped"].as_u64().unwrap()
}

/// Whether the log tells that the plugin failed in this way.
fn is_logged(proxy: &Proxy, fault: &str) -> bool {
    proxy
        .log()
        .lines()
        .any(|line| line.contains("plugin=hostile") && line.contains(&format!("fault={fault}")))
}
