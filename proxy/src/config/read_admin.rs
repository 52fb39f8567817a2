//! `[admin]`: where the running proxy takes orders.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use super::keys::Kind;
use super::model::{Admin, AdminListen, AdminSocket};
use super::section::Section;

pub(super) fn admin(top: &Section<'_>, source: &Path) -> Admin {
    let Some(section) = top.table("admin", Kind::Admin) else {
        return Admin { socket: AdminSocket::Default, listen: None };
    };
    let admin = Admin { socket: socket(&section, source), listen: listen(&section, source) };
    section.finish();
    admin
}

fn socket(section: &Section<'_>, source: &Path) -> AdminSocket {
    let key = "socket";
    if section.value(key).is_none() {
        return AdminSocket::Default;
    }
    match section.path(key, "/run/waypool/waypool.admin", source) {
        Some(path) => AdminSocket::Path(path),
        None => AdminSocket::None,
    }
}

fn listen(section: &Section<'_>, source: &Path) -> Option<AdminListen> {
    let key = "listen";
    let token_file = section.file("token_file", "admin.token", source);
    let Some(address) = section.text(key, "127.0.0.1:9998") else {
        if token_file.is_some() && section.value(key).is_none() {
            section.complain(
                "token_file",
                "token_file is for listen, which is missing: write listen = \"127.0.0.1:9998\", or remove \
                 the line",
            );
        }
        return None;
    };
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
        section.complain(
            key,
            format!("listen must be host:port, not \"{address}\": write listen = \"127.0.0.1:9998\""),
        );
        return None;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if token_file.is_none() && section.value("token_file").is_none() {
        section.complain(
            key,
            "listen needs token_file, a file with the secret that clients have to know: write \
             token_file = \"admin.token\"",
        );
    }
    Some(AdminListen { host, port, token_file: token_file? })
}

/// To be called where clients of the database have no TLS.
pub(super) fn check_without_tls(top: &Section<'_>, listen: &AdminListen) {
    if is_loopback(&listen.host, listen.port) {
        return;
    }
    if let Some(section) = top.table("admin", Kind::Admin) {
        section.complain(
            "listen",
            "without TLS, listen must be a loopback address, or the token could be read on its way: write \
             ssl = true with ssl_cert and ssl_key at the top of the file, or listen = \"127.0.0.1:9998\"",
        );
    }
}

fn is_loopback(host: &str, port: u16) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    // No other name is looked up: the answer could change.
    host == "localhost"
        && (host, port).to_socket_addrs().is_ok_and(|mut all| all.all(|address| address.ip().is_loopback()))
}
