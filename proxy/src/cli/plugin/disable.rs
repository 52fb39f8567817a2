//! `waypool plugin disable`

use super::client;
use super::output;
use crate::admin::api::Order;

#[derive(Debug, clap::Args)]
pub struct Options {
    name: String,
    /// For the history
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    client: client::Options,
}

pub fn disable(options: &Options) -> anyhow::Result<()> {
    let name = &options.name;
    let order = Order { why: options.why.clone(), ..Order::default() };
    let done = options.client.client()?.order(name, "disable", &order)?;
    if options.client.json {
        return output::json(&done);
    }
    println!(
        "{name} is asked no longer, from generation {} on. Again: waypool plugin enable {name}",
        done.generation
    );
    Ok(())
}
