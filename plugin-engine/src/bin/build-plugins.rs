//! `build-plugins OUT_DIR NAME=CORE.wasm …` makes `OUT_DIR/NAME.wasm` (the
//! component) and `OUT_DIR/NAME.cwasm` (compiled for this architecture).
//!
//! A file is only written if its content changes, so that cargo does not see
//! news where there is none.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use waypool_plugin_engine::{componentize, engine, fingerprint, precompile};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("build-plugins: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let out = PathBuf::from(arguments.next().ok_or("usage: build-plugins OUT_DIR NAME=CORE.wasm …")?);
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let engine = engine(1)?;
    for argument in arguments {
        let argument = argument.into_string().map_err(|_| "arguments have to be UTF-8")?;
        let (name, core) =
            argument.split_once('=').ok_or_else(|| format!("{argument}: expected NAME=CORE.wasm"))?;
        build(&engine, &out, name, Path::new(core)).map_err(|error| format!("{core}: {error}"))?;
    }
    Ok(())
}

fn build(engine: &Engine, out: &Path, name: &str, core: &Path) -> Result<(), Box<dyn Error>> {
    let core = fs::read(core)?;
    let stamp = stamp(engine, &core);
    let stamp_file = out.join(format!("{name}.stamp"));
    let component_file = out.join(format!("{name}.wasm"));
    let code_file = out.join(format!("{name}.cwasm"));

    let unchanged = fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp);
    if unchanged && component_file.exists() && code_file.exists() {
        return Ok(());
    }

    let component = componentize(&core)?;
    let code = precompile(engine, &component)?;
    write_if_changed(&component_file, &component)?;
    write_if_changed(&code_file, &code)?;
    write_if_changed(&stamp_file, stamp.as_bytes())?;
    println!("{name}: component {} KiB, compiled {} KiB", component.len() / 1024, code.len() / 1024);
    Ok(())
}

/// What both outputs follow from.
fn stamp(engine: &Engine, core: &[u8]) -> String {
    let digest: String = Sha256::digest(core).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest} {}\n", fingerprint(engine))
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result<(), Box<dyn Error>> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    // Written beside and renamed: a build that is interrupted leaves the old
    // file or the new one.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| format!("{}: {error}", path.display()).into())
}
