//! `waypool run`: the proxy in the foreground.

use super::watch::{self, Watch};
use crate::admin::endpoint::be_nice;
use crate::config::Config;
use crate::listen::Running;
use crate::logging::{self, Logging};
use crate::orders::Order;
use crate::plugin::By;
use crate::proxy::Proxy;
use anyhow::{Context, anyhow};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

pub fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path).map_err(|errors| anyhow!("the configuration has mistakes\n{errors}"))?;
    let logging = logging::start(config.log_min_messages, config.log_format)?;
    // Before the files are loaded: what changes from here on is seen.
    let mut watch = Watch::new(&config);
    let proxy = Proxy::new(config)?;
    let running = Running::start(proxy)?;
    announce(&running.proxy.config());
    // From here on this thread compiles plugins at most.
    be_nice();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(wait_for_signals(path, &running.proxy, &logging, &mut watch))?;
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

/// Returns when the proxy is to end.
async fn wait_for_signals(
    path: &Path,
    proxy: &Proxy,
    logging: &Logging,
    watch: &mut Watch,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut look = tokio::time::interval(watch::PERIOD);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut orders = proxy.orders.take().context("somebody else takes the orders")?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => drop(reload(path, proxy, logging, &By::new("SIGHUP", "reload"))),
            Some(order) = orders.recv() => match order {
                Order::Reload(answer) => {
                    let _ = answer.send(reload(path, proxy, logging, &By::new("console", "RELOAD")));
                }
                Order::Shutdown => return Ok(()),
            },
            _ = look.tick() => watch.look(proxy),
        }
    }
}

/// A configuration with mistakes changes nothing: they are logged, and returned.
fn reload(path: &Path, proxy: &Proxy, logging: &Logging, by: &By) -> Result<(), String> {
    let reloaded = try_reload(path, proxy, logging, by);
    if let Err(mistakes) = &reloaded {
        tracing::error!("reload refused: {mistakes}");
    }
    reloaded
}

fn try_reload(path: &Path, proxy: &Proxy, logging: &Logging, by: &By) -> Result<(), String> {
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
