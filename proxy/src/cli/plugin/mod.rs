//! `waypool plugin`: one file a subcommand.
//!
//! - On this machine: `new`, `build`, `test`, `inspect`, `bench`, `keygen`,
//!   `sign`; with `toolchain` and `project` (what cargo needs and makes),
//!   `examine` (a file as the proxy sees it), `wasm_subject` and `words` (a file
//!   as a table of statements asks it).
//! - To a running proxy: `list`, `push`, `swap`, `shadow`, `rollback`,
//!   `disable`, `enable`, `stats`, `history`; with `client` (HTTP).
//! - `output`: tables for people, JSON for programs.

mod bench;
mod build;
pub(super) mod client;
mod disable;
mod enable;
mod examine;
mod history;
mod inspect;
mod keygen;
mod list;
mod new;
mod output;
mod project;
mod push;
mod rollback;
mod shadow;
mod sign;
mod stats;
mod swap;
mod test;
mod toolchain;
mod wasm_subject;
mod words;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the crate of a new plugin, which builds and passes its tests at once
    New(new::Options),
    /// Make the WebAssembly file of a plugin's crate
    Build(build::Options),
    /// Run a plugin's tests: as plain Rust, then its tables as WebAssembly
    Test(test::Options),
    /// Say what a plugin's file is: roles, contract, imports, configuration
    Inspect(inspect::Options),
    /// Measure what a call of a plugin costs, beside the built-in ones
    Bench(bench::Options),
    /// Make a key to sign plugins with
    Keygen(keygen::Options),
    /// Sign a plugin's file
    Sign(sign::Options),
    /// Show the plugins of a running proxy
    List(list::Options),
    /// Send a file to a running proxy, which tries it out and does not use it yet
    Push(push::Options),
    /// Put what was pushed, else the configured file, into use
    Swap(swap::Options),
    /// Have what was pushed asked as well for a share of the calls, and count the differences
    Shadow(shadow::Options),
    /// Go back to the version before
    Rollback(rollback::Options),
    /// Take a plugin out of use, without forgetting it
    Disable(disable::Options),
    /// Put a disabled plugin back into use
    Enable(enable::Options),
    /// Show what plugins have done: calls, failures, their own counters, shadows
    Stats(stats::Options),
    /// Show who changed which plugin, when and why
    History(history::Options),
}

pub fn plugin(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::New(options) => new::new(options),
        Command::Build(options) => build::build(options),
        Command::Test(options) => test::test(options),
        Command::Inspect(options) => inspect::inspect(options),
        Command::Bench(options) => bench::bench(options),
        Command::Keygen(options) => keygen::keygen(options),
        Command::Sign(options) => sign::sign(options),
        Command::List(options) => list::list(options),
        Command::Push(options) => push::push(options),
        Command::Swap(options) => swap::swap(options),
        Command::Shadow(options) => shadow::shadow(options),
        Command::Rollback(options) => rollback::rollback(options),
        Command::Disable(options) => disable::disable(options),
        Command::Enable(options) => enable::enable(options),
        Command::Stats(options) => stats::stats(options),
        Command::History(options) => history::history(options),
    }
}
