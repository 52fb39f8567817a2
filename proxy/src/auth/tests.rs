//! Both machines against each other: a client logs in to Waypool, with our
//! own client leg as the client.
#![allow(clippy::unwrap_used)]

use super::client::{self, Method, Proof, Step};
use super::password::{Md5Hash, Secret};
use super::scram::ScramVerifier;
use super::server::{Credentials, Reply, ServerAuth};
use super::{AUTHENTICATION_OK, AuthError, Users, sqlstate};
use crate::tls::EndPointHash;

const USER: &str = "alice";

fn clear(password: &str) -> Credentials {
    Credentials::from_secret(Some(&Secret::clear(password)))
}

fn scram(password: &str) -> Secret {
    let verifier = ScramVerifier::from_password(password.as_bytes());
    Secret::parse(&verifier.to_secret()).unwrap().unwrap()
}

fn md5(password: &str) -> Secret {
    Secret::Md5(Md5Hash::of(USER, password.as_bytes()))
}

pub(super) fn certificate_hash(name: &str) -> EndPointHash {
    let key = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    EndPointHash::of(key.cert.der()).unwrap()
}

/// Runs a login to its end.
fn login_bound(
    method: Method,
    secret: Option<Secret>,
    credentials: Credentials,
    ours: Option<EndPointHash>,
    theirs: Option<EndPointHash>,
) -> Result<Proof, AuthError> {
    let mut peer = ServerAuth::new(USER, credentials, theirs);
    let mut step = client::start(method, USER, secret, ours);
    loop {
        step = match step {
            Step::Continue { send, next } => match peer.on_message(&send)? {
                Reply::Send(body) => next.on_message(&body),
                other => panic!("{other:?} in the middle of a login"),
            },
            Step::Done { send, proof } => {
                if let Some(last) = send {
                    assert_eq!(peer.on_message(&last)?, Reply::Wait);
                }
                assert_eq!(peer.on_message(&AUTHENTICATION_OK)?, Reply::Done);
                return Ok(proof);
            }
            Step::Fail(error) => return Err(error),
        };
    }
}

fn login(method: Method, secret: Option<Secret>, credentials: Credentials) -> Result<Proof, AuthError> {
    login_bound(method, secret, credentials, None, None)
}

#[test]
fn every_method_lets_the_right_password_in() {
    let methods = [Method::Trust, Method::Password, Method::Md5, Method::ScramSha256];
    for method in methods {
        for secret in [Secret::clear("sesame"), scram("sesame"), md5("sesame")] {
            let impossible = method == Method::ScramSha256 && matches!(secret, Secret::Md5(_));
            let result = login(method, Some(secret.clone()), clear("sesame"));
            assert_eq!(result.is_ok(), !impossible, "{method:?} {secret:?} {result:?}");
        }
    }
}

#[test]
fn every_method_but_trust_refuses_all_others_alike() {
    for method in [Method::Password, Method::Md5, Method::ScramSha256] {
        for secret in [Some(Secret::clear("sesame")), Some(scram("sesame")), Some(md5("sesame")), None] {
            let error = login(method, secret.clone(), clear("sesame2")).unwrap_err();
            assert_eq!(error.sqlstate, sqlstate::INVALID_PASSWORD);
            assert_eq!(error.message, "password authentication failed for user \"alice\"");
            assert_eq!(error.detail, None);
            assert!(error.log.is_some(), "{method:?} {secret:?}");
        }
    }
    assert!(login(Method::Trust, None, Credentials::None).is_ok());
}

#[test]
fn an_md5_hash_logs_in_where_md5_is_asked() {
    let credentials = Credentials::from_secret(Some(&md5("sesame")));
    assert!(login(Method::Md5, Some(md5("sesame")), credentials.clone()).is_ok());

    let error = login(Method::ScramSha256, Some(scram("sesame")), credentials.clone()).unwrap_err();
    assert_eq!(
        error.message,
        "cannot log in to the server as user \"alice\": it asks for method scram-sha-256, \
         and Waypool has only the md5 hash of the password for this user"
    );
    assert!(error.detail.unwrap().contains("pg_authid.rolpassword"));
    assert!(login(Method::Password, None, credentials).is_err());
}

#[test]
fn a_password_login_passes_the_password_on() {
    let proof = login(Method::Password, Some(scram("sesame")), clear("sesame")).unwrap();
    let Proof::Clear(password) = &proof else {
        panic!("{proof:?}");
    };
    assert_eq!(password.bytes(), b"sesame");
    let credentials = Credentials::new(Some(&scram("sesame")), &proof);
    assert!(login(Method::ScramSha256, Some(scram("sesame")), credentials).is_ok());
}

#[test]
fn a_scram_login_passes_its_key_on() {
    let stored = scram("sesame");
    let proof = login(Method::ScramSha256, Some(stored.clone()), clear("sesame")).unwrap();
    let credentials = Credentials::new(Some(&stored), &proof);
    // The server stores the same verifier …
    let again = login(Method::ScramSha256, Some(stored.clone()), credentials.clone());
    // … and the chain could go on.
    assert!(matches!(again.unwrap(), Proof::ClientKey(_)));

    // Another salt: the password may be the same, the keys are of no use.
    let error = login(Method::ScramSha256, Some(scram("sesame")), credentials.clone()).unwrap_err();
    assert!(error.message.contains("SCRAM secret"), "{error}");
    let error = login(Method::Md5, Some(md5("sesame")), credentials).unwrap_err();
    assert!(error.message.contains("only the SCRAM secret"), "{error}");
    // A verifier without a client's key cannot log in.
    let alone = Credentials::from_secret(Some(&stored));
    assert!(matches!(alone, Credentials::None));
}

#[test]
fn channel_binding_ties_the_login_to_the_certificate() {
    let (ours, other) = (certificate_hash("waypool"), certificate_hash("mallory"));
    let bound = |ours: Option<&EndPointHash>, theirs: Option<&EndPointHash>| {
        let secret = Some(Secret::clear("sesame"));
        let (ours, theirs) = (ours.cloned(), theirs.cloned());
        login_bound(Method::ScramSha256, secret, clear("sesame"), ours, theirs)
    };
    assert!(bound(Some(&ours), Some(&ours)).is_ok());
    // A client without the hash logs in without binding.
    assert!(bound(Some(&ours), None).is_ok());
    // Nor is it needed where we do not offer it (Ed25519).
    assert!(bound(None, Some(&ours)).is_ok());

    let error = bound(Some(&ours), Some(&other)).unwrap_err();
    assert_eq!(error.message, "SCRAM channel binding check failed");
    assert_eq!(error.sqlstate, sqlstate::INVALID_AUTHORIZATION);
}

#[test]
fn an_odd_password_is_taken_as_it_is() {
    // SASLprep would refuse the control character, and maps the soft hyphen away.
    for password in ["a\u{7}b", "I\u{ad}X", "пароль", "x".repeat(300).as_str()] {
        assert!(login(Method::ScramSha256, Some(scram(password)), clear(password)).is_ok());
    }
    assert!(login(Method::ScramSha256, Some(scram("IX")), clear("I\u{ad}X")).is_ok());
}

#[test]
fn a_user_without_a_password_is_a_user_unknown() {
    let mut users = Users::default();
    users.add_table("[users]", [(USER, "")]).unwrap();
    assert!(users.contains(USER));
    let secret = users.secret(USER).cloned();
    assert!(login(Method::Password, secret, clear("x")).is_err());
}
