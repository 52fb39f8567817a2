//! The crate of a plugin, in a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toml::de::DeTable;

/// Where tables of statements are, with which a plugin is tested.
const TESTS: &str = "tests";

#[derive(Debug)]
pub struct Project {
    pub folder: PathBuf,
    /// Of the package, and of the file that `build` makes.
    pub name: String,
}

impl Project {
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("there is no {}: name the plugin's folder", folder.display()))?;
        let manifest = folder.join("Cargo.toml");
        let path = manifest.display();
        let text = std::fs::read_to_string(&manifest).with_context(|| {
            format!("{path} cannot be read: name the plugin's folder; waypool plugin new makes one")
        })?;
        let table = DeTable::parse(&text).with_context(|| path.to_string())?;
        let package = table.get_ref().get("package").and_then(|package| package.get_ref().as_table());
        let name = package.and_then(|package| package.get("name")?.get_ref().as_str());
        match name {
            Some(name) => Ok(Project { name: name.to_owned(), folder }),
            None => bail!("{path} has no package: name the folder of the plugin's own crate"),
        }
    }

    /// What `build` makes.
    pub fn wasm(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// The tables of statements: every TOML file among the tests.
    pub fn tables(&self) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.folder.join(TESTS);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let files =
            std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut tables = Vec::new();
        for file in files {
            let path = file.with_context(|| format!("cannot read {}", folder.display()))?.path();
            if path.extension().is_some_and(|kind| kind == "toml") {
                tables.push(path);
            }
        }
        tables.sort();
        Ok(tables)
    }
}
