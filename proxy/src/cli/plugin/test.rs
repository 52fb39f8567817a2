//! `waypool plugin test`

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use waypool_plugin_table::{Table, run};

use super::build;
use super::project::Project;
use super::wasm_subject::WasmSubject;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub fn test(options: &Options) -> anyhow::Result<()> {
    let project = Project::open(&options.folder)?;
    natively(&project)?;
    let tables = project.tables()?;
    if tables.is_empty() {
        println!("There is no table of statements in tests/, so nothing to ask the WebAssembly.");
        return Ok(());
    }
    in_the_host(&project, &tables)
}

/// As plain Rust.
fn natively(project: &Project) -> anyhow::Result<()> {
    println!("As plain Rust:");
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

/// As the proxy runs it.
fn in_the_host(project: &Project, tables: &[PathBuf]) -> anyhow::Result<()> {
    println!("\nAs WebAssembly, in the proxy's own host:");
    let wasm = project.wasm();
    build::make(project, &wasm)?;
    let cache = Folder::make()?;
    let mut subject = WasmSubject::new(&wasm, &cache.0)?;
    let mut failed = 0;
    for file in tables {
        let mut table = Table::read(file)?;
        table.file = file.strip_prefix(&project.folder).unwrap_or(file).display().to_string();
        let report = run(&table, &mut subject);
        println!("{report}");
        failed += report.failures.len();
    }
    if failed > 0 {
        bail!("{failed} {} as WebAssembly: see above", if failed == 1 { "case fails" } else { "cases fail" });
    }
    Ok(())
}

/// Of this process alone; removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("waypool-plugin-test-{}", std::process::id()));
        let path: &Path = &folder;
        std::fs::create_dir(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
