//! `waypool run`: the proxy in the foreground.

use super::watch::{self, Watch};
use crate::admin::endpoint::be_nice;
use crate::config::Config;
use crate::listen::Running;
use crate::logging::{self, Logging};
use crate::plugin::By;
use crate::proxy::Proxy;
use anyhow::{Context, anyhow};
use std::io;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

pub fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path).map_err(|errors| anyhow!("the configuration has mistakes\n{errors}"))?;
    let logging = logging::start(config.log_min_messages, config.log_format)?;
    // Before the files are loaded: what changes from here on is seen.
    let mut watch = Watch::new(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anybody is told that we are there, and might send some.
    let mut signals = runtime.block_on(async { Signals::new() }).context("signals")?;
    let proxy = Proxy::new(config)?;
    let running = Running::start(proxy)?;
    announce(&running.proxy.config());
    // From here on this thread compiles plugins at most.
    be_nice();
    runtime.block_on(signals.wait(path, &running.proxy, &logging, &mut watch));
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
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when the proxy is to end.
    async fn wait(&mut self, path: &Path, proxy: &Proxy, logging: &Logging, watch: &mut Watch) {
        let mut look = tokio::time::interval(watch::PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => reload(path, proxy, logging),
                _ = look.tick() => watch.look(proxy),
            }
        }
    }
}

/// A configuration with mistakes changes nothing.
fn reload(path: &Path, proxy: &Proxy, logging: &Logging) {
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
