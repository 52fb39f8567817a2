//! Puts the default plugins into the program, and the one that `waypool demo`
//! swaps in. `tools/build-plugins.sh` makes them; a build without them would be
//! a proxy without rules, so it fails.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let plugins = env::var_os("WAYPOOL_PLUGINS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins"), PathBuf::from);
    println!("cargo::rerun-if-env-changed=WAYPOOL_PLUGINS");
    let mut source = String::new();
    for name in ["classify", "balance", "rewrite", "primary_only"] {
        let files = ["wasm", "cwasm"].map(|kind| plugins.join(format!("{name}.{kind}")));
        for file in &files {
            println!("cargo::rerun-if-changed={}", file.display());
            assert!(
                file.exists(),
                "{} is missing: run `make plugins` first (it builds the default plugins)",
                file.display()
            );
        }
        let [wasm, precompiled] = files.map(|file| fs::canonicalize(file).expect("the file exists"));
        source += &format!(
            "pub const {}: (&[u8], &[u8]) = (include_bytes!({wasm:?}), include_bytes!({precompiled:?}));\n",
            name.to_uppercase()
        );
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("embedded.rs");
    fs::write(out, source).expect("OUT_DIR can be written");
}
