//! `docs/plugins.md` cannot rot: its commands are run as they stand there, its
//! reference is compared with the contract, its links are looked up.
//!
//! What a fenced block is for says the line that opens it, see [`blocks`].
#![allow(clippy::unwrap_used)]

mod blocks;
mod follow;
mod output;
mod reference;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use follow::Reader;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn guide() -> String {
    fs::read_to_string(root().join("docs/plugins.md")).unwrap()
}

/// From nothing to a plugin in use, by a reader who does what the guide says.
#[test]
fn the_guide_can_be_followed() {
    let guide = guide();
    let steps = blocks::steps(&guide);
    assert!(steps.len() > 20, "the guide has {} steps: are its blocks marked?", steps.len());
    let mut reader = Reader::new();
    for step in &steps {
        reader.take(step);
    }
    reader.end();
}

/// Each interface, function, type, field and case, with its type; and nothing
/// that is not there.
#[test]
fn the_reference_is_the_contract() {
    let contract = reference::of_wit(&root().join("plugin-sdk/wit/waypool.wit"));
    let described = reference::of_markdown(&guide());
    let list =
        |items: BTreeSet<&String>| items.into_iter().map(|item| format!("  {item}\n")).collect::<String>();
    let missing = list(contract.difference(&described).collect());
    let gone = list(described.difference(&contract).collect());
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/plugins.md, Reference. In waypool.wit and not described:\n{missing}Described and not in waypool.wit:\n{gone}"
    );
}

#[test]
fn every_example_is_named_and_every_link_leads_to_a_file() {
    let guide = guide();
    let links: BTreeSet<&str> = blocks::links(&guide).collect();
    for link in &links {
        let file = root().join("docs").join(link);
        assert!(file.exists(), "docs/plugins.md links to {link}, which is not there");
    }
    let examples = fs::read_dir(root().join("examples/plugins")).unwrap();
    for example in examples {
        let name = example.unwrap().file_name().into_string().unwrap();
        let link = format!("../examples/plugins/{name}");
        assert!(
            links.iter().any(|known| known.trim_end_matches('/') == link),
            "docs/plugins.md lacks {link}"
        );
    }
}

/// It claims to show the example whole.
#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, shown) = readme.split_once("```rust\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let example = fs::read_to_string(root().join("examples/plugins/primary_only/src/lib.rs")).unwrap();
    assert!(example.contains(shown), "README.md shows another examples/plugins/primary_only than there is");
}
