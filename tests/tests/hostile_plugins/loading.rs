//! What is no plugin, or none for this Waypool, or fails when it is tried out, is
//! not loaded: not at the start, not by a reload, not by a push.

use std::fs;
use std::path::Path;
use std::process::Command;

use waypool_tests::plugins::order;
use waypool_tests::raw::{Raw, read_port};
use waypool_tests::{run, waypool};

use super::*;

/// Waypool's own plugins.
const OWN: [&str; 3] = ["classify", "balance", "rewrite"];

fn not_wasm(folder: &Path) -> String {
    let file = folder.join("notes.wasm");
    fs::write(&file, "this is a letter, not a plugin").unwrap();
    file.display().to_string()
}

#[test]
fn a_file_that_is_no_plugin_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for role in OWN {
        let file = not_wasm(folder.path());
        let log = builder().plugin_entry(role, &format!("path = {file:?}")).start_error();
        assert!(log.contains(&file), "{role}: {log}");
    }
}

#[test]
fn a_file_that_is_no_plugin_is_named_by_waypool_check() {
    let proxy = builder().start();
    let folder = proxy.folder().join("checked");
    fs::create_dir(&folder).unwrap();
    let file = not_wasm(&folder);
    let good = fs::read_to_string(proxy.config_path()).unwrap();
    for role in OWN {
        let bad = format!("{good}\n[plugins.{role}]\npath = {file:?}\n");
        fs::write(folder.join("waypool.toml"), bad).unwrap();
        let mut check = Command::new(waypool());
        check.arg("check").current_dir(&folder).env("XDG_CACHE_HOME", &folder);
        let said = run(&mut check, "").error();
        assert!(said.contains(&file), "{role}: {said}");
    }
}

#[test]
fn a_reload_with_a_bad_plugin_keeps_the_good_one_and_says_why() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    assert_eq!(read_port(&mut session), standby_port());
    let file = not_wasm(proxy.folder());
    let said = proxy.reconfigure(|builder| builder.plugin_entry("classify", &format!("path = {file:?}")));
    assert!(said.contains("reload refused") && said.contains(&file), "{said}");
    assert_eq!(read_port(&mut session), standby_port());
    assert_eq!(read_port(&mut Raw::login(&proxy)), standby_port());
}

#[test]
fn a_reload_takes_over_all_plugins_or_none() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let file = not_wasm(proxy.folder());
    // The new classifier would be fine; it sends everything to the primary.
    let said = proxy.reconfigure(|builder| {
        hostile(builder, "classify", "only = [\"classifier\"]")
            .plugin_entry("rewrite", &format!("path = {file:?}"))
    });
    assert!(said.contains("reload refused") && said.contains(&file), "{said}");
    assert_eq!(read_port(&mut session), standby_port());
}

#[test]
fn a_plugin_that_fails_when_it_is_tried_out_is_not_taken_over() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let said = proxy.reconfigure(|builder| hostile(builder, "classify", "always_trap = true"));
    assert!(said.contains("reload refused") && said.contains("was told to trap always"), "{said}");
    assert_eq!(read_port(&mut session), standby_port());
}

#[test]
fn a_plugin_that_refuses_its_configuration_says_so_at_the_start() {
    let log = hostile(builder(), "classify", "refuse = \"I do not like Mondays\"").start_error();
    assert!(log.contains("I do not like Mondays") && log.contains("hostile.wasm"), "{log}");
    let log = hostile(builder(), "rewrite", "trap_in_init = true").start_error();
    assert!(log.contains("init was told to trap"), "{log}");
}

/// A version of the hostile plugin with other names in it, which are as long.
fn renamed(folder: &Path, from: &str, to: &str) -> String {
    assert_eq!(from.len(), to.len());
    let mut wasm = fs::read(built(HOSTILE)).unwrap();
    let mut found = 0;
    for at in 0..wasm.len() - from.len() {
        if wasm[at..].starts_with(from.as_bytes()) {
            wasm[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not in it");
    let file = folder.join("renamed.wasm");
    fs::write(&file, wasm).unwrap();
    file.display().to_string()
}

/// Tries this file in every way, and returns what is said to it, each time.
#[track_caller]
fn refusals(file: &str, config: &str) -> Vec<String> {
    let entry = format!("path = {file:?}");
    let with = |builder: Builder| builder.plugin_entry("new", &entry).plugin("new", config);
    let at_the_start = with(builder()).start_error();

    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let by_reload = proxy.reconfigure(with);
    assert!(by_reload.contains("reload refused"), "{by_reload}");
    proxy.reconfigure(|_| builder());
    let pushed = order(&proxy, &["push", file, "--name", "new"]);
    // Without its configuration it may be fine.
    let mut said = vec![at_the_start, by_reload];
    if config.is_empty() {
        said.push(pushed.error());
        assert!(proxy.log().contains("push refused"), "{}", proxy.log());
        assert!(!order(&proxy, &["swap", "new"]).success());
    }
    assert_eq!(read_port(&mut session), standby_port());
    said
}

#[test]
fn a_contract_from_the_future_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = renamed(folder.path(), "@0.1.0", "@7.1.0");
    for said in refusals(&file, "") {
        assert!(said.contains("was built for waypool:plugin@7.1.0, and this Waypool speaks 0.1.0"), "{said}");
    }
}

#[test]
fn an_import_that_is_not_granted_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = renamed(folder.path(), "waypool:plugin/store@", "waypool:plugin/socks@");
    for said in refusals(&file, "") {
        assert!(said.contains("imports waypool:plugin/socks@0.1.0, which Waypool does not offer"), "{said}");
    }
}

#[test]
fn what_misbehaves_when_it_is_tried_out_is_told() {
    let file = built(HOSTILE).display().to_string();
    for hook in ["init", "self_test"] {
        for (deed, told) in [
            ("trap", "was told to trap"),
            ("loop", "deadline"),
            ("hog", "memory"),
            ("recurse", "stack"),
            ("error", "was told to fail"),
        ] {
            for said in refusals(&file, &format!("misbehave = {{ {hook} = {deed:?} }}")) {
                assert!(said.contains(told), "{deed} in {hook}: {said}");
            }
        }
    }
}

/// 10 MB of lines at each start of an instance do no harm.
#[test]
fn a_plugin_that_talks_when_it_is_tried_out_is_loaded() {
    let config = "modest = true\nmisbehave = { init = \"flood\", self_test = \"flood\" }";
    let proxy = hostile(builder(), HOSTILE, config).start();
    assert_eq!(read_port(&mut Raw::login(&proxy)), standby_port());
    assert!(lines_dropped(&stats(&proxy)) > 9_000);
    assert!(proxy.log().len() < 2_000_000, "{} bytes of log", proxy.log().len());
}
