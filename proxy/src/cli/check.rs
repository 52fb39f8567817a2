//! `waypool check`: every mistake of a configuration, and what to write instead.

use crate::admin::endpoint;
use crate::config::Config;
use crate::plugin::{Options, PluginHost};
use crate::proxy::{self, Access};
use anyhow::{Context, bail};
use std::path::Path;

pub fn check(path: &Path) -> anyhow::Result<()> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(errors) => {
            let count = errors.iter().count();
            eprintln!("{errors}");
            bail!("{}: {count} {} found", path.display(), if count == 1 { "mistake" } else { "mistakes" });
        }
    };
    parts(&config)?;
    println!("{}: fine: {} backend(s), port {}", path.display(), config.backends.len(), config.port);
    Ok(())
}

/// What the configuration refers to: rules, users, certificates, plugins.
pub fn parts(config: &Config) -> anyhow::Result<()> {
    Access::new(config)?;
    endpoint::check(config)?;
    let plugins = PluginHost::new(proxy::sources(config), Options::default());
    plugins.context("a plugin cannot be loaded")?;
    Ok(())
}
