//! TLS between clients and the proxy.
#![allow(clippy::unwrap_used)]

use waypool_tests::certificates::{Authority, Identity};
use waypool_tests::wire::{self, Wire};
use waypool_tests::{Builder, Finished, Proxy, primary_and_standby, program, run};

struct Tls {
    authority: Authority,
    /// Another one, which nobody should trust.
    stranger: Authority,
    /// The proxy's certificate.
    own: Identity,
}

impl Tls {
    fn new() -> Tls {
        let authority = Authority::new("ours");
        let own = authority.sign("proxy", &["localhost", "127.0.0.1"]);
        Tls { authority, stranger: Authority::new("a stranger"), own }
    }

    fn builder(&self) -> Builder {
        with_certificate(&self.own)
    }
}

fn with_certificate(identity: &Identity) -> Builder {
    let (certificate, key) = (&identity.certificate, &identity.key);
    Proxy::builder(primary_and_standby())
        .top(&format!("ssl = true\nssl_cert = {certificate:?}\nssl_key = {key:?}"))
        .user("postgres", "secret")
}

/// psql's own word on its connection, with these libpq settings.
fn connect(proxy: &Proxy, settings: &str) -> Finished {
    let mut psql = program(proxy, "psql");
    let conninfo = format!("host=localhost hostaddr=127.0.0.1 password=secret {settings}");
    run(psql.args(["-XAt", "-d", &conninfo]), "\\conninfo\nSELECT 'fine';\n")
}

fn trusting(mode: &str, authority: &Authority) -> String {
    format!("sslmode={mode} sslrootcert={}", authority.certificate().display())
}

#[track_caller]
fn is_encrypted(finished: Finished) {
    let said = finished.ok();
    assert!(said.contains("SSL connection (protocol: TLSv1.3"), "{said}");
    assert!(said.contains("fine"), "{said}");
}

#[track_caller]
fn is_plain(finished: Finished) {
    let said = finished.ok();
    assert!(!said.contains("SSL connection") && said.contains("fine"), "{said}");
}

#[track_caller]
fn fails(finished: Finished, why: &str) {
    let said = finished.error();
    assert!(said.contains(why), "expected {why:?}: {said}");
}

#[test]
fn every_sslmode_gets_what_it_asks_for() {
    let tls = Tls::new();
    let proxy = tls.builder().start();
    is_plain(connect(&proxy, "sslmode=disable"));
    is_plain(connect(&proxy, "sslmode=allow"));
    is_encrypted(connect(&proxy, "sslmode=prefer"));
    is_encrypted(connect(&proxy, "sslmode=require"));
    is_encrypted(connect(&proxy, &trusting("verify-ca", &tls.authority)));
    is_encrypted(connect(&proxy, &trusting("verify-full", &tls.authority)));
    let low = "sslmode=require ssl_min_protocol_version=TLSv1.2 ssl_max_protocol_version=TLSv1.2";
    let said = connect(&proxy, low).ok();
    assert!(said.contains("SSL connection (protocol: TLSv1.2"), "{said}");
    proxy.stop();
}

#[test]
fn a_client_that_trusts_somebody_else_refuses() {
    let tls = Tls::new();
    let proxy = tls.builder().start();
    fails(connect(&proxy, &trusting("verify-ca", &tls.stranger)), "certificate verify failed");
    fails(connect(&proxy, &trusting("verify-full", &tls.stranger)), "certificate verify failed");
    is_encrypted(connect(&proxy, &trusting("verify-full", &tls.authority)));
    proxy.stop();
    let elsewhere = tls.authority.sign("elsewhere", &["elsewhere.example"]);
    let proxy = with_certificate(&elsewhere).start();
    is_encrypted(connect(&proxy, &trusting("verify-ca", &tls.authority)));
    fails(connect(&proxy, &trusting("verify-full", &tls.authority)), "does not match host name");
    proxy.stop();
}

