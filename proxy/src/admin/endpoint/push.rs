//! A plugin's file that is sent here: kept, loaded, tried out, and put aside as
//! a candidate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use axum::http::StatusCode;
use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use crate::admin::api::Pushed;
use crate::config::{Plugin, signature_file};
use crate::plugin::{Origin, PluginSource};
use crate::proxy::Proxy;

/// Of each plugin; older ones are removed.
const FILES_KEPT: usize = 10;

/// Blocks while the plugin is compiled. A file that is refused is not kept.
pub(super) fn push(
    proxy: &Proxy,
    name: &str,
    wasm: &[u8],
    signature: Option<&str>,
) -> Result<Pushed, Refusal> {
    let config = proxy.config();
    let entry = match config.plugins.get(name) {
        Some(entry) => entry.clone(),
        None => Plugin::named(name).map_err(|wrong| Refusal::plain(StatusCode::BAD_REQUEST, wrong))?,
    };
    // In answers and in the history it has to be found from anywhere.
    let directory = &std::path::absolute(&config.plugins.push_directory)
        .unwrap_or_else(|_| config.plugins.push_directory.clone());
    let file = directory.join(format!("{name}-{}.wasm", short_digest(wasm)));
    let is_new = !file.exists();
    keep(directory, &file, wasm, signature).map_err(|error| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot keep the file in {}: {error}", directory.display()),
            "let push_directory in [plugins] be a folder that the proxy may write to",
        )
    })?;
    let source =
        PluginSource { entry, origin: Origin::File(file.clone()), rules: Arc::new(config.plugins.clone()) };
    match proxy.plugins.candidate(source) {
        Ok((roles, sha256)) => {
            let configured = config.plugins.entries.iter().filter_map(|entry| entry.path.clone());
            let mut spared: Vec<_> = configured.filter_map(|path| std::path::absolute(path).ok()).collect();
            spared.push(file.clone());
            remove_old(directory, name, &spared);
            Ok(Pushed {
                name: name.to_owned(),
                sha256,
                roles: roles.iter().map(|role| role.to_string()).collect(),
                file: file.display().to_string(),
            })
        }
        Err(error) => {
            if is_new {
                remove(&file);
            }
            Err(error.into())
        }
    }
}

/// Enough to tell versions apart.
fn short_digest(wasm: &[u8]) -> String {
    Sha256::digest(wasm)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keep(directory: &Path, file: &Path, wasm: &[u8], signature: Option<&str>) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let signed = signature_file(file);
    match signature {
        Some(signature) => write_whole(&signed, signature.as_bytes())?,
        // One of an earlier push would not be this caller's.
        None => remove_if_there(&signed)?,
    }
    write_whole(file, wasm)
}

/// The file is there as a whole or not at all.
fn write_whole(file: &Path, content: &[u8]) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, content)?;
    fs::rename(&new, file)
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove(file: &Path) {
    for file in [file, &signature_file(file)] {
        if let Err(error) = remove_if_there(file) {
            tracing::warn!("cannot remove {}: {error}", file.display());
        }
    }
}

/// Compiled plugins do not need their files: those in use are safe.
fn remove_old(directory: &Path, name: &str, spared: &[PathBuf]) {
    let mut files = versions(directory, name);
    files.retain(|(_, file)| !spared.contains(file));
    files.sort_by(|(one, _), (other, _)| other.cmp(one));
    for (_, file) in files.into_iter().skip(FILES_KEPT - 1) {
        remove(&file);
    }
}

/// The files of a plugin, with the time of their last change.
fn versions(directory: &Path, name: &str) -> Vec<(SystemTime, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let is_version = |file: &Path| {
        let digest =
            file.file_name()?.to_str()?.strip_suffix(".wasm")?.strip_prefix(name)?.strip_prefix('-')?;
        (digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(())
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = entry.path();
            is_version(&file)?;
            Some((entry.metadata().ok()?.modified().ok()?, file))
        })
        .collect()
}
