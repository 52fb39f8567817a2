//! `waypool demo`: a cluster in a temporary folder with Waypool in front, a
//! tour that shows it working, and nothing left of it afterwards.
//!
//! - `stage`: the servers and the proxy, started and stopped.
//! - `tour`: what is shown, step by step.
//! - `client`: `psql`, for what people can repeat.
//! - `load`: clients that go on reading while a plugin is swapped.
//! - `screen`: how it all looks.
//! - `stop`: Ctrl-C.

mod client;
mod load;
mod screen;
mod stage;
mod stop;
#[cfg(test)]
mod tests;
mod tour;

use self::screen::Screen;
use self::stage::Stage;
use self::stop::Stop;
use crate::config::{LogFormat, LogLevel};
use crate::logging;
use anyhow::{Context, bail};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "While it runs, every user of this machine can connect to it without a password.")]
pub struct Options {
    /// Stop after the tour
    #[arg(long)]
    exit: bool,
    /// Where Waypool listens [default: 9999, or a free port if that is taken]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Write its configuration here, for `waypool plugin` [default: in its temporary folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn demo(options: &Options) -> anyhow::Result<()> {
    let stop = Stop::on_signals().context("cannot listen for Ctrl-C")?;
    // What the tour tells should not drown in the proxy's own lines.
    logging::start(LogLevel::Warning, LogFormat::Human)?;
    match run(options, &Screen::stdout(), &stop) {
        // The children of a terminal get the Ctrl-C too, and fail of it.
        Err(_) if stop.is_wanted_soon() => bail!("interrupted; everything is removed"),
        outcome => outcome,
    }
}

fn run(options: &Options, screen: &Screen, stop: &Stop) -> anyhow::Result<()> {
    let stage = Stage::build(options.port, options.config.as_deref(), screen, stop)?;
    let outcome = show(&stage, options, screen, stop);
    stage.clear(screen)?;
    outcome
}

/// The tour, and what comes after it.
fn show(stage: &Stage, options: &Options, screen: &Screen, stop: &Stop) -> anyhow::Result<()> {
    tour::tour(stage, screen, stop)?;
    if !options.exit {
        tour::what_next(stage, screen)?;
        stop.wait();
    }
    Ok(())
}
