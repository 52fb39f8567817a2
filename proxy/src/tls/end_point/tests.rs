#![allow(clippy::unwrap_used)]

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

use super::*;

fn certificate(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let params = CertificateParams::new(["db".to_owned()]).unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn the_signatures_hash_is_used() {
    let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
    let hash = EndPointHash::of(&der).unwrap();
    assert_eq!(hash.as_bytes(), Sha256::digest(&der).as_slice());

    let der = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
    let hash = EndPointHash::of(&der).unwrap();
    assert_eq!(hash.as_bytes(), Sha384::digest(&der).as_slice());
}

#[test]
fn ed25519_has_none() {
    assert_eq!(EndPointHash::of(&certificate(&rcgen::PKCS_ED25519)), None);
}

#[test]
fn md5_and_sha1_become_sha256() {
    let hash = |oid: Oid<'static>| signature_hash(&AlgorithmIdentifier::new(oid, None));
    assert_eq!(hash(OID_PKCS1_MD5WITHRSAENC), Some(Hash::Sha256));
    assert_eq!(hash(OID_PKCS1_SHA1WITHRSA), Some(Hash::Sha256));
    assert_eq!(hash(OID_PKCS1_SHA512WITHRSA), Some(Hash::Sha512));
    // RSASSA-PSS without parameters.
    assert_eq!(hash(OID_PKCS1_RSASSAPSS), None);
}

#[test]
fn garbage_has_none() {
    let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
    for end in 0..der.len() {
        assert_eq!(EndPointHash::of(&der[..end]), None);
    }
}
