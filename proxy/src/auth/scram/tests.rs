#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::attributes::Attributes;
use super::prove::{Knowledge, MAX_ITERATIONS};
use super::*;
use crate::auth::password::ClearPassword;

/// The exchange of RFC 7677, section 3.
const CLIENT_FIRST: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const WITHOUT_PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

#[test]
fn rfc_7677() {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let keys = ScramKeys::derive(b"pencil", &salt, 4096);
    let signed = auth_message(CLIENT_FIRST, SERVER_FIRST, WITHOUT_PROOF);

    let stored_key = keys.client_key.hash();
    let proof = keys.client_key.xor(&stored_key.sign(&signed));
    assert_eq!(proof.to_base64(), PROOF);
    assert_eq!(keys.server_key.sign(&signed).to_base64(), SERVER_SIGNATURE);
}

#[test]
fn a_verifier_survives_its_text_form() {
    let text = postgres_protocol::password::scram_sha_256(b"sesame");
    let verifier = ScramVerifier::parse(&text).unwrap();
    assert_eq!(verifier.to_secret(), text);
    assert!(verifier.accepts(b"sesame"));
    assert!(!verifier.accepts(b"sesame2"));
}

#[test]
fn a_broken_verifier_is_none() {
    let whole = ScramVerifier::from_password(b"sesame").to_secret();
    for end in 0..whole.len() {
        assert!(ScramVerifier::parse(&whole[..end]).is_none(), "{end}");
    }
    assert!(ScramVerifier::parse(&whole.replace("$4096:", "$0:")).is_none());
    assert!(ScramVerifier::parse(&whole.replace("$4096:", "$-1:")).is_none());
}

#[test]
fn the_mock_verifier_is_constant_per_user() {
    let (one, again, other) =
        (ScramVerifier::mock("alice"), ScramVerifier::mock("alice"), ScramVerifier::mock("bob"));
    assert_eq!(one.salt, again.salt);
    assert_ne!(one.salt, other.salt);
    assert_eq!(one.salt.len(), SALT_LENGTH);
}

#[test]
fn a_salt_is_derived_once() {
    let password = ClearPassword::new(b"sesame");
    let first = password.scram_keys(b"salt", 1);
    assert_eq!(password.scram_keys(b"salt", 1).client_key, first.client_key);
    assert_ne!(password.scram_keys(b"salt", 2).client_key, first.client_key);
    for salt in 0..100_u8 {
        password.scram_keys(&[salt], 1);
    }
    assert_eq!(password.scram_keys(b"salt", 1).client_key, first.client_key);
}

/// rust-postgres' client, which shares no code with our end.
#[test]
fn an_independent_client_agrees() {
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

    let verifier = Arc::new(ScramVerifier::from_password(b"sesame"));
    let mut client = ScramSha256::new(b"sesame", ChannelBinding::unsupported());
    let first = verify::AwaitFirst::new(SCRAM_SHA_256.as_bytes(), verifier, None).unwrap();
    let (server_first, next) = first.on_first(client.message()).unwrap();
    client.update(server_first.as_bytes()).unwrap();
    let verified = next.on_final(client.message()).unwrap().unwrap();
    client.finish(verified.server_final.as_bytes()).unwrap();
}

#[test]
fn an_independent_client_agrees_on_channel_binding() {
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

    let hash = crate::auth::tests::certificate_hash("waypool");
    let verifier = Arc::new(ScramVerifier::from_password(b"sesame"));
    let binding = ChannelBinding::tls_server_end_point(hash.as_bytes().to_vec());
    let mut client = ScramSha256::new(b"sesame", binding);
    let plus = SCRAM_SHA_256_PLUS.as_bytes();
    let first = verify::AwaitFirst::new(plus, verifier, Some(hash)).unwrap();
    let (server_first, next) = first.on_first(client.message()).unwrap();
    client.update(server_first.as_bytes()).unwrap();
    assert!(next.on_final(client.message()).unwrap().is_some());
}

/// Opens an exchange as a client without channel binding.
fn first(message: &[u8], mechanism: &str, tls: bool) -> Result<String, crate::auth::AuthError> {
    let hash = tls.then(|| crate::auth::tests::certificate_hash("waypool"));
    let verifier = Arc::new(ScramVerifier::mock("alice"));
    let exchange = verify::AwaitFirst::new(mechanism.as_bytes(), verifier, hash)?;
    exchange.on_first(message).map(|(answer, _)| answer)
}

