#![allow(clippy::unwrap_used)]

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::config::{Config, PublicKey};

const SHORTEST: &str = "sr_check_user = \"w\"\n[[backend]]\nhostname = \"db0\"\n";
const WASM: &[u8] = b"\0asm and so on";

fn plugins(lines: &str) -> Plugins {
    Config::parse(&format!("{SHORTEST}{lines}"), "waypool.toml").unwrap().plugins
}

fn key() -> (Ed25519KeyPair, PublicKey) {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let bytes: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    (pair, PublicKey::from(bytes))
}

#[test]
fn without_pin_and_keys_everything_is_allowed() {
    assert_eq!(plugins("").vet("classify", WASM, None), Ok(()));
}

#[test]
fn a_pin_allows_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.wasm");
    std::fs::write(&path, WASM).unwrap();
    let pin = hex(&Sha256::digest(WASM)).to_uppercase();
    let lines = format!("[plugins.mine]\npath = {path:?}\nsha256 = \"{pin}\"\n");
    let plugins = plugins(&lines);
    assert_eq!(plugins.vet_file("mine", &path, WASM), Ok(()));
    let refused = plugins.vet_file("mine", &path, b"another").unwrap_err();
    assert!(matches!(&refused, Untrusted::Digest { pinned, .. } if *pinned == pin.to_lowercase()));
    assert!(refused.to_string().contains("[plugins.mine]"), "{refused}");
}

#[test]
fn with_trusted_keys_a_file_needs_a_signature_by_one_of_them() {
    let ((_, other), (pair, public), (stranger, _)) = (key(), key(), key());
    let plugins = plugins(&format!("[plugins]\ntrusted_keys = [\"{other}\", \"{public}\"]\n"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.wasm");

    let missing = plugins.vet_file("mine", &path, WASM).unwrap_err();
    assert!(missing.to_string().contains("mine.wasm.sig"), "{missing}");

    let sign = |pair: &Ed25519KeyPair| {
        std::fs::write(signature_file(&path), BASE64.encode(pair.sign(WASM).as_ref()) + "\n").unwrap();
    };
    sign(&pair);
    assert_eq!(plugins.vet_file("mine", &path, WASM), Ok(()));
    assert_eq!(plugins.vet_file("mine", &path, b"another"), Err(Untrusted::Signature));
    sign(&stranger);
    assert_eq!(plugins.vet_file("mine", &path, WASM), Err(Untrusted::Signature));
    assert_eq!(plugins.vet("mine", WASM, Some("no base64 !")), Err(Untrusted::Signature));
}

#[test]
fn keys_are_checked_when_they_are_read() {
    let wrong = |text: &str| {
        let text = format!("{SHORTEST}[plugins]\ntrusted_keys = [\"{text}\"]\n");
        Config::parse(&text, "waypool.toml").unwrap_err().to_string()
    };
    assert!(wrong("AAAA").contains("has 3 bytes, but an ed25519 public key has 32"), "{}", wrong("AAAA"));
    assert!(wrong("§").contains("is not base64"), "{}", wrong("§"));
}
