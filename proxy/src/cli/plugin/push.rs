//! `waypool plugin push`

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::client::{self, Message};
use super::output;
use crate::admin::api::{Pushed, SIGNATURE_HEADER};
use crate::config::{Plugin, signature_file};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The plugin's file; FILE.sig is sent along, if it is there
    file: PathBuf,
    /// The plugin that this is a version of [default: the file's name]
    #[arg(long)]
    name: Option<String>,
    /// For the proxy's log
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    client: client::Options,
}

pub fn push(options: &Options) -> anyhow::Result<()> {
    let name = options.name()?;
    let client = options.client.client()?;
    let file = options.file.display();
    let wasm = std::fs::read(&options.file)
        .with_context(|| format!("cannot read {file}: waypool plugin build makes it"))?;
    let mut headers = Vec::new();
    let signature = signature_file(&options.file);
    if let Ok(signature) = std::fs::read_to_string(&signature) {
        headers.push((SIGNATURE_HEADER, signature.trim().to_owned()));
    }
    let why = percent_encoded(&options.why);
    let address = format!("/v1/plugins/{name}?why={why}");
    let pushed: Pushed = client.post(&address, Message { headers, body: wasm.into() })?;
    if options.client.json {
        return output::json(&pushed);
    }
    output::facts(&[
        ("pushed", name.clone()),
        ("roles", pushed.roles.join(", ")),
        ("sha256", pushed.sha256),
        ("kept in", pushed.file),
    ]);
    println!(
        "\nIt works, and is not in use yet. Next:\n  \
         waypool plugin shadow {name} --share 10%   asks it as well, and counts where it differs\n  \
         waypool plugin swap {name}                 puts it into use"
    );
    Ok(())
}

impl Options {
    fn name(&self) -> anyhow::Result<String> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => match self.file.file_stem().and_then(|stem| stem.to_str()) {
                Some(stem) => stem.to_owned(),
                None => bail!("{} has no name: add --name NAME", self.file.display()),
            },
        };
        match Plugin::named(&name) {
            Ok(_) => Ok(name),
            Err(wrong) => bail!("{wrong}: add --name NAME"),
        }
    }
}

fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}
