//! The channel binding `tls-server-end-point` (RFC 5929): a hash of the
//! server's certificate, which SCRAM-SHA-256-PLUS ties a login to.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::oid_registry::*;
use x509_parser::prelude::{AlgorithmIdentifier, FromDer, X509Certificate};
use x509_parser::signature_algorithm::RsaSsaPssParams;

/// Hash of a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndPointHash(Arc<[u8]>);

/// The hash functions that a certificate can be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

// === impl EndPointHash ===

impl EndPointHash {
    /// Hashes a certificate (DER) with the function that its signature uses,
    /// or with SHA-256 in place of MD5 and SHA-1. `None` if the signature names
    /// no hash function (Ed25519): RFC 5929 has no binding for these.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let digest = match signature_hash(&parsed.signature_algorithm)? {
            Hash::Sha224 => Sha224::digest(certificate).to_vec(),
            Hash::Sha256 => Sha256::digest(certificate).to_vec(),
            Hash::Sha384 => Sha384::digest(certificate).to_vec(),
            Hash::Sha512 => Sha512::digest(certificate).to_vec(),
        };
        Some(Self(digest.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The hash function of a signature algorithm.
fn signature_hash(algorithm: &AlgorithmIdentifier<'_>) -> Option<Hash> {
    if algorithm.algorithm == OID_PKCS1_RSASSAPSS {
        let parameters = RsaSsaPssParams::try_from(algorithm.parameters.as_ref()?).ok()?;
        return pss_hash(parameters.hash_algorithm_oid());
    }
    let known: &[(Oid<'_>, Hash)] = &[
        (OID_PKCS1_MD5WITHRSAENC, Hash::Sha256),
        (OID_PKCS1_SHA1WITHRSA, Hash::Sha256),
        (OID_SHA1_WITH_RSA, Hash::Sha256),
        // ecdsa-with-SHA1
        (oid!(1.2.840.10045.4.1), Hash::Sha256),
        (OID_PKCS1_SHA224WITHRSA, Hash::Sha224),
        (OID_PKCS1_SHA256WITHRSA, Hash::Sha256),
        (OID_PKCS1_SHA384WITHRSA, Hash::Sha384),
        (OID_PKCS1_SHA512WITHRSA, Hash::Sha512),
        (OID_SIG_ECDSA_WITH_SHA224, Hash::Sha224),
        (OID_SIG_ECDSA_WITH_SHA256, Hash::Sha256),
        (OID_SIG_ECDSA_WITH_SHA384, Hash::Sha384),
        (OID_SIG_ECDSA_WITH_SHA512, Hash::Sha512),
    ];
    let is_it = |(oid, _): &&(Oid<'_>, Hash)| *oid == algorithm.algorithm;
    known.iter().find(is_it).map(|(_, hash)| *hash)
}

/// RSASSA-PSS names its hash function in its parameters.
fn pss_hash(oid: &Oid<'_>) -> Option<Hash> {
    let known: &[(Oid<'_>, Hash)] = &[
        (OID_HASH_SHA1, Hash::Sha256),
        (OID_NIST_HASH_SHA256, Hash::Sha256),
        (OID_NIST_HASH_SHA384, Hash::Sha384),
        (OID_NIST_HASH_SHA512, Hash::Sha512),
    ];
    let is_it = |(known, _): &&(Oid<'_>, Hash)| known == oid;
    known.iter().find(is_it).map(|(_, hash)| *hash)
}
