//! `waypool plugin …`, from nothing to a rule in a running proxy and back.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;
use waypool_tests::certificates::Authority;
use waypool_tests::plugins::{built, history, order, told};
use waypool_tests::raw::Raw;
use waypool_tests::{Builder, Proxy, primary_and_standby, wait_until, waypool};

/// Dependencies are compiled once for all tests here.
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tmp/plugin-cli");

fn builder() -> Builder {
    Proxy::builder(primary_and_standby())
}

/// Each new crate has a copy of the SDK, and cargo tells the copies apart by
/// nothing: one crate at a time in the folder that they share.
static CARGO: Mutex<()> = Mutex::new(());

/// `waypool plugin ARGUMENTS` in a folder. Compiling takes as long as it takes.
fn plugin(folder: &Path, arguments: &[&str]) -> Output {
    let runs_cargo = matches!(arguments.first(), Some(&"test" | &"build"));
    let _alone = runs_cargo.then(|| CARGO.lock().unwrap_or_else(PoisonError::into_inner));
    Command::new(waypool())
        .arg("plugin")
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", TARGET)
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// What it printed.
#[track_caller]
fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = plugin(folder, arguments);
    let said = [output.stdout.clone(), output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "waypool plugin {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json(folder: &Path, arguments: &[&str]) -> Json {
    serde_json::from_str(&ok(folder, &[arguments, &["--json"]].concat())).unwrap()
}

/// What it complained about.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = plugin(folder, arguments);
    assert!(!output.status.success(), "waypool plugin {arguments:?} should have failed");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The same plugin as another file: with a custom section more.
fn another(original: &Path, file: &Path) {
    let wasm = [fs::read(original).unwrap().as_slice(), b"\x00\x03\x01x!"].concat();
    fs::write(file, wasm).unwrap();
}

/// The generation in use, and the names.
fn list(proxy: &Proxy) -> (u64, Vec<String>) {
    let list = told(proxy, &["list"]);
    let names = list["plugins"].as_array().unwrap().iter();
    let names = names.map(|plugin| plugin["name"].as_str().unwrap().to_owned()).collect();
    (list["generation"].as_u64().unwrap(), names)
}

/// What a person does who has never seen Waypool, with a rule of their own.
#[test]
fn from_nothing_to_a_rule_in_use_and_back() {
    let proxy = builder().start();
    let folder = proxy.folder();
    ok(folder, &["new", "guard", "--role", "rewriter"]);
    let crate_folder = folder.join("guard");
    ok(&crate_folder, &["test"]);
    let made = json(&crate_folder, &["build"]);
    assert_eq!(made["roles"], serde_json::json!(["rewriter"]));
    assert!(made["size"].as_u64().unwrap() < 400_000, "{made}");
    let first = crate_folder.join("guard.wasm");

    let inspected = ok(&crate_folder, &["inspect", "guard.wasm"]);
    assert!(inspected.contains("rewriter") && inspected.contains("needs_where"), "{inspected}");
    let inspected = json(&crate_folder, &["inspect", "guard.wasm"]);
    assert_eq!(inspected["sha256"], made["sha256"]);
    assert_eq!(inspected["config"]["needs_where"], serde_json::json!(["delete", "update"]));

    let mut session = Raw::login(&proxy);
    session.run("CREATE TABLE plugin_cli (id int)");
    session.run("DELETE FROM plugin_cli");
    order(&proxy, &["push", text(&first), "--why", "the first"]).ok();
    assert_eq!(list(&proxy), (1, ["classify", "balance", "rewrite", "guard"].map(str::to_owned).to_vec()));
    session.run("DELETE FROM plugin_cli");
    let said = order(&proxy, &["swap", "guard", "--why", "no accidents"]).ok();
    assert!(said.contains("[plugins.guard]"), "it is not in the configuration: {said}");
    assert_eq!(session.error("DELETE FROM plugin_cli"), "42501");
    session.run("DELETE FROM plugin_cli WHERE true");
    assert_eq!(list(&proxy), (2, ["guard", "classify", "balance", "rewrite"].map(str::to_owned).to_vec()));

    // A second version that is content with less.
    let rule = crate_folder.join("src/lib.rs");
    let changed =
        fs::read_to_string(&rule).unwrap().replace("[\"delete\", \"update\"].map", "[\"update\"].map");
    fs::write(&rule, changed).unwrap();
    ok(&crate_folder, &["build"]);
    order(&proxy, &["push", text(&first)]).ok();
    order(&proxy, &["swap", "guard"]).ok();
    session.run("DELETE FROM plugin_cli");
    order(&proxy, &["rollback", "guard", "--why", "that was an accident"]).ok();
    assert_eq!(session.error("DELETE FROM plugin_cli"), "42501");
    order(&proxy, &["disable", "guard"]).ok();
    session.run("DELETE FROM plugin_cli");
    order(&proxy, &["enable", "guard"]).ok();
    assert_eq!(session.error("DELETE FROM plugin_cli"), "42501");
    session.run("DROP TABLE plugin_cli");

    let done: Vec<_> = history(&proxy, "guard")
        .into_iter()
        .map(|change| (change.generation, change.action, change.why))
        .collect();
    let line = |generation, action: &str, why: &str| (generation, action.to_owned(), why.to_owned());
    let expected = [
        line(2, "swap", "no accidents"),
        line(3, "swap", ""),
        line(4, "rollback", "that was an accident"),
        line(5, "disable", ""),
        line(6, "enable", ""),
    ];
    assert_eq!(done, expected);
}

/// Each role's template, all in one folder, so that little is compiled twice.
#[test]
fn every_role_builds_and_passes_its_tests() {
    let folder = tempfile::tempdir().unwrap();
    for role in ["classifier", "balancer", "gate", "observer"] {
        ok(folder.path(), &["new", role, "--role", role]);
        ok(folder.path(), &["test", role]);
        let made = json(folder.path(), &["build", role]);
        assert_eq!(made["roles"], serde_json::json!([role]));
    }
    let all = ["classifier", "rewriter", "balancer", "gate", "observer"];
    let roles: Vec<&str> = all.iter().flat_map(|role| ["--role", role]).collect();
    ok(folder.path(), &[&["new", "all"], roles.as_slice()].concat());
    ok(folder.path(), &["test", "all"]);
    let made = json(folder.path(), &["build", "all"]);
    assert_eq!(made["roles"], serde_json::json!(all));
}

#[test]
fn a_candidate_is_shadowed_before_it_is_swapped_in() {
    let proxy = builder().weights(&[0.0, 1.0]).start();
    let file = built("primary_only");
    order(&proxy, &["push", text(&file), "--name", "balance"]).ok();
    order(&proxy, &["shadow", "balance", "--share", "100%"]).ok();
    let mut session = Raw::login(&proxy);
    wait_until("the shadow has differed", || {
        session.run("SELECT 1");
        told(&proxy, &["stats", "balance"])["shadow"]["differed"].as_u64().unwrap() > 0
    });
    let said = order(&proxy, &["stats", "balance"]).ok();
    assert!(said.contains("differed") && said.contains("statement"), "{said}");
    let said = order(&proxy, &["list"]).ok();
    assert!(said.contains("shadow") && said.contains("100%"), "{said}");
    order(&proxy, &["shadow", "balance", "--end"]).ok();
    assert_eq!(told(&proxy, &["stats", "balance"])["shadow"], Json::Null);
    order(&proxy, &["swap", "balance"]).ok();
    assert!(order(&proxy, &["history"]).ok().contains("end of shadow"));
}

#[test]
fn what_goes_wrong_is_told_with_what_to_do() {
    let proxy = builder().start();
    let folder = proxy.folder();
    let nothing = folder.join("letter.wasm");
    fs::write(&nothing, "this is a letter, not a plugin").unwrap();
    assert!(order(&proxy, &["push", text(&nothing)]).error().contains("not WebAssembly"));
    assert!(order(&proxy, &["push", "missing.wasm"]).error().contains("waypool plugin build makes it"));
    assert!(order(&proxy, &["swap", "letter"]).error().contains("waypool plugin push FILE"));
    assert!(order(&proxy, &["rollback", "balance"]).error().contains("no earlier version"));
    assert!(order(&proxy, &["disable", "balance"]).error().contains("swap it instead"));
    assert!(order(&proxy, &["stats", "nobody"]).error().contains("waypool plugin list"));
    assert!(refused(folder, &["inspect", "letter.wasm"]).contains("cannot be loaded: not WebAssembly"));
    assert!(refused(folder, &["build"]).contains("waypool plugin new"));
    assert!(refused(folder, &["new", "Guard"]).contains("a-z"));
    let nowhere = tempfile::tempdir().unwrap();
    assert!(refused(nowhere.path(), &["list"]).contains("-c FILE"));
    let said = refused(nowhere.path(), &["list", "--admin", "unix:/nowhere/socket"]);
    assert!(said.contains("nobody takes orders at unix:/nowhere/socket"), "{said}");
    assert_eq!(list(&proxy).0, 1, "nothing has changed");
}

#[test]
fn over_https_with_a_token() {
    let authority = Authority::new("admin");
    let server = authority.sign("proxy", &["localhost", "127.0.0.1"]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "a token that is long enough\n").unwrap();
    let (certificate, key) = (&server.certificate, &server.key);
    let lines = format!(
        "ssl = true\nssl_cert = {certificate:?}\nssl_key = {key:?}\n\
         admin = {{ listen = \"127.0.0.1:{port}\", token_file = {token:?} }}"
    );
    let _proxy = builder().top(&lines).start();
    let address = format!("https://localhost:{port}");
    let wrong = folder.path().join("wrong");
    fs::write(&wrong, "another token, as long\n").unwrap();
    let (trusted, stranger) = (authority.certificate(), Authority::new("stranger"));
    let ask = |token: &Path, ca: &Path| {
        let arguments = ["list", "--admin", &address, "--token-file", text(token), "--ca-file", text(ca)];
        plugin(folder.path(), &arguments)
    };
    let said = |output: Output| String::from_utf8(output.stderr).unwrap();
    let listed = ask(&token, &trusted);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("classify"), "{}", said(listed));
    assert!(said(ask(&wrong, &trusted)).contains("the token is wrong"));
    let said = said(ask(&token, &stranger.certificate()));
    assert!(said.contains("--ca-file"), "{said}");
}

