//! `waypool plugin keygen`

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::config::PublicKey;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where the private key goes; it must not be there yet
    file: PathBuf,
}

pub fn keygen(options: &Options) -> anyhow::Result<()> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| anyhow!("the system gives no random numbers"))?;
    let file = options.file.display();
    let mut key = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&options.file)
        .with_context(|| format!("cannot create {file}"))?;
    key.write_all(pem(document.as_ref()).as_bytes()).with_context(|| format!("cannot write {file}"))?;
    let public = public_key(&super::sign::read_key(&options.file)?)?;
    println!(
        "{file} is the private key: keep it where plugins are built, not where the proxy runs.\n\
         The public key, for waypool.toml:\n\n  [plugins]\n  trusted_keys = [\"{public}\"]\n\n\
         From then on every plugin needs a signature: waypool plugin sign FILE --key {file}"
    );
    Ok(())
}

/// PKCS #8, as openssl writes it.
fn pem(der: &[u8]) -> String {
    let encoded = BASE64.encode(der);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

pub fn public_key(pair: &Ed25519KeyPair) -> anyhow::Result<PublicKey> {
    let bytes: [u8; 32] = pair.public_key().as_ref().try_into().context("an ed25519 key has 32 bytes")?;
    Ok(PublicKey::from(bytes))
}
