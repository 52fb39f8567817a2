#![allow(clippy::unwrap_used)]

use rand::RngExt;

use super::*;
use crate::auth::sqlstate;

fn continues(step: Step) -> (Vec<u8>, ClientAuth) {
    match step {
        Step::Continue { send, next } => (send, next),
        other => panic!("{other:?}"),
    }
}

fn fails(step: Step) -> AuthError {
    match step {
        Step::Fail(error) => error,
        other => panic!("{other:?}"),
    }
}

fn waiting(method: Method) -> ClientAuth {
    continues(start(method, "alice", Some(Secret::clear("sesame")), None)).1
}

fn sasl_initial(mechanism: &str, data: Option<&[u8]>) -> Vec<u8> {
    let length = data.map_or(-1, |data| i32::try_from(data.len()).unwrap());
    let parts = [mechanism.as_bytes(), &[0], &length.to_be_bytes(), data.unwrap_or(&[])];
    parts.concat()
}

#[test]
fn requests_have_the_protocols_form() {
    let request = |method| continues(start(method, "alice", None, None)).0;
    assert_eq!(request(Method::Password), [0, 0, 0, 3]);
    assert_eq!(request(Method::Md5)[..4], [0, 0, 0, 5]);
    assert_eq!(request(Method::Md5).len(), 8);
    assert_eq!(request(Method::ScramSha256), b"\0\0\0\x0aSCRAM-SHA-256\0\0");

    let hash = crate::auth::tests::certificate_hash("waypool");
    let (offer, _) = continues(start(Method::ScramSha256, "alice", None, Some(hash)));
    assert_eq!(offer, b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
}

#[test]
fn an_unknown_user_meets_the_same_requests() {
    let known = Some(Secret::clear("sesame"));
    for method in [Method::Password, Method::Md5, Method::ScramSha256] {
        let (one, _) = continues(start(method, "alice", known.clone(), None));
        let (other, _) = continues(start(method, "alice", None, None));
        assert_eq!(one[..4], other[..4]);
        assert_eq!(one.len(), other.len());
    }
    let initial = sasl_initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc"));
    let challenge = |secret| {
        let (_, next) = continues(start(Method::ScramSha256, "alice", secret, None));
        String::from_utf8(continues(next.on_message(&initial)).0).unwrap()
    };
    let (one, other) = (challenge(known), challenge(None));
    assert_eq!(one.len(), other.len());
    // The salt of a user who does not exist stays the same.
    let salt = |text: &str| text.split(",s=").nth(1).unwrap().to_owned();
    assert_eq!(salt(&other), salt(&challenge(None)));
}

#[test]
fn a_client_may_ask_for_an_empty_challenge() {
    let auth = waiting(Method::ScramSha256);
    let (empty, next) = continues(auth.on_message(&sasl_initial("SCRAM-SHA-256", None)));
    assert_eq!(empty, [0, 0, 0, 11]);
    let (challenge, _) = continues(next.on_message(b"n,,n=,r=abc"));
    assert!(challenge.starts_with(b"\0\0\0\x0br=abc"));
}

#[test]
fn an_empty_password_never_gets_in() {
    for method in [Method::Password, Method::Md5] {
        let error = fails(waiting(method).on_message(b"\0"));
        assert_eq!(error.sqlstate, sqlstate::INVALID_PASSWORD);
    }
}

#[test]
fn broken_messages_are_protocol_violations() {
    for method in [Method::Password, Method::Md5] {
        for body in [&b""[..], b"sesame", b"sesame\0x", b"a\0b\0"] {
            let error = fails(waiting(method).on_message(body));
            assert_eq!(error.sqlstate, sqlstate::PROTOCOL_VIOLATION, "{body:?}");
        }
    }
    let whole = sasl_initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc"));
    for end in 0..whole.len() {
        let error = fails(waiting(Method::ScramSha256).on_message(&whole[..end]));
        assert_eq!(error.sqlstate, sqlstate::PROTOCOL_VIOLATION, "{end}");
    }
    let unknown = sasl_initial("SCRAM-SHA-1", Some(b"n,,n=,r=abc"));
    let error = fails(waiting(Method::ScramSha256).on_message(&unknown));
    assert_eq!(error.message, "client selected an invalid SASL authentication mechanism");
    let huge = vec![b'x'; MAX_PASSWORD_MESSAGE + 1];
    fails(waiting(Method::Password).on_message(&huge));
}

/// Whatever comes, the machine answers; what it never says is yes.
#[test]
fn garbage_never_panics_nor_logs_in() {
    let mut random = rand::rng();
    let pieces: [&[u8]; 10] = [
        b"SCRAM-SHA-256\0",
        b"\0\0\0\x0b",
        b"\xff\xff\xff\xff",
        b"n,,",
        b"n=,",
        b"r=abc",
        b"c=biws,",
        b"p=AAAA",
        b",",
        b"\0",
    ];
    for _ in 0..20_000 {
        let method = [Method::Password, Method::Md5, Method::ScramSha256][random.random_range(0..3)];
        let mut step = start(method, "alice", None, None);
        for _ in 0..3 {
            let Step::Continue { next, .. } = step else {
                break;
            };
            let mut body = Vec::new();
            for _ in 0..random.random_range(0..8) {
                match random.random_bool(0.3) {
                    true => body.push(random.random()),
                    false => body.extend_from_slice(pieces[random.random_range(0..pieces.len())]),
                }
            }
            step = next.on_message(&body);
        }
        assert!(!matches!(step, Step::Done { .. }));
    }
}
