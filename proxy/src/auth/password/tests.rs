#![allow(clippy::unwrap_used)]

use super::*;

const HASH: &str = "md5e8a48653851e28c69d0506508fb27fc5";

#[test]
fn shapes_are_told_apart_as_postgresql_does() {
    let parse = |text: &str| Secret::parse(text).unwrap();
    assert!(matches!(parse(HASH), Some(Secret::Md5(_))));
    // Upper case, or one digit short: a clear-text password that looks odd.
    assert!(matches!(parse(&HASH.to_uppercase()), Some(Secret::Clear(_))));
    assert!(matches!(parse(&HASH[..34]), Some(Secret::Clear(_))));
    let scram = ScramVerifier::from_password(b"x").to_secret();
    assert!(matches!(parse(&scram), Some(Secret::Scram(_))));
    assert!(matches!(parse("TEXTILE"), Some(Secret::Clear(_))));
    assert!(parse("").is_none());
    assert_eq!(Secret::parse("SCRAM-SHA-256$4096:oops").unwrap_err(), SecretError::Scram);
}

#[test]
fn pool_passwd_has_prefixes() {
    let parse = Secret::parse_pool_passwd;
    assert!(parse("TEXTsesame").unwrap().unwrap().accepts("u", b"sesame"));
    // The prefix protects a password that looks like a hash.
    let odd = parse(&format!("TEXT{HASH}")).unwrap().unwrap();
    assert!(odd.accepts("u", HASH.as_bytes()));
    assert!(parse("TEXT").unwrap().is_none());
    assert!(matches!(parse(HASH).unwrap(), Some(Secret::Md5(_))));
    assert_eq!(parse("AESaGVsbG8=").unwrap_err(), SecretError::Aes);
}

#[test]
fn md5_is_postgresqls() {
    // SELECT 'md5' || md5('sesame' || 'alice')
    let expected = postgres_protocol::password::md5(b"sesame", "alice");
    let hash = Md5Hash::parse(&expected).unwrap();
    assert_eq!(hash, Md5Hash::of("alice", b"sesame"));
    assert_ne!(hash, Md5Hash::of("bob", b"sesame"));
    assert!(hash.answers([1, 2, 3, 4], &hash.response([1, 2, 3, 4])));
    assert!(!hash.answers([1, 2, 3, 4], &hash.response([1, 2, 3, 5])));
    assert!(!hash.answers([1, 2, 3, 4], b""));
}

#[test]
fn nothing_secret_is_printed() {
    let scram = ScramVerifier::from_password(b"sesame").to_secret();
    let verifier = ScramVerifier::parse(&scram).unwrap();
    let stored_key = scram.split(['$', ':']).nth(3).unwrap();
    for text in ["sesame", HASH, &scram] {
        let secret = Secret::parse(text).unwrap().unwrap();
        let shown = format!("{secret:?} {verifier:?}");
        assert!(!shown.contains("sesame") && !shown.contains(&HASH[3..]), "{shown}");
        assert!(!shown.contains(stored_key), "{shown}");
    }
}

#[test]
fn a_verifier_is_made_once() {
    let password = ClearPassword::new(b"sesame");
    assert!(Arc::ptr_eq(&password.verifier(), &password.verifier()));
    assert!(password.verifier().accepts(b"sesame"));
}
