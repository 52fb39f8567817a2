//! `waypool plugin rollback`

use super::client;
use super::output;
use crate::admin::api::{Order, Plugin, State};

#[derive(Debug, clap::Args)]
pub struct Options {
    name: String,
    /// For the history
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    client: client::Options,
}

pub fn rollback(options: &Options) -> anyhow::Result<()> {
    let name = &options.name;
    let order = Order { why: options.why.clone(), ..Order::default() };
    let client = options.client.client()?;
    let done = client.order(name, "rollback", &order)?;
    if options.client.json {
        return output::json(&done);
    }
    let plugin: Plugin = client.get(&format!("/v1/plugins/{name}/stats"))?;
    let what = match plugin.state {
        State::Active => "the version before is in use",
        // There was nothing before.
        State::Disabled | State::New => "it is out of use, as before",
    };
    println!("{name}: {what}, in generation {}. The same again goes forward.", done.generation);
    Ok(())
}
