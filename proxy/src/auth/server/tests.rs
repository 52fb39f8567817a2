#![allow(clippy::unwrap_used)]

use rand::RngExt;

use super::*;

fn clear() -> Credentials {
    Credentials::from_secret(Some(&Secret::clear("sesame")))
}

fn auth(credentials: Credentials) -> ServerAuth {
    ServerAuth::new("alice", credentials, None)
}

#[test]
fn trust_needs_no_credentials() {
    assert_eq!(auth(Credentials::None).on_message(&[0; 4]), Ok(Reply::Done));
}

#[test]
fn clear_text() {
    let mut auth = auth(clear());
    assert_eq!(auth.on_message(&[0, 0, 0, 3]), Ok(Reply::Send(b"sesame\0".to_vec())));
    assert_eq!(auth.on_message(&[0; 4]), Ok(Reply::Done));
}

#[test]
fn md5_as_rust_postgres_computes_it() {
    let expected = postgres_protocol::authentication::md5_hash(b"alice", b"sesame", [1, 2, 3, 4]);
    let expected = Ok(Reply::Send([expected.as_bytes(), &[0]].concat()));
    let hash = Secret::Md5(Md5Hash::of("alice", b"sesame"));
    for credentials in [clear(), Credentials::from_secret(Some(&hash))] {
        let mut auth = auth(credentials);
        assert_eq!(auth.on_message(&[0, 0, 0, 5, 1, 2, 3, 4]), expected);
    }
}

#[test]
fn without_a_password_the_error_says_what_to_do() {
    for request in [&b"\0\0\0\x03"[..], b"\0\0\0\x051234", b"\0\0\0\x0aSCRAM-SHA-256\0\0"] {
        let error = auth(Credentials::None).on_message(request).unwrap_err();
        assert_eq!(error.sqlstate, sqlstate::INVALID_AUTHORIZATION);
        assert!(error.message.contains("no password"), "{error}");
        assert!(error.detail.unwrap().starts_with("Store the"));
    }
}

#[test]
fn methods_that_we_lack_are_named() {
    for (code, name) in [(2, "Kerberos"), (7, "GSSAPI"), (9, "SSPI"), (99, "99")] {
        let error = auth(clear()).on_message(&[0, 0, 0, code]).unwrap_err();
        assert_eq!(error.sqlstate, sqlstate::FEATURE_NOT_SUPPORTED);
        assert!(error.message.contains(name), "{error}");
    }
}

#[test]
fn a_server_cannot_cut_scram_short() {
    let mut auth = auth(clear());
    let offer = b"\0\0\0\x0aSCRAM-SHA-256\0\0";
    assert!(matches!(auth.on_message(offer), Ok(Reply::Send(_))));
    let error = auth.on_message(&[0; 4]).unwrap_err();
    assert!(error.message.contains("before it proved"), "{error}");
    // And the login stays over.
    assert!(auth.on_message(&[0; 4]).is_err());
}

#[test]
fn messages_out_of_turn_are_refused() {
    let mut done = auth(Credentials::None);
    done.on_message(&[0; 4]).unwrap();
    assert!(done.on_message(&[0; 4]).is_err());

    let mut password = auth(clear());
    password.on_message(&[0, 0, 0, 3]).unwrap();
    // Asked twice: the second may be another server's question.
    assert!(password.on_message(&[0, 0, 0, 3]).is_err());

    for early in [11, 12] {
        assert!(auth(clear()).on_message(&[0, 0, 0, early, b'x']).is_err());
    }
}

#[test]
fn garbage_never_panics() {
    let mut random = rand::rng();
    for _ in 0..20_000 {
        let mut auth = auth(clear());
        if random.random_bool(0.5) {
            auth.on_message(b"\0\0\0\x0aSCRAM-SHA-256\0\0").unwrap();
        }
        let length = random.random_range(0..40);
        let mut body: Vec<u8> = (0..length).map(|_| random.random()).collect();
        if let Some(code) = body.first_chunk_mut::<4>() {
            *code = [0, 0, 0, random.random_range(0..14)];
        }
        let scram_began = matches!(auth.state, State::ScramChallenge(_));
        let answer = auth.on_message(&body);
        assert!(!scram_began || answer.is_err());
    }
}
