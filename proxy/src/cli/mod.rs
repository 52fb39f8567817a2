//! The command line: one file a subcommand.

mod bench;
mod check;
mod demo;
mod explain;
mod import;
mod plugin;
mod run;
mod stop;
mod verify;
mod watch;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A PostgreSQL routing proxy that you extend with WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "waypool", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until SIGINT, SIGTERM or SIGQUIT; SIGHUP reloads the configuration
    Run(run::Options),
    /// End a running proxy: when its clients have left, at once, or in between
    Stop(stop::Options),
    /// Say everything that is wrong with a configuration, without starting
    Check(ConfigFile),
    /// Say where a statement would go, and why
    Explain(explain::Options),
    /// Turn a pgpool.conf into a waypool.toml, and say what became of each parameter
    Import(import::Options),
    /// Measure what routing costs: cache hits, a classifier's miss, a balancer's call
    Bench,
    /// Compare the servers, down to the rows that differ; exit status 1 if they do, 2 if it cannot be known
    Verify(verify::Options),
    /// Write, test and look at plugins; change those of a running proxy
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Start a primary, a standby and Waypool in a temporary folder, and show them working
    Demo(demo::Options),
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "waypool.toml")]
    config: PathBuf,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Stop(options) => stop::stop(&options),
        Command::Check(file) => check::check(&file.config),
        Command::Explain(options) => explain::explain(&options),
        Command::Import(options) => import::import(&options),
        Command::Bench => bench::bench(),
        Command::Verify(options) => return verify::run(&options),
        Command::Plugin(command) => plugin::plugin(&command),
        Command::Demo(options) => demo::demo(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waypool: {error:#}");
            ExitCode::FAILURE
        }
    }
}
