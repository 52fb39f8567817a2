//! A Rust compiler that can make WebAssembly: rustup's, or Debian's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::bail;

pub const TARGET: &str = "wasm32-unknown-unknown";

const HELP: &str = "\
there is no Rust compiler for wasm32-unknown-unknown. Install one, either way:

  with rustup (https://rustup.rs):
    rustup target add wasm32-unknown-unknown
  on Debian, or where rustup cannot download:
    apt-get update && apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld-22";

/// Settings of a release build that suit a plugin, whatever its Cargo.toml
/// says. Names of functions are kept, for backtraces.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.debug=false",
    "profile.release.strip=\"debuginfo\"",
];

#[derive(Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The `cargo` in the path has the target.
    Ready,
    /// It has the standard library's source rather than the target's binaries:
    /// building that needs the compiler's own features.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// For a crate in this folder, which may ask for a version of Rust.
    pub fn find(folder: &Path) -> anyhow::Result<Self> {
        if has_target(folder) {
            return Ok(Toolchain::Ready);
        }
        match debian_linker() {
            Some(linker) if is_debian_complete() => Ok(Toolchain::Debian { linker }),
            _ => bail!("{HELP}"),
        }
    }

    /// `cargo build` of the library, as small and fast as it gets.
    pub fn build(&self, folder: &Path) -> Command {
        let mut command = match self {
            Toolchain::Ready => Command::new("cargo"),
            Toolchain::Debian { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
                command
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env("PATH", "/usr/bin:/bin")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                command
            }
        };
        // They are for this machine.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").current_dir(folder);
        command.args(["build", "--lib", "--release", "--target", TARGET]);
        for setting in PROFILE {
            command.args(["--config", setting]);
        }
        if matches!(self, Toolchain::Debian { .. }) {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        command
    }
}

fn has_target(folder: &Path) -> bool {
    let found = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .stderr(Stdio::null())
        .output();
    let Ok(found) = found else {
        return false;
    };
    let libraries = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    std::fs::read_dir(libraries)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_str().is_some_and(is_std)))
}

fn is_debian_complete() -> bool {
    let sysroot = Command::new("/usr/bin/rustc").args(["--print", "sysroot"]).stderr(Stdio::null()).output();
    let Ok(sysroot) = sysroot else {
        return false;
    };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    Path::new("/usr/bin/cargo").exists() && sysroot.join("lib/rustlib/src/rust/library/std").is_dir()
}

/// The newest `wasm-ld` there is.
fn debian_linker() -> Option<PathBuf> {
    let version =
        |path: &Path| -> Option<u32> { path.file_name()?.to_str()?.strip_prefix("wasm-ld-")?.parse().ok() };
    let files = std::fs::read_dir("/usr/bin").ok()?.flatten().map(|file| file.path());
    let versions = files.filter_map(|path| Some((version(&path)?, path)));
    versions.max().map(|(_, path)| path)
}
