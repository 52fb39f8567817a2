//! `waypool plugin build`

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use serde::Deserialize;
use waypool_plugin_engine::componentize;

use super::examine;
use super::output;
use super::project::Project;
use super::toolchain::Toolchain;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where the file goes [default: NAME.wasm in that folder]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn build(options: &Options) -> anyhow::Result<()> {
    let project = Project::open(&options.folder)?;
    let out = options.out.clone().unwrap_or_else(|| project.wasm());
    make(&project, &out)?;
    let plugin = examine::examine(&out)?;
    if let Some(reason) = &plugin.refused {
        bail!("{} is made, but no proxy would load it: {reason}", out.display());
    }
    if options.json {
        return output::json(&plugin);
    }
    output::facts(&[
        ("made", out.display().to_string()),
        ("roles", plugin.roles.join(", ")),
        ("size", format!("{} bytes", output::count(plugin.size))),
        ("sha256", plugin.sha256),
    ]);
    Ok(())
}

/// Compiles the crate and writes the component.
pub fn make(project: &Project, out: &Path) -> anyhow::Result<()> {
    let core = compile(project)?;
    let wasm = std::fs::read(&core).with_context(|| format!("cannot read {}", core.display()))?;
    let component = componentize(&wasm).with_context(|| {
        format!("{} becomes no plugin: does src/lib.rs have waypool_plugin_sdk::export!?", project.name)
    })?;
    // Whole or not at all: a proxy may be watching it.
    let mut new = out.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, component)
        .and_then(|()| std::fs::rename(&new, out))
        .with_context(|| format!("cannot write {}", out.display()))
}

/// What cargo says about each thing that it made, as far as it matters.
#[derive(Deserialize)]
struct Said {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The module that the compiler made.
fn compile(project: &Project) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find(&project.folder)?;
    let mut cargo = toolchain
        .build(&project.folder)
        .args(["--message-format", "json-render-diagnostics"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo: install Rust from https://rustup.rs")?;
    let manifest = project.folder.join("Cargo.toml");
    let mut made = None;
    for line in cargo.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let Ok(said) = serde_json::from_str::<Said>(&line.context("cargo's output")?) else {
            continue;
        };
        let is_ours = said.reason == "compiler-artifact" && said.manifest_path.as_deref() == Some(&manifest);
        if is_ours {
            let is_wasm = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "wasm");
            made = said.filenames.into_iter().find(is_wasm).or(made);
        }
    }
    if !cargo.wait().context("cargo")?.success() {
        bail!("{} does not compile: see above", project.name);
    }
    made.with_context(|| {
        format!(
            "cargo made no WebAssembly: write [lib] and crate-type = [\"cdylib\", \"rlib\"] into {}",
            manifest.display()
        )
    })
}
