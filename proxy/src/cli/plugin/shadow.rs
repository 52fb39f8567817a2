//! `waypool plugin shadow`

use super::client;
use super::output;
use crate::admin::api::Order;

#[derive(Debug, clap::Args)]
pub struct Options {
    name: String,
    /// Of the calls: 10%, or 0.1
    #[arg(long, value_parser = share, required_unless_present = "end", conflicts_with = "end")]
    share: Option<f64>,
    /// Ask it no longer
    #[arg(long)]
    end: bool,
    /// For the history
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    client: client::Options,
}

pub fn shadow(options: &Options) -> anyhow::Result<()> {
    let client = options.client.client()?;
    let name = &options.name;
    let order = Order { why: options.why.clone(), sha256: None, share: options.share };
    let done = match options.share {
        Some(_) => client.order(name, "shadow", &order)?,
        None => client.delete(name, "shadow", &order)?,
    };
    if options.client.json {
        return output::json(&done);
    }
    match options.share {
        Some(share) => println!(
            "{name}: what was pushed is asked as well for {} of the calls; only the version in use counts.\n\
             Where they differ: waypool plugin stats {name}\n\
             Enough: waypool plugin swap {name}, or waypool plugin shadow {name} --end",
            output::percent(share)
        ),
        None => println!("{name} has no shadow any more."),
    }
    Ok(())
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("\"{text}\" is no share: write 10%, or 0.1");
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    let share = match text.strip_suffix('%') {
        Some(percent) => number(percent)? / 100.0,
        None => number(text)?,
    };
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests;
