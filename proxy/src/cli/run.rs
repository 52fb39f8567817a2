//! `waypool run`: the proxy in the foreground.

use super::ConfigFile;
use super::watch::{self, Watch};
use crate::admin::endpoint::be_nice;
use crate::config::Config;
use crate::handover::systemd;
use crate::life::{Mode, Phase};
use crate::listen::{Arrival, Running};
use crate::logging::{self, Logging};
use crate::orders::Order;
use crate::plugin::By;
use crate::proxy::Proxy;
use anyhow::{Context, anyhow};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anybody is told that we are there, and might send some.
    let mut signals = runtime.block_on(async { Signals::new() }).context("signals")?;
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
    runtime.block_on(signals.wait(path, &mut running, &logging, &mut watch));
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

/// What the process is told from outside.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Returns when the proxy is to end, and those it waits for have gone.
    async fn wait(&mut self, path: &Path, running: &mut Running, logging: &Logging, watch: &mut Watch) {
        let proxy = running.proxy.clone();
        // Of the admin console.
        let mut orders = proxy.orders.take();
        let mut look = tokio::time::interval(watch::PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut phase = proxy.life.watch();
        let mut over = pin!(proxy.life.over(&proxy.clients));
        loop {
            tokio::select! {
                // What follows from a new phase is done before the end that it may be.
                biased;
                Ok(()) = phase.changed() => match *phase.borrow_and_update() {
                    Phase::HandedOver => running.leave_sockets(),
                    _ => systemd::stopping(),
                },
                () = &mut over => return,
                Some(Order::Reload(answer)) = async { orders.as_mut()?.recv().await } => {
                    let _ = answer.send(reload(path, &proxy, logging, &By::new("console", "RELOAD")));
                }
                _ = self.interrupt.recv() => proxy.shutdown(Mode::Fast),
                _ = self.terminate.recv() => proxy.shutdown(Mode::Fast),
                _ = self.quit.recv() => proxy.shutdown(Mode::Immediate),
                _ = self.hangup.recv() => drop(reload(path, &proxy, logging, &By::new("SIGHUP", "reload"))),
                _ = look.tick() => watch.look(&proxy),
            }
        }
    }
}

/// A configuration with mistakes changes nothing: they are logged, and returned.
fn reload(path: &Path, proxy: &Proxy, logging: &Logging, by: &By) -> Result<(), String> {
    if proxy.life.phase() != Phase::Serving {
        tracing::warn!("reload refused: this process is about to end");
        return Err("this process is about to end".to_owned());
    }
    systemd::reloading();
    let reloaded = take_over(path, proxy, logging, by);
    if let Err(mistakes) = &reloaded {
        tracing::error!("reload refused: {mistakes}");
    }
    systemd::ready();
    reloaded
}

fn take_over(path: &Path, proxy: &Proxy, logging: &Logging, by: &By) -> Result<(), String> {
    let config = Config::load(path).map_err(|errors| format!("the configuration has mistakes:\n{errors}"))?;
    let difference = Config::reloadable_difference(&proxy.config(), &config);
    for key in &difference.restart {
        tracing::warn!("{key} changed: it needs a restart");
    }
    let (level, format) = (config.log_min_messages, config.log_format);
    proxy.reload(config, by).map_err(|error| error.to_string())?;
    if let Err(error) = logging.change(level, format) {
        tracing::warn!("the log's settings could not be changed: {error}");
    }
    tracing::info!(changed = difference.reload.join(", "), "configuration reloaded");
    Ok(())
}
