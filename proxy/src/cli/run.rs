//! `waypool run`: the proxy in the foreground.

use super::ConfigFile;
use super::watch::{self, Watch};
use crate::admin::endpoint::be_nice;
use crate::config::Config;
use crate::handover::systemd;
use crate::life::{Mode, Phase};
use crate::listen::{Arrival, Running};
use crate::logging::{self, Logging};
use crate::plugin::By;
use crate::proxy::Proxy;
use anyhow::{Context, anyhow};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Take the sockets over from the running proxy, which keeps the clients it has until they leave
    #[arg(long)]
    takeover: bool,
    /// With --takeover: how long they may stay, as "10min"; without it, as long as they like
    #[arg(long, value_name = "DURATION", requires = "takeover", value_parser = duration)]
    takeover_timeout: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let path = options.file.config.as_path();
    let config = Config::load(path).map_err(|errors| anyhow!("the configuration has mistakes\n{errors}"))?;
    let logging = logging::start(config.log_min_messages, config.log_format)?;
    // Before the files are loaded: what changes from here on is seen.
    let mut watch = Watch::new(&config);
    let proxy = Proxy::new(config)?;
    let arrival = match options.takeover {
        true => Arrival::TakingOver { limit: options.takeover_timeout },
        false => Arrival::Anew,
    };
    let mut running = Running::arrive(proxy, arrival)?;
    announce(&running.proxy.config());
    systemd::ready();
    // From here on this thread compiles plugins at most.
    be_nice();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(wait_for_end(path, &mut running, &logging, &mut watch))?;
    let proxy = running.proxy.clone();
    match proxy.life.phase() {
        Phase::Immediate => proxy.predecessors.stop(Mode::Immediate),
        Phase::Fast => proxy.predecessors.stop(Mode::Fast),
        // They are waited for by nobody.
        _ => {}
    }
    tracing::info!("stopping");
    running.stop();
    Ok(())
}

fn announce(config: &Config) {
    let addresses = config.listen_addresses.join(", ");
    let sockets: Vec<_> =
        config.unix_socket_directories.iter().map(|path| path.display().to_string()).collect();
    tracing::info!(
        port = config.port,
        addresses,
        sockets = sockets.join(", "),
        "ready to accept connections"
    );
}

/// Returns when the proxy is to end, and those it waits for have gone.
async fn wait_for_end(
    path: &Path,
    running: &mut Running,
    logging: &Logging,
    watch: &mut Watch,
) -> anyhow::Result<()> {
    let proxy = running.proxy.clone();
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut quit = signal(SignalKind::quit()).context("SIGQUIT")?;
    let mut look = tokio::time::interval(watch::PERIOD);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut phase = proxy.life.watch();
    let mut over = pin!(proxy.life.over(&proxy.clients));
    loop {
        tokio::select! {
            () = &mut over => return Ok(()),
            _ = interrupt.recv() => proxy.shutdown(Mode::Fast),
            _ = terminate.recv() => proxy.shutdown(Mode::Fast),
            _ = quit.recv() => proxy.shutdown(Mode::Immediate),
            _ = hangup.recv() => reload(path, &proxy, logging),
            _ = look.tick() => watch.look(&proxy),
            Ok(()) = phase.changed() => match *phase.borrow_and_update() {
                Phase::HandedOver => running.leave_sockets(),
                _ => systemd::stopping(),
            },
        }
    }
}

/// A configuration with mistakes changes nothing.
fn reload(path: &Path, proxy: &Proxy, logging: &Logging) {
    if proxy.life.phase() != Phase::Serving {
        return tracing::warn!("reload refused: this process is about to end");
    }
    systemd::reloading();
    take_over(path, proxy, logging);
    systemd::ready();
}

fn take_over(path: &Path, proxy: &Proxy, logging: &Logging) {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(errors) => return tracing::error!("reload refused, the configuration has mistakes:\n{errors}"),
    };
    let difference = Config::reloadable_difference(&proxy.config(), &config);
    for key in &difference.restart {
        tracing::warn!("{key} changed: it needs a restart");
    }
    let (level, format) = (config.log_min_messages, config.log_format);
    if let Err(error) = proxy.reload(config, &By::new("SIGHUP", "reload")) {
        return tracing::error!("reload refused: {error}");
    }
    if let Err(error) = logging.change(level, format) {
        tracing::warn!("the log's settings could not be changed: {error}");
    }
    tracing::info!(changed = difference.reload.join(", "), "configuration reloaded");
}