#[test]
fn the_client_first_message_is_read_as_postgresql_reads_it() {
    let plain = |message: &str| first(message.as_bytes(), SCRAM_SHA_256, false);
    let over_tls = |message: &str| first(message.as_bytes(), SCRAM_SHA_256, true);
    let plus = |message: &str| first(message.as_bytes(), SCRAM_SHA_256_PLUS, true);

    for good in ["n,,n=,r=abc", "y,,n=,r=abc", "n,,n=alice,r=abc,x=1,y=2"] {
        assert!(plain(good).unwrap().starts_with("r=abc"), "{good}");
    }
    assert!(over_tls("n,,n=,r=abc").is_ok());
    assert!(plus("p=tls-server-end-point,,n=,r=abc").is_ok());

    let code = |result: Result<String, crate::auth::AuthError>| result.unwrap_err().sqlstate;
    // The downgrade: we offered -PLUS, and the client did not see it.
    assert_eq!(code(over_tls("y,,n=,r=abc")), "28000");
    assert_eq!(code(plus("n,,n=,r=abc")), "08P01");
    assert_eq!(code(plus("y,,n=,r=abc")), "08P01");
    assert_eq!(code(over_tls("p=tls-server-end-point,,n=,r=abc")), "08P01");
    assert_eq!(code(plus("p=tls-unique,,n=,r=abc")), "08P01");
    assert_eq!(code(plain("n,a=bob,n=,r=abc")), "0A000");
    assert_eq!(code(plain("n,,m=x,n=,r=abc")), "0A000");
    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=",
        "n,,r=abc",
        "n,,n=,r=",
        "n,,n=,r=a\u{e9}",
        "x,,n=,r=a",
        "n,,n=,r=a,",
        "n,,n=,r=a\0",
    ] {
        let expected = if bad == "n,,n=,r=a," { None } else { Some("08P01") };
        assert_eq!(plain(bad).err().map(|error| error.sqlstate), expected, "{bad:?}");
    }
    // -PLUS without TLS.
    let hashless = first(b"n,,n=,r=abc", SCRAM_SHA_256_PLUS, false);
    assert_eq!(code(hashless), "08P01");
}

#[test]
fn the_client_final_message_is_checked() {
    let run = |tamper: &dyn Fn(&str) -> String| {
        use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
        let verifier = Arc::new(ScramVerifier::derive(b"sesame", b"salt".to_vec(), 2));
        let mut client = ScramSha256::new(b"sesame", ChannelBinding::unsupported());
        let first = verify::AwaitFirst::new(SCRAM_SHA_256.as_bytes(), verifier, None).unwrap();
        let (server_first, next) = first.on_first(client.message()).unwrap();
        client.update(server_first.as_bytes()).unwrap();
        let message = String::from_utf8(client.message().to_vec()).unwrap();
        next.on_final(tamper(&message).as_bytes())
    };
    assert!(run(&|message| message.to_owned()).unwrap().is_some());
    // A changed extension is signed too.
    assert!(run(&|message| message.replace(",p=", ",x=1,p=")).unwrap().is_none());
    for tamper in [
        &(|m: &str| m.replace("c=biws", "c=eSws")) as &dyn Fn(&str) -> String,
        &|m| m.replace(",p=", "x,p="),
        &|m| format!("{m},x=1"),
        &|m| m.replace(",p=", ",p=A"),
        &|m| m.split(",p=").next().unwrap().to_owned(),
        &|_| "c=biws".to_owned(),
    ] {
        assert_eq!(run(tamper).unwrap_err().sqlstate, "08P01");
    }
}

#[test]
fn a_hostile_server_is_refused() {
    let open = || {
        let knowledge = Knowledge::Password(Arc::new(ClearPassword::new(b"sesame")));
        prove::open(b"SCRAM-SHA-256\0\0", knowledge, None).unwrap()
    };
    let challenge = |text: &dyn Fn(&str) -> String| {
        let opening = open();
        let nonce = opening.client_first.strip_prefix("n,,n=,r=").unwrap();
        let message = text(nonce);
        opening.next.on_challenge(message.as_bytes()).map(|(answer, _)| answer)
    };
    assert!(challenge(&|nonce| format!("r={nonce}x,s=c2FsdA==,i=1")).is_ok());
    for bad in [
        &(|nonce: &str| format!("r={nonce}x,s=c2FsdA==,i={}", MAX_ITERATIONS + 1)) as &dyn Fn(&str) -> String,
        &|nonce| format!("r={nonce}x,s=c2FsdA==,i=0"),
        &|nonce| format!("r={nonce}x,s=c2FsdA==,i=-1"),
        &|nonce| format!("r={nonce}x,s=c2FsdA==,i=99999999999999999999"),
        &|nonce| format!("r={nonce}x,s=c2FsdA=,i=1"),
        &|nonce| format!("r={nonce},s=c2FsdA==,i=1"),
        &|nonce| format!("r=x{nonce},s=c2FsdA==,i=1"),
        &|nonce| format!("r={nonce}x"),
        &|_| String::new(),
    ] {
        assert_eq!(challenge(bad).unwrap_err().sqlstate, "08P01");
    }

    let opening = open();
    let nonce = opening.client_first.strip_prefix("n,,n=,r=").unwrap();
    let message = format!("r={nonce}x,s=c2FsdA==,i=1");
    let (_, next) = opening.next.on_challenge(message.as_bytes()).unwrap();
    let forged = format!("v={}", Key([7; 32]).to_base64());
    let error = next.on_signature(forged.as_bytes()).unwrap_err();
    assert_eq!(error.message, "incorrect server signature");
}

#[test]
fn unknown_mechanisms_are_named() {
    let knowledge = Knowledge::Password(Arc::new(ClearPassword::new(b"sesame")));
    let error = prove::open(b"OAUTHBEARER\0X-9\0\0", knowledge, None).map(|_| ()).unwrap_err();
    assert!(error.message.ends_with("OAUTHBEARER, X-9"), "{error}");
}

#[test]
fn attributes_stop_at_commas() {
    let mut attributes = Attributes::new(b"a=1,b=,c=x=y").unwrap();
    assert_eq!(attributes.value('a').unwrap(), "1");
    assert_eq!(attributes.any().unwrap(), ('b', ""));
    assert!(attributes.value('z').is_err());
    assert_eq!(attributes.value('c').unwrap(), "x=y");
    assert_eq!(attributes.rest(), "");
    assert!(attributes.any().is_err());
}
