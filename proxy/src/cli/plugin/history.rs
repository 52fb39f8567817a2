//! `waypool plugin history`

use super::client;
use super::output::{self, or_dash, short};
use crate::admin::api::Change;

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    client: client::Options,
}

pub fn history(options: &Options) -> anyhow::Result<()> {
    let history: Vec<Change> = options.client.client()?.get("/v1/history")?;
    if options.client.json {
        return output::json(&history);
    }
    let rows: Vec<_> = history
        .into_iter()
        .map(|change| {
            let Change { generation, plugin, action, sha256, when, who, why } = change;
            vec![generation.to_string(), when, plugin, action, short(&sha256), who, or_dash(why)]
        })
        .collect();
    output::table(&["GENERATION", "WHEN", "PLUGIN", "WHAT", "SHA256", "WHO", "WHY"], &rows);
    Ok(())
}
