//! `[[backend]]`: the servers.

use std::path::{Path, PathBuf};

use super::keys::{self, Kind};
use super::model::{Backend, BackendFlag, Host, SslMode};
use super::section::Section;

/// Pgpool-II's limit.
const MOST: usize = 128;

const SSLMODES: &[(&str, SslMode)] = &[
    ("prefer", SslMode::Prefer),
    ("disable", SslMode::Disable),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

const FLAGS: &[&str] = &["ALLOW_TO_FAILOVER", "DISALLOW_TO_FAILOVER", "ALWAYS_PRIMARY"];

pub(super) fn backends(top: &Section<'_>, source: &Path) -> Vec<Backend> {
    let sections = top.tables("backend", Kind::Backend);
    // What is not an array has been reported already.
    let none_written = top.value("backend").is_none_or(|value| value.get_ref().is_array());
    if sections.is_empty() && none_written {
        top.complain("backend", "there is no [[backend]]: write one for each server, with hostname = \"…\"");
    }
    let backends: Vec<Backend> = sections.iter().map(|section| backend(section, source)).collect();
    for (index, (section, backend)) in sections.iter().zip(&backends).enumerate() {
        check_against_earlier(section, backend, &backends[..index]);
    }
    if let Some(section) = sections.get(MOST) {
        section.complain("hostname", format!("there are more than {MOST} [[backend]]: remove some"));
    }
    backends
}

fn backend(section: &Section<'_>, source: &Path) -> Backend {
    let hostname = hostname(section, source);
    let sslmode = sslmode(section, &hostname);
    let backend = Backend {
        port: section.integer("port", 5432, 1..=65535),
        weight: weight(section),
        flag: flag(section),
        application_name: section.text("application_name", "standby1").map(str::to_owned),
        sslrootcert: sslrootcert(section, sslmode, source),
        sslmode,
        max_connections: match section.integer("max_connections", 0, 0..=1_000_000) {
            0 => None,
            most => Some(most),
        },
        hostname,
    };
    section.finish();
    backend
}

fn hostname(section: &Section<'_>, source: &Path) -> Host {
    let key = "hostname";
    let Some(text) = section.text(key, "localhost") else {
        // A value of another type has been reported already.
        if section.value(key).is_none_or(|value| value.get_ref().is_str()) {
            section.complain(key, "hostname is missing: write hostname = \"…\" in this [[backend]]");
        }
        return Host::Tcp(String::new());
    };
    if text.contains('/') {
        return Host::Unix(super::section::in_folder_of(source, text));
    }
    let is_ipv6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    if let (Some((name, port)), false) = (text.rsplit_once(':'), is_ipv6) {
        section.complain(
            key,
            format!("hostname must not contain a port: write hostname = \"{name}\" and port = {port}"),
        );
    } else if text.contains([',', ' ']) {
        section.complain(key, format!("hostname = \"{text}\" is not one host: write a [[backend]] for each"));
    }
    Host::Tcp(text.to_owned())
}

fn weight(section: &Section<'_>) -> f64 {
    let weight = section.number("weight", 1.0);
    if weight.is_finite() && weight >= 0.0 {
        return weight;
    }
    section.complain("weight", format!("weight must be 0 or more, not {weight}: write weight = 1.0"));
    1.0
}

/// Words that `|` combines, as in pgpool.conf.
fn flag(section: &Section<'_>) -> BackendFlag {
    let mut flag = BackendFlag { allow_to_failover: true, always_primary: false };
    let Some(text) = section.text("flag", "ALLOW_TO_FAILOVER") else {
        return flag;
    };
    let words: Vec<&str> = text.split('|').map(str::trim).collect();
    for word in &words {
        match *word {
            "ALLOW_TO_FAILOVER" => {}
            "DISALLOW_TO_FAILOVER" => flag.allow_to_failover = false,
            "ALWAYS_PRIMARY" => flag.always_primary = true,
            _ => {
                let advice = match keys::nearest(word, FLAGS) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("write {}, or several with | between them", keys::one_of(FLAGS)),
                };
                section.complain("flag", format!("flag \"{word}\" is unknown: {advice}"));
            }
        }
    }
    if words.contains(&"ALLOW_TO_FAILOVER") && words.contains(&"DISALLOW_TO_FAILOVER") {
        section.complain(
            "flag",
            "flag cannot be both ALLOW_TO_FAILOVER and DISALLOW_TO_FAILOVER: keep one of them",
        );
    }
    flag
}

fn sslmode(section: &Section<'_>, hostname: &Host) -> SslMode {
    let mode = section.choice("sslmode", SslMode::Prefer, SSLMODES, &["allow"]);
    match (hostname, mode) {
        (Host::Tcp(_), mode) => mode,
        (Host::Unix(_), SslMode::Disable | SslMode::Prefer) => SslMode::Disable,
        (Host::Unix(_), _) => {
            section.complain(
                "sslmode",
                "sslmode cannot be kept on a Unix socket, which never uses TLS: remove the line",
            );
            SslMode::Disable
        }
    }
}

/// Required where certificates are verified, refused where they are not, so
/// that nobody takes `require` for a check.
fn sslrootcert(section: &Section<'_>, sslmode: SslMode, source: &Path) -> Option<PathBuf> {
    let key = "sslrootcert";
    let path = section.file(key, "root.crt", source);
    let verifies = matches!(sslmode, SslMode::VerifyCa | SslMode::VerifyFull);
    match (verifies, &path) {
        (true, None) => section.complain(
            "sslmode",
            "this sslmode needs sslrootcert: write sslrootcert = \"root.crt\", the certificates to trust",
        ),
        (false, Some(_)) => section.complain(
            key,
            "sslrootcert is used with sslmode \"verify-ca\" or \"verify-full\" only: \
             write sslmode = \"verify-full\", or remove sslrootcert",
        ),
        _ => {}
    }
    path
}

fn check_against_earlier(section: &Section<'_>, backend: &Backend, earlier: &[Backend]) {
    let same = |other: &&Backend| other.hostname == backend.hostname && other.port == backend.port;
    let has_name = !matches!(&backend.hostname, Host::Tcp(name) if name.is_empty());
    if has_name && earlier.iter().any(|other| same(&other)) {
        let (host, port) = (&backend.hostname, backend.port);
        section.complain(
            "hostname",
            format!("a second [[backend]] for {host} port {port}: remove it, or change its port"),
        );
    }
    if backend.flag.always_primary && earlier.iter().any(|other| other.flag.always_primary) {
        section
            .complain("flag", "a second [[backend]] with ALWAYS_PRIMARY: only one server can be the primary");
    }
}
