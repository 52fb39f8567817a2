#![allow(clippy::unwrap_used)]

use super::super::keygen::{self, keygen};
use super::*;
use crate::config::PublicKey;

const WASM: &[u8] = b"\0asm\x0d\0\x01\0";

#[derive(clap::Parser)]
struct Keygen {
    #[command(flatten)]
    options: keygen::Options,
}

fn key(folder: &Path) -> PathBuf {
    use clap::Parser;
    let file = folder.join("key.pem");
    keygen(&Keygen::parse_from(["keygen".as_ref(), file.as_os_str()]).options).unwrap();
    file
}

#[test]
fn what_is_signed_can_be_checked() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let key = key(folder.path());
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let file = folder.path().join("p.wasm");
    std::fs::write(&file, WASM).unwrap();
    sign(&Options { file: file.clone(), key: key.clone() }).unwrap();

    let text = std::fs::read_to_string(signature_file(&file)).unwrap();
    let signature = BASE64.decode(text.trim()).unwrap();
    let public = public_key(&read_key(&key).unwrap()).unwrap();
    let public = PublicKey::parse(&public.to_string()).unwrap();
    assert!(public.verifies(WASM, &signature));
    assert!(!public.verifies(b"another", &signature));
}

/// `openssl genpkey -algorithm ed25519`
#[test]
fn a_key_of_openssl_works() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    let pem = "-----BEGIN PRIVATE KEY-----\n\
               MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
               -----END PRIVATE KEY-----\n";
    std::fs::write(&file, pem).unwrap();
    // RFC 8032, test 1.
    let public = public_key(&read_key(&file).unwrap()).unwrap().to_string();
    assert_eq!(public, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}

#[test]
fn what_is_no_key_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, "hello").unwrap();
    let wrong = read_key(&file).unwrap_err().to_string();
    assert!(wrong.contains("waypool plugin keygen"), "{wrong}");
}
