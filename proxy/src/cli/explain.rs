//! `waypool explain`: where a statement would go, and why.

use super::ConfigFile;
use crate::admin::route;
use crate::cluster::Timing;
use crate::cluster::monitor::monitors;
use crate::config::Config;
use crate::plugin::Words;
use crate::plugin::contract::SessionInfo;
use crate::proxy::Proxy;
use crate::routing::classify;
use crate::worker::Worker;
use anyhow::anyhow;
use std::sync::Arc;
use std::time::Duration;

/// Somebody waits: a server that takes longer is taken for down.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// The statement
    statement: String,
    /// The session's user
    #[arg(short = 'U', long, default_value = "postgres")]
    username: String,
    /// Its database
    #[arg(short, long, default_value = "postgres")]
    dbname: String,
    /// Its application_name
    #[arg(long, default_value = "")]
    application_name: String,
}

pub fn explain(options: &Options) -> anyhow::Result<()> {
    let config = Config::load(&options.config.config).map_err(|errors| anyhow!("{errors}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let proxy = Proxy::new(config)?;
    runtime.block_on(look(&proxy));
    let found = proxy.cluster.backends.iter().any(|backend| backend.is_up());
    if !found {
        eprintln!(
            "No server answered: the first backend, or the one with ALWAYS_PRIMARY, is taken for the primary, \
             and the catalog is not asked."
        );
        proxy.cluster.assume_up();
    }
    let facts = runtime.block_on(ask(&proxy, options))?;
    let width = facts.iter().map(|(item, _)| item.len()).max().unwrap_or_default();
    for (item, value) in facts {
        println!("{item:width$}  {value}");
    }
    Ok(())
}

/// One look at each server.
async fn look(proxy: &Arc<Proxy>) {
    let config = proxy.config();
    let timing = Timing::of(&config);
    let timeout = timing.timeout.min(PATIENCE);
    proxy.cluster.set_timing(Timing { timeout, ..timing });
    for mut monitor in monitors(&proxy.cluster, &proxy.pools, &config, &proxy.check_credentials()) {
        monitor.look().await;
    }
}

async fn ask(proxy: &Arc<Proxy>, options: &Options) -> anyhow::Result<route::Facts> {
    let worker = Worker::new(proxy.clone());
    let database = worker.database(&options.dbname);
    let info = SessionInfo {
        database: options.dbname.clone(),
        user: options.username.clone(),
        application_name: options.application_name.clone(),
    };
    let scope = worker.router.borrow_mut().scope(&database, &info);
    let (_, state) = worker.router.borrow_mut().plan_session(&scope);
    let classified = classify(&worker.router, options.statement.as_bytes(), &scope).await?;
    let mut router = worker.router.borrow_mut();
    let explained = router.explain(&scope, classified.verdict(), state, &Words::default())?;
    Ok(route::facts(proxy, &scope, &classified, explained))
}
