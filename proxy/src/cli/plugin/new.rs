//! `waypool plugin new`: a crate that builds and passes its tests at once.
//!
//! The template is `plugin-sdk/template`, a crate that has all roles. Parts
//! between `// [role]` and `// [/role]` are for that role alone. The SDK comes
//! along as source, so that nothing has to be published or fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::ValueEnum;
use include_dir::{Dir, DirEntry, include_dir};

use crate::config::Plugin;

/// The SDK, its crates and the template.
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plugin-sdk");
/// The SDK's crates take versions from it.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");
/// So that a plugin is built from what Waypool was tested with.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// The folder of `SDK` that becomes the plugin.
const TEMPLATE: &str = "template";
/// The template's name of itself.
const TEMPLATE_PACKAGE: &str = "waypool-template";
const TEMPLATE_ROLES: &str = "classifier, rewriter, balancer, gate, observer";

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The folder to make; its last part is the plugin's name
    #[arg(value_name = "NAME")]
    folder: PathBuf,
    /// What it does; may be given several times
    #[arg(long = "role", value_enum, default_value = "classifier")]
    roles: Vec<Role>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Role {
    /// Says what a statement is, and which servers may run it
    Classifier,
    /// Edits or refuses statements
    Rewriter,
    /// Chooses the server of a statement
    Balancer,
    /// Says who comes in, and as whom
    Gate,
    /// Is told what has happened
    Observer,
}

pub fn new(options: &Options) -> anyhow::Result<()> {
    let folder = &options.folder;
    let name = name_of(folder)?;
    let path = folder.display();
    if fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
        bail!("{path} is there already, and not empty: take another name");
    }
    let mut roles = options.roles.clone();
    roles.sort();
    roles.dedup();
    write(folder, name, &roles).with_context(|| format!("cannot make {path}"))?;
    tidy(folder);
    let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    println!(
        "Made {path} ({}), with a rule in {path}/src/lib.rs that works and is yours to change. Next:\n  \
         cd {path}\n  waypool plugin test\n  waypool plugin build",
        roles.join(", ")
    );
    Ok(())
}

/// A name for a plugin and for a crate.
fn name_of(folder: &Path) -> anyhow::Result<&str> {
    let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
        bail!("{} is no name for a plugin: take a-z, 0-9, _ and -", folder.display());
    };
    if let Err(wrong) = Plugin::named(name) {
        bail!("{wrong}");
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        bail!("a crate cannot be called {name}: begin with a letter");
    }
    if ["alloc", "core", "proc-macro", "proc_macro", "std", "test", "serde"].contains(&name) {
        bail!("a crate cannot be called {name}, which is one of Rust's own: take another name");
    }
    Ok(name)
}

fn write(folder: &Path, name: &str, roles: &[Role]) -> anyhow::Result<()> {
    let template = SDK.get_dir(TEMPLATE).context("this program has no template")?;
    for file in files(template) {
        let path = file.path().strip_prefix(TEMPLATE)?;
        // A table has nothing to ask an observer.
        if roles == [Role::Observer] && path.file_stem().is_some_and(|name| name == "table") {
            continue;
        }
        let text = file.contents_utf8().context("the template is text")?;
        let path = if path == Path::new("gitignore") { Path::new(".gitignore") } else { path };
        write_file(&folder.join(path), fill(path, text, name, roles).as_bytes())?;
    }
    let sdk = folder.join("sdk");
    for file in files(&SDK).filter(|file| !file.path().starts_with(TEMPLATE)) {
        write_file(&sdk.join("plugin-sdk").join(file.path()), file.contents())?;
    }
    write_file(&sdk.join("Cargo.toml"), sdk_workspace().as_bytes())?;
    write_file(&folder.join("Cargo.lock"), LOCK.as_bytes())
}

fn files<'a>(dir: &'a Dir<'a>) -> Box<dyn Iterator<Item = &'a include_dir::File<'a>> + 'a> {
    Box::new(dir.entries().iter().flat_map(|entry| match entry {
        DirEntry::File(file) => Box::new(std::iter::once(file)),
        DirEntry::Dir(dir) => files(dir),
    }))
}

fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}

/// A file of the template, for this plugin.
fn fill(path: &Path, text: &str, name: &str, roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let mut text = only(text, &names)
        .replace(TEMPLATE_ROLES, &names.join(", "))
        .replace(&TEMPLATE_ROLES.replace(", ", ",\n    "), &names.join(",\n    "))
        .replace(TEMPLATE_PACKAGE, name)
        .replace(&TEMPLATE_PACKAGE.replace('-', "_"), &name.replace('-', "_"))
        .replace("NAME", name);
    if path == Path::new("Cargo.toml") {
        text = text.replace("path = \"..\"", "path = \"sdk/plugin-sdk\"");
        text = text.replace("path = \"../", "path = \"sdk/plugin-sdk/");
        // A workspace of its own, wherever it stands.
        text.push_str("\n[workspace]\nexclude = [\"sdk\"]\n");
    }
    text
}

/// Without the parts for other roles: from a line `// [role|role]` (or `#`) to
/// the line `// [/role|role]`.
fn only(text: &str, roles: &[&str]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut skipping = false;
    for line in text.lines() {
        let Some(mark) = mark(line) else {
            if !skipping {
                kept.push_str(line);
                kept.push('\n');
            }
            continue;
        };
        let is_end = mark.starts_with('/');
        skipping = !is_end && !mark.split('|').any(|role| roles.contains(&role));
    }
    // What stood between two parts that are gone.
    while kept.contains("\n\n\n") {
        kept = kept.replace("\n\n\n", "\n\n");
    }
    kept
}

/// `role|role` or `/role|role`
fn mark(line: &str) -> Option<&str> {
    let line = line.trim();
    let comment = line.strip_prefix("// [").or_else(|| line.strip_prefix("# ["))?;
    let mark = comment.strip_suffix(']')?;
    let is_mark = mark
        .trim_start_matches('/')
        .split('|')
        .all(|word| Role::value_variants().iter().any(|role| role.name() == word));
    is_mark.then_some(mark)
}

/// Waypool's own workspace, with those members that the SDK consists of.
fn sdk_workspace() -> String {
    let members = files(&SDK).filter(|file| {
        file.path().file_name().is_some_and(|name| name == "Cargo.toml") && !file.path().starts_with(TEMPLATE)
    });
    let members: Vec<String> = members
        .filter_map(|file| file.path().parent())
        .map(|folder| {
            format!("{:?}", Path::new("plugin-sdk").join(folder).to_string_lossy().trim_end_matches('/'))
        })
        .collect();
    let (before, rest) = WORKSPACE.split_once("members = [").unwrap_or((WORKSPACE, "]"));
    let (_, after) = rest.split_once(']').unwrap_or(("", rest));
    // Profiles count in the plugin's own Cargo.toml alone.
    let after = after.split("\n[profile.").next().unwrap_or(after);
    format!("{before}members = [{}]{}\n", members.join(", "), after.trim_end())
}

/// Without parts for other roles, lines may be in another order than rustfmt's.
fn tidy(folder: &Path) {
    let files = ["src/lib.rs", "tests/rule.rs", "tests/table.rs"].map(|file| folder.join(file));
    let files = files.iter().filter(|file| file.exists());
    // Whoever has no rustfmt does without.
    let _ = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .args(files)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Classifier => "classifier",
            Role::Rewriter => "rewriter",
            Role::Balancer => "balancer",
            Role::Gate => "gate",
            Role::Observer => "observer",
        }
    }
}

#[cfg(test)]
mod tests;
