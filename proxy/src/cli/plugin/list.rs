//! `waypool plugin list`

use super::client;
use super::output::{self, count, or_dash, percent, short};
use crate::admin::api::{List, Plugin, State};

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    client: client::Options,
}

pub fn list(options: &Options) -> anyhow::Result<()> {
    let list: List = options.client.client()?.get("/v1/plugins")?;
    if options.client.json {
        return output::json(&list);
    }
    let headings = ["NAME", "ROLES", "STATE", "SINCE", "SHA256", "CALLS", "FAILED", "FROM", "ALSO"];
    let rows: Vec<_> = list.plugins.iter().map(row).collect();
    output::table(&headings, &rows);
    println!("\nGeneration {}. Plugins of the same role are asked in this order.", list.generation);
    Ok(())
}

fn row(plugin: &Plugin) -> Vec<String> {
    vec![
        plugin.name.clone(),
        plugin.roles.join(","),
        state(plugin.state).to_owned(),
        or_dash(plugin.since.map(|since| since.to_string()).unwrap_or_default()),
        short(&plugin.sha256),
        count(plugin.counts.calls),
        count(plugin.counts.failures.values().sum()),
        plugin.origin.clone(),
        or_dash(also(plugin)),
    ]
}

pub fn state(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Disabled => "disabled",
        State::New => "new",
    }
}

/// The plugin's other versions.
fn also(plugin: &Plugin) -> String {
    let mut also = Vec::new();
    if let Some(shadow) = &plugin.shadow {
        also.push(format!("shadow {} {}", short(&shadow.sha256), percent(shadow.share)));
    }
    if let Some(candidate) = plugin.candidate.as_ref().filter(|_| plugin.state != State::New) {
        also.push(format!("candidate {}", short(candidate)));
    }
    if let Some(earlier) = &plugin.earlier {
        also.push(format!("earlier {}", short(earlier)));
    }
    also.join(", ")
}
