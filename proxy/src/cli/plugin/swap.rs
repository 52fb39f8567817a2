//! `waypool plugin swap`

use super::client;
use super::output;
use crate::admin::api::{Order, Plugin};

#[derive(Debug, clap::Args)]
pub struct Options {
    name: String,
    /// Only if this is the version that would come into use
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<String>,
    /// For the history
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    client: client::Options,
}

pub fn swap(options: &Options) -> anyhow::Result<()> {
    let client = options.client.client()?;
    let name = &options.name;
    let order = Order { why: options.why.clone(), sha256: options.sha256.clone(), share: None };
    let done = client.order(name, "swap", &order)?;
    if options.client.json {
        return output::json(&done);
    }
    println!("{name} is in use, in generation {}.", done.generation);
    let plugin: Plugin = client.get(&format!("/v1/plugins/{name}/stats"))?;
    if plugin.configured.as_deref() != Some(&plugin.origin) && plugin.origin != "built in" {
        println!("{}", until_restart(&plugin));
    }
    println!("Back again: waypool plugin rollback {name}");
    Ok(())
}

/// The configuration does not know of a file that was pushed.
fn until_restart(plugin: &Plugin) -> String {
    let (name, origin) = (&plugin.name, &plugin.origin);
    match &plugin.configured {
        Some(path) => {
            format!("A restart of the proxy brings back {path}. To keep this version: cp {origin} {path}")
        }
        None => format!(
            "A restart of the proxy forgets it. To keep it, copy {origin} to {name}.wasm beside waypool.toml, and \
             write there:\n  [plugins.{name}]\n  path = \"{name}.wasm\""
        ),
    }
}
