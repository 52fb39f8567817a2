//! Whether a plugin's file is the one that the configuration allows: by its
//! digest (`sha256`), by a signature (`trusted_keys`).

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::model::{Plugin, Plugins};

/// Why a plugin's file is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error(
        "its SHA-256 is {found}, but [plugins.{name}] wants sha256 = \"{pinned}\": \
         take that file, or change the line"
    )]
    Digest { name: String, found: String, pinned: String },
    #[error(
        "it has no signature, but [plugins] has trusted_keys: write {} by \
         waypool plugin sign --key FILE", file.display()
    )]
    Unsigned { file: PathBuf },
    #[error(
        "its signature is not by one of trusted_keys in [plugins], or not for this file: sign it \
         again by waypool plugin sign --key FILE"
    )]
    Signature,
}

// === impl Plugins ===

impl Plugins {
    /// May `wasm`, read from `path`, be the plugin `name`? Looks for the
    /// signature beside it, if one is needed.
    pub fn vet_file(&self, name: &str, path: &Path, wasm: &[u8]) -> Result<(), Untrusted> {
        if self.trusted_keys.is_empty() {
            return self.vet(name, wasm, None);
        }
        let file = signature_file(path);
        match std::fs::read_to_string(&file) {
            Ok(signature) => self.vet(name, wasm, Some(&signature)),
            Err(_) => Err(Untrusted::Unsigned { file }),
        }
    }

    /// May `wasm` be the plugin `name`? `signature` in base64.
    pub fn vet(&self, name: &str, wasm: &[u8], signature: Option<&str>) -> Result<(), Untrusted> {
        if let Some(Plugin { sha256: Some(pinned), .. }) = self.get(name) {
            let found = hex(&Sha256::digest(wasm));
            if found != *pinned {
                return Err(Untrusted::Digest { name: name.to_owned(), found, pinned: pinned.clone() });
            }
        }
        if self.trusted_keys.is_empty() {
            return Ok(());
        }
        let Some(signature) = signature else {
            return Err(Untrusted::Unsigned { file: signature_file(Path::new(&format!("{name}.wasm"))) });
        };
        let signature = BASE64.decode(signature.trim()).map_err(|_| Untrusted::Signature)?;
        match self.trusted_keys.iter().any(|key| key.verifies(wasm, &signature)) {
            true => Ok(()),
            false => Err(Untrusted::Signature),
        }
    }
}

/// `NAME.wasm.sig` beside `NAME.wasm`
pub fn signature_file(path: &Path) -> PathBuf {
    let mut file = path.as_os_str().to_owned();
    file.push(".sig");
    file.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