#[test]
fn with_trusted_keys_only_signed_plugins_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let said = ok(folder.path(), &["keygen", "key.pem"]);
    let public = said.split('"').nth(1).unwrap();
    let proxy = builder().top(&format!("plugins.trusted_keys = [{public:?}]")).start();
    let file = folder.path().join("balance.wasm");
    fs::copy(built("primary_only"), &file).unwrap();
    assert!(order(&proxy, &["push", text(&file)]).error().contains("waypool plugin sign"));
    ok(folder.path(), &["sign", "balance.wasm", "--key", "key.pem"]);
    order(&proxy, &["push", text(&file)]).ok();
    another(&built("primary_only"), &file);
    assert!(order(&proxy, &["push", text(&file)]).error().contains("not for this file"));
}

/// Neither an order nor a signal is needed.
#[test]
fn a_file_that_changes_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("rewrite.wasm");
    fs::copy(built("rewrite"), &file).unwrap();
    let proxy = builder().plugin_entry("rewrite", &format!("path = {file:?}")).start();
    fs::write(&file, "half of a plugin").unwrap();
    proxy.wait_for_log("a plugin's file has changed, but is not taken over");
    assert_eq!(list(&proxy).0, 1);
    another(&built("rewrite"), &file);
    wait_until("the new file is in use", || list(&proxy).0 == 2);
    let last = history(&proxy, "rewrite").pop().unwrap();
    assert_eq!((last.action.as_str(), last.why.as_str()), ("swap", "its file has changed"));
}

#[test]
fn the_cost_of_a_call_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let rows = json(folder.path(), &["bench", text(&built("primary_only"))]);
    let calls: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["call"].as_str().unwrap()).collect();
    assert_eq!(calls, ["plan-session", "route"]);
    assert!(
        rows[1]["nanoseconds"].as_u64().unwrap() > 0 && rows[1]["built_in"].as_u64().unwrap() > 0,
        "{rows}"
    );
}
