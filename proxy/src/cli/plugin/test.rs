//! `waypool plugin test`

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use super::project::Project;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub fn test(options: &Options) -> anyhow::Result<()> {
    let project = Project::open(&options.folder)?;
    natively(&project)
}

/// As plain Rust.
fn natively(project: &Project) -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .arg("test")
        .current_dir(&project.folder)
        .status()
        .context("cannot run cargo: install Rust from https://rustup.rs")?;
    if !status.success() {
        bail!("a test of {} fails: see above", project.name);
    }
    Ok(())
}
