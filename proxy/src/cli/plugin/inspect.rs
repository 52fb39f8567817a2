//! `waypool plugin inspect`

use std::path::PathBuf;

use anyhow::bail;
use serde_json::Value as Json;

use super::examine::{Examined, examine};
use super::output::{self, count, or_dash};
use crate::plugin::contract::VERSION;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The plugin's file
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn inspect(options: &Options) -> anyhow::Result<()> {
    let plugin = examine(&options.file)?;
    if options.json {
        output::json(&plugin)?;
    } else {
        tell(&plugin);
    }
    match plugin.refused {
        None => Ok(()),
        Some(reason) => bail!("{} cannot be loaded: {reason}", plugin.file),
    }
}

fn tell(plugin: &Examined) {
    output::facts(&[
        ("file", plugin.file.clone()),
        ("about", or_dash(plugin.about.clone())),
        ("roles", or_dash(plugin.roles.join(", "))),
        ("contract", contract(plugin)),
        ("imports", or_dash(imports(plugin))),
        ("size", format!("{} bytes", count(plugin.size))),
        ("sha256", plugin.sha256.clone()),
        ("configuration", or_dash(configuration(&plugin.config))),
    ]);
}

fn contract(plugin: &Examined) -> String {
    let found = plugin.contract.join(", ");
    match plugin.contract.as_slice() {
        [version] if version == VERSION => format!("waypool:plugin@{version}"),
        [] => "-".to_owned(),
        _ => format!("waypool:plugin@{found}; this Waypool speaks {VERSION}"),
    }
}

fn imports(plugin: &Examined) -> String {
    let lines = plugin.imports.iter().map(|import| match import.granted {
        true => import.name.clone(),
        false => format!("{}: NOT GRANTED", import.name),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Keys with their defaults, as waypool.toml has them where that is as easy.
fn configuration(config: &Json) -> String {
    let Json::Object(keys) = config else {
        return String::new();
    };
    keys.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join("\n")
}
