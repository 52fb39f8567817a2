#![allow(clippy::unwrap_used)]

//! Orders to a proxy without servers and sessions, by hand-written HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::handover::Inherited;
use crate::proxy::embedded;

/// A balancer, and one that differs from it in its digest alone.
const BALANCER: &[u8] = embedded::PRIMARY_ONLY.0;

struct Desk {
    folder: TempDir,
    socket: PathBuf,
    _endpoint: Endpoint,
}

/// `admin` and `plugins`: lines of the two tables.
fn desk_with(admin: &str, plugins: &str) -> Result<Desk, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "a-token-that-is-long-enough\n").unwrap();
    std::fs::write(folder.path().join("short"), "short\n").unwrap();
    let text = format!(
        "backend_clustering_mode = \"raw\"\nworker_threads = 1\n[[backend]]\nhostname = \"127.0.0.1\"\nport = 1\n\
         [admin]\nsocket = \"admin\"\n{admin}\n[plugins]\n{plugins}\n"
    );
    let config =
        Config::parse(&text, folder.path().join("waypool.toml")).map_err(|errors| errors.to_string())?;
    let socket = config.admin_socket().unwrap();
    let proxy = Proxy::new(config).unwrap();
    let endpoint =
        Endpoint::start(&proxy, &mut Inherited::default()).map_err(|error| error.to_string())?.unwrap();
    Ok(Desk { folder, socket, _endpoint: endpoint })
}

fn desk() -> Desk {
    desk_with("", "").unwrap()
}

/// Another file that is the same plugin: with a custom section more.
fn another(wasm: &[u8]) -> Vec<u8> {
    [wasm, b"\x00\x03\x01x!"].concat()
}

fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn answer(mut stream: impl Read + Write, request: &[u8]) -> (u16, Json) {
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

impl Desk {
    fn ask(&self, line: &str, body: &[u8]) -> (u16, Json) {
        answer(UnixStream::connect(&self.socket).unwrap(), &request(line, "", body))
    }

    #[track_caller]
    fn ok(&self, line: &str, body: &[u8]) -> Json {
        let (status, json) = self.ask(line, body);
        assert_eq!(status, 200, "{line}: {json}");
        json
    }

    /// The status and the error.
    fn refused(&self, line: &str, body: &[u8]) -> (u16, String) {
        let (status, json) = self.ask(line, body);
        (status, json["error"].as_str().unwrap_or_else(|| panic!("{line}: {json}")).to_owned())
    }

    fn plugin(&self, name: &str) -> Json {
        self.ok(&format!("GET /v1/plugins/{name}/stats"), b"")
    }

    /// What was done, by whom and why, without the start.
    fn history(&self) -> Vec<[String; 4]> {
        let history = self.ok("GET /v1/history", b"");
        let text = |change: &Json, key: &str| change[key].as_str().unwrap().to_owned();
        let lines = history.as_array().unwrap().iter();
        let lines = lines.map(|change| ["plugin", "action", "who", "why"].map(|key| text(change, key)));
        lines.filter(|line| line[1] != "start").collect()
    }
}

fn me() -> String {
    caller::Caller::Unix { uid: rustix::process::geteuid().as_raw() }.to_string()
}

#[test]
fn waypools_own_plugins_are_listed() {
    let list = desk().ok("GET /v1/plugins", b"");
    assert_eq!(list["generation"], 1);
    let names: Vec<_> = list["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["name"]).collect();
    assert_eq!(names, ["classify", "balance", "rewrite"]);
    let classify = &list["plugins"][0];
    assert_eq!(classify["roles"], json!(["classifier"]));
    assert_eq!(classify["state"], "active");
    assert_eq!(classify["origin"], "built in");
    assert_eq!(classify["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(classify["limits"]["deadline"], "100ms");
}

#[test]
fn the_socket_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let desk = desk();
    let mode = std::fs::metadata(&desk.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let socket = desk.socket.clone();
    drop(desk);
    assert!(!socket.exists());
}

#[test]
fn pushed_swapped_and_rolled_back() {
    let desk = desk();
    let before = desk.plugin("balance")["sha256"].clone();
    let pushed = desk.ok("POST /v1/plugins/balance?why=trying%20it", BALANCER);
    assert_eq!(pushed["roles"], json!(["balancer"]));
    let file = PathBuf::from(pushed["file"].as_str().unwrap());
    assert_eq!(file.parent().unwrap(), desk.folder.path().join("plugins.pushed"));
    assert_eq!(std::fs::read(&file).unwrap(), BALANCER);

    let waiting = desk.plugin("balance");
    assert_eq!(waiting["sha256"], before, "it is not in use yet");
    assert_eq!(waiting["candidate"], pushed["sha256"]);

    let wrong = json!({ "sha256": "0", "why": "no" }).to_string();
    let (status, error) = desk.refused("POST /v1/plugins/balance/swap", wrong.as_bytes());
    assert_eq!(status, 409, "{error}");
    let order = json!({ "sha256": pushed["sha256"], "why": "it is better" }).to_string();
    assert_eq!(desk.ok("POST /v1/plugins/balance/swap", order.as_bytes()), json!({ "generation": 2 }));
    let swapped = desk.plugin("balance");
    assert_eq!(swapped["sha256"], pushed["sha256"]);
    assert_eq!(swapped["since"], 2);
    assert_eq!(swapped["earlier"], before);
    assert_eq!(swapped["candidate"], Json::Null);
    assert_eq!(swapped["origin"], pushed["file"]);

    assert_eq!(desk.ok("POST /v1/plugins/balance/rollback", b""), json!({ "generation": 3 }));
    assert_eq!(desk.plugin("balance")["sha256"], before);
    let line = |action: &str, why: &str| ["balance", action, &me(), why].map(str::to_owned);
    assert_eq!(desk.history(), [line("swap", "it is better"), line("rollback", "")]);
}

#[test]
fn a_new_name_is_asked_before_waypools_own() {
    let desk = desk();
    desk.ok("POST /v1/plugins/mine", BALANCER);
    assert_eq!(desk.plugin("mine")["state"], "new");
    desk.ok("POST /v1/plugins/mine/swap", b"");
    let list = desk.ok("GET /v1/plugins", b"");
    let names: Vec<_> = list["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["name"]).collect();
    assert_eq!(names, ["mine", "classify", "balance", "rewrite"]);
    desk.ok("POST /v1/plugins/mine/disable", b"{\"why\": \"enough\"}");
    assert_eq!(desk.plugin("mine")["state"], "disabled");
    desk.ok("POST /v1/plugins/mine/enable", b"");
    assert_eq!(desk.plugin("mine")["state"], "active");
}

#[test]
fn a_shadow_comes_and_goes() {
    let desk = desk();
    desk.ok("POST /v1/plugins/balance", BALANCER);
    let (status, error) = desk.refused("POST /v1/plugins/balance/shadow", b"{}");
    assert_eq!((status, error.as_str()), (400, "there is no share"));
    let (status, _) = desk.refused("POST /v1/plugins/balance/shadow", b"{\"share\": 7}");
    assert_eq!(status, 400);
    desk.ok("POST /v1/plugins/balance/shadow", b"{\"share\": 0.5}");
    assert_eq!(desk.plugin("balance")["shadow"]["share"], 0.5);
    desk.ok("DELETE /v1/plugins/balance/shadow", b"");
    assert_eq!(desk.plugin("balance")["shadow"], Json::Null);
}

#[test]
fn what_cannot_be_done_is_told() {
    let desk = desk();
    let status = |line: &str, body: &[u8]| desk.refused(line, body).0;
    assert_eq!(status("GET /v1/plugins/nobody/stats", b""), 404);
    assert_eq!(status("GET /v1/nothing", b""), 404);
    assert_eq!(status("DELETE /v1/plugins", b""), 405);
    assert_eq!(status("POST /v1/plugins/balance/rollback", b""), 409);
    assert_eq!(status("POST /v1/plugins/balance/disable", b""), 409);
    assert_eq!(status("POST /v1/plugins/balance/enable", b""), 409);
    assert_eq!(status("POST /v1/plugins/mine/swap", b""), 409);
    assert_eq!(status("POST /v1/plugins/balance/swap", b"{\"wy\": \"\"}"), 400);
    assert_eq!(status("POST /v1/plugins/Balance", BALANCER), 400);
    assert_eq!(status("POST /v1/plugins/trusted_keys", BALANCER), 400);
    let (status, error) = desk.refused("POST /v1/plugins/balance", b"#!/bin/sh");
    assert_eq!(status, 422);
    assert!(error.contains("not WebAssembly"), "{error}");
    let kept: Vec<_> = std::fs::read_dir(desk.folder.path().join("plugins.pushed")).unwrap().collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn keys_count_for_pushed_files_too() {
    use base64::Engine;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let public = encode(pair.public_key().as_ref());
    let desk = desk_with("", &format!("trusted_keys = [\"{public}\"]")).unwrap();
    let push = |headers: &str| {
        let stream = UnixStream::connect(&desk.socket).unwrap();
        answer(stream, &request("POST /v1/plugins/balance", headers, BALANCER))
    };
    let (status, answer) = push("");
    assert_eq!(status, 403, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("no signature"), "{answer}");
    let of_another = encode(pair.sign(b"another").as_ref());
    assert_eq!(push(&format!("Waypool-Signature: {of_another}\r\n")).0, 403);
    let signature = encode(pair.sign(BALANCER).as_ref());
    let (status, answer) = push(&format!("Waypool-Signature: {signature}\r\n"));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn only_the_newest_files_are_kept() {
    let desk = desk();
    let mut wasm = BALANCER.to_vec();
    for _ in 0..13 {
        wasm = another(&wasm);
        desk.ok("POST /v1/plugins/balance", &wasm);
    }
    let kept = std::fs::read_dir(desk.folder.path().join("plugins.pushed")).unwrap().count();
    assert_eq!(kept, 10);
}

#[test]
fn over_tcp_the_token_counts() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let desk = desk_with(&format!("listen = \"127.0.0.1:{port}\"\ntoken_file = \"token\""), "").unwrap();
    let ask = |headers: &str| {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        answer(stream, &request("POST /v1/plugins/balance", headers, BALANCER)).0
    };
    assert_eq!(ask(""), 401);
    assert_eq!(ask("Authorization: Bearer wrong\r\n"), 401);
    assert_eq!(ask("Authorization: Bearer a-token-that-is-long-enough\r\n"), 200);
    // It is read for each order.
    std::fs::write(desk.folder.path().join("token"), "another-that-is-long-too").unwrap();
    assert_eq!(ask("Authorization: Bearer a-token-that-is-long-enough\r\n"), 401);
    assert_eq!(ask("Authorization: Bearer another-that-is-long-too\r\n"), 200);
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let token = "Authorization: Bearer another-that-is-long-too\r\n";
    answer(stream, &request("POST /v1/plugins/balance/swap", token, b""));
    assert_eq!(desk.history()[0][2], "http:127.0.0.1");
}

#[test]
fn a_short_token_is_refused_at_the_start() {
    let error = desk_with("listen = \"127.0.0.1:1\"\ntoken_file = \"short\"", "").err().unwrap();
    assert!(error.contains("openssl rand -hex 32"), "{error}");
}

#[test]
fn a_socket_in_use_is_told_and_one_left_behind_is_replaced() {
    let desk = desk();
    let socket: &Path = &desk.socket;
    let text = format!(
        "backend_clustering_mode = \"raw\"\n[[backend]]\nhostname = \"127.0.0.1\"\n[admin]\nsocket = {socket:?}\n"
    );
    let open = || Sockets::open(&Config::parse(&text, "waypool.toml").unwrap(), &mut Inherited::default());
    assert!(open().err().unwrap().to_string().contains("cannot listen on the admin socket"));
    let path = desk.socket.clone();
    drop(desk);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(open().unwrap().is_some());
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}