#[test]
fn without_a_certificate_the_proxy_offers_no_tls() {
    let proxy = Proxy::builder(primary_and_standby()).start();
    is_plain(connect(&proxy, "sslmode=prefer"));
    fails(connect(&proxy, "sslmode=require"), "server does not support SSL");
    proxy.stop();
}

#[test]
fn rules_tell_encrypted_connections_from_others() {
    let tls = Tls::new();
    let rules = ["hostssl all all all trust", "local all all trust"];
    let proxy = tls.builder().hba(&rules).start();
    is_encrypted(connect(&proxy, "sslmode=require"));
    fails(connect(&proxy, "sslmode=disable"), "no encryption");
    proxy.stop();
    let proxy = tls.builder().hba(&["hostnossl all all all trust"]).start();
    is_plain(connect(&proxy, "sslmode=disable"));
    fails(connect(&proxy, "sslmode=require"), "encryption");
    is_plain(connect(&proxy, "sslmode=prefer"));
    proxy.stop();
}

#[test]
fn channel_binding_ties_the_password_to_the_certificate() {
    let tls = Tls::new();
    let proxy = tls.builder().hba(&["host all all all scram-sha-256"]).start();
    is_encrypted(connect(&proxy, "sslmode=require channel_binding=require"));
    is_encrypted(connect(&proxy, "sslmode=require channel_binding=disable"));
    is_plain(connect(&proxy, "sslmode=disable channel_binding=prefer"));
    let wrong = connect(&proxy, "sslmode=require channel_binding=require password=wrong");
    fails(wrong, "password authentication failed");
    proxy.stop();
    let proxy = tls.builder().hba(&["host all all all md5"]).start();
    fails(connect(&proxy, "sslmode=require channel_binding=require"), "channel binding");
    proxy.stop();
}

#[test]
fn bytes_ahead_of_the_handshake_are_refused() {
    let tls = Tls::new();
    let proxy = tls.builder().start();
    let mut wire = Wire::connect(&proxy);
    // Whoever sits in between could have put them there.
    wire.send(&[wire::ssl_request(), wire::query("SELECT 'smuggled'")].concat());
    let answer = wire.until_closed();
    assert_eq!(answer.len(), 1, "{answer:?}");
    assert_eq!(answer[0].field(b'C').unwrap(), "08P01");
    assert!(answer[0].field(b'M').unwrap().contains("unencrypted data"), "{answer:?}");
    proxy.stop();
}

#[test]
fn a_new_certificate_is_taken_over_by_a_reload() {
    let tls = Tls::new();
    let proxy = tls.builder().start();
    is_encrypted(connect(&proxy, &trusting("verify-full", &tls.authority)));
    let renewed = tls.stranger.sign("renewed", &["localhost"]);
    let (certificate, key) = (&renewed.certificate, &renewed.key);
    let said = proxy.reconfigure(|it| it.top(&format!("ssl_cert = {certificate:?}\nssl_key = {key:?}")));
    assert!(said.contains("configuration reloaded"), "{said}");
    is_encrypted(connect(&proxy, &trusting("verify-full", &tls.stranger)));
    fails(connect(&proxy, &trusting("verify-full", &tls.authority)), "certificate verify failed");
    proxy.stop();
}

#[test]
fn client_certificates_of_strangers_are_refused() {
    let tls = Tls::new();
    let authority = tls.authority.certificate();
    let proxy = tls.builder().top(&format!("ssl_ca_cert = {authority:?}")).start();
    let own = |authority: &Authority| {
        let client = authority.sign("client", &[]);
        let (certificate, key) = (client.certificate.display(), client.key.display());
        format!("sslmode=require sslcert={certificate} sslkey={key}")
    };
    is_encrypted(connect(&proxy, "sslmode=require"));
    is_encrypted(connect(&proxy, &own(&tls.authority)));
    assert!(!connect(&proxy, &own(&tls.stranger)).success(), "a stranger's certificate was accepted");
    proxy.stop();
}
