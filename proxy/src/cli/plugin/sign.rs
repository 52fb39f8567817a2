//! `waypool plugin sign`

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::Ed25519KeyPair;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::keygen::public_key;
use crate::config::signature_file;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The plugin's file; the signature goes into FILE.sig
    file: PathBuf,
    /// The private key, made by waypool plugin keygen or by openssl
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub fn sign(options: &Options) -> anyhow::Result<()> {
    let pair = read_key(&options.key)?;
    let file = options.file.display();
    let wasm = std::fs::read(&options.file).with_context(|| format!("cannot read {file}"))?;
    waypool_plugin_engine::form_of(&wasm).with_context(|| format!("{file} is no plugin"))?;
    let signed = signature_file(&options.file);
    let signature = BASE64.encode(pair.sign(&wasm).as_ref());
    std::fs::write(&signed, signature + "\n")
        .with_context(|| format!("cannot write {}", signed.display()))?;
    println!("{} is the signature by {}: keep it beside {file}", signed.display(), public_key(&pair)?);
    Ok(())
}

/// Also those of `openssl genpkey -algorithm ed25519`, which lack the public key.
pub fn read_key(file: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let path = file.display();
    let pem = zeroize::Zeroizing::new(std::fs::read(file).with_context(|| format!("cannot read {path}"))?);
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .map_err(|error| anyhow!("{path} is no private key: {error}. waypool plugin keygen makes one"))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        .map_err(|error| anyhow!("{path} is no ed25519 key: {error}. waypool plugin keygen makes one"))
}

#[cfg(test)]
mod tests;
