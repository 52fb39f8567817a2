//! TLS between the proxy and the servers.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use waypool_sandbox::{Auth, Cluster, PASSWORD};
use waypool_tests::certificates::Authority;
use waypool_tests::{Builder, Proxy, program, psql_error, run};

struct Servers {
    cluster: Cluster,
    /// Whoever has signed the servers' certificate.
    authority: PathBuf,
}

/// Their certificate names 127.0.0.1 and nothing else. The role `encrypted` must
/// use TLS, `plain` must not, `postgres` as it likes, with a password.
static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
    let authority = Authority::new("ours");
    let builder = Cluster::builder()
        .standbys(1)
        .auth(Auth::ScramSha256)
        .setting("log_connections", "on")
        .tls(authority.sign("server", &["127.0.0.1"]).for_server())
        .hba("hostssl all encrypted all trust")
        .hba("hostnossl all plain all trust")
        .hba("host all encrypted,plain all reject");
    let cluster = builder.start().unwrap_or_else(|error| panic!("{error}"));
    cluster.primary().psql("CREATE ROLE encrypted LOGIN; CREATE ROLE plain LOGIN").unwrap();
    cluster.server(1).wait_replay(cluster.primary()).unwrap();
    // It goes with the cluster: what is static is never dropped.
    let kept = cluster.folder().join("authority.pem");
    std::fs::copy(authority.certificate(), &kept).unwrap();
    Servers { cluster, authority: kept }
});

fn builder(lines: &str) -> Builder {
    let builder = Proxy::builder(&SERVERS.cluster)
        .weights(&[0.0, 1.0])
        .top(&format!("sr_check_password = {PASSWORD:?}"))
        .user("postgres", PASSWORD);
    builder.backend(0, lines).backend(1, lines)
}

fn trusting(mode: &str, authority: &Path) -> String {
    format!("sslmode = {mode:?}\nsslrootcert = {authority:?}")
}

/// How both servers say that the proxy has connected for a client: `plain`, or
/// the protocol's version.
#[track_caller]
fn encryption(proxy: &Proxy) -> String {
    let name = format!("through {}", proxy.port());
    let mut client = program(proxy, "psql");
    // The standby answers the read, the primary makes the table.
    client.env("PGAPPNAME", &name).args([
        "-XAtq",
        "-c",
        "SELECT inet_server_port()",
        "-c",
        "CREATE TEMP TABLE t ()",
    ]);
    assert_eq!(run(&mut client, "").ok().trim_end(), SERVERS.cluster.server(1).port().to_string());
    let told = SERVERS.cluster.servers().iter().map(|server| {
        let log = server.log_text();
        let authorized = |line: &&str| line.contains("connection authorized") && line.contains(&name);
        let line = log.lines().find(authorized).unwrap_or_else(|| panic!("no connection in {log}"));
        let version = line.split_once("SSL enabled (protocol=").and_then(|(_, rest)| rest.split_once(','));
        version.map_or("plain", |(version, _)| version).to_owned()
    });
    let told: Vec<String> = told.collect();
    assert_eq!(told[0], told[1]);
    told[0].clone()
}

#[test]
fn every_sslmode_gets_what_it_asks_for() {
    let cases = [
        ("sslmode = \"disable\"".to_owned(), "plain"),
        ("sslmode = \"prefer\"".to_owned(), "TLSv1.3"),
        ("sslmode = \"require\"".to_owned(), "TLSv1.3"),
        (trusting("verify-ca", &SERVERS.authority), "TLSv1.3"),
        (trusting("verify-full", &SERVERS.authority), "TLSv1.3"),
    ];
    for (lines, expected) in cases {
        let proxy = builder(&lines).start();
        assert_eq!(encryption(&proxy), expected, "{lines}");
        proxy.stop();
    }
}

#[test]
fn a_server_may_insist_on_tls_or_on_none() {
    for (mode, role, works) in [
        ("disable", "encrypted", false),
        ("prefer", "encrypted", true),
        ("require", "encrypted", true),
        ("disable", "plain", true),
        ("require", "plain", false),
    ] {
        let proxy = builder(&format!("sslmode = {mode:?}")).user(role, "unused").start();
        let mut client = program(&proxy, "psql");
        client.env("PGUSER", role).args(["-XAtc", "SELECT current_user"]);
        let finished = run(&mut client, "");
        assert_eq!(finished.success(), works, "{mode}, {role}: {finished}");
        if !works {
            // The server's own words.
            assert!(finished.stderr.contains("pg_hba.conf rejects connection"), "{finished}");
        }
        proxy.stop();
    }
}

/// The servers are not to be trusted: no session, no secret told to them, and
/// the reason is where people look.
#[track_caller]
fn is_refused(builder: Builder, reason: &str) {
    let proxy = builder.start();
    proxy.wait_for_log(reason);
    let told = psql_error(&proxy, "postgres", "SELECT 1");
    assert!(told.contains("57P03") || told.contains("08006") || told.contains("no primary"), "{told}");
    proxy.stop();
}

#[test]
fn a_server_whose_authority_is_unknown_is_refused() {
    let stranger = Authority::new("a stranger");
    for mode in ["verify-ca", "verify-full"] {
        is_refused(builder(&trusting(mode, &stranger.certificate())), "certificate");
    }
}

#[test]
fn a_server_whose_certificate_is_for_another_name_is_refused_by_verify_full_alone() {
    let renamed = |mode: &str| {
        let lines = format!("hostname = \"localhost\"\n{}", trusting(mode, &SERVERS.authority));
        builder(&lines)
    };
    let proxy = renamed("verify-ca").start();
    assert_eq!(encryption(&proxy), "TLSv1.3");
    proxy.stop();
    is_refused(renamed("verify-full"), "certificate");
}

#[test]
fn tls_on_both_legs_passes_scram_through() {
    // The proxy knows the verifier only, as pg_authid has it: no password.
    let verifier =
        SERVERS.cluster.primary().psql("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'");
    let authority = Authority::new("the proxy's");
    let own = authority.sign("proxy", &["localhost"]);
    let (certificate, key) = (&own.certificate, &own.key);
    let proxy = builder(&trusting("verify-full", &SERVERS.authority))
        .top(&format!("ssl = true\nssl_cert = {certificate:?}\nssl_key = {key:?}"))
        .hba(&["hostssl all all all scram-sha-256"])
        .user("postgres", &verifier.unwrap())
        .start();
    let mut client = program(&proxy, "psql");
    let root = authority.certificate();
    let conninfo = format!(
        "host=localhost hostaddr=127.0.0.1 password={PASSWORD} channel_binding=require sslmode=verify-full sslrootcert={}",
        root.display()
    );
    client.args(["-XAt", "-d", &conninfo, "-c", "SELECT inet_server_port()", "-c", "CREATE TEMP TABLE t ()"]);
    let finished = run(&mut client, "").ok();
    assert_eq!(finished, format!("{}\nCREATE TABLE\n", SERVERS.cluster.server(1).port()));
    proxy.stop();
}
