//! Plugins of a running proxy: what `waypool plugin` does with them, and the
//! witness, a plugin of which tests make as many versions as they need.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Finished, run};
use crate::{Builder, Proxy, wait_until, waypool};

/// A plugin that `make plugins` has built.
pub fn built(name: &str) -> PathBuf {
    let file = PathBuf::from(format!("{}/../target/plugins/{name}.wasm", env!("CARGO_MANIFEST_DIR")));
    assert!(file.exists(), "{} is missing: `make plugins` makes it", file.display());
    file
}

/// `waypool plugin …`, asked of this proxy.
pub fn order(proxy: &Proxy, words: &[&str]) -> Finished {
    run(Command::new(waypool()).arg("plugin").args(words).arg("-c").arg(proxy.config_path()), "")
}

/// The JSON that it prints; panics when it fails.
#[track_caller]
pub fn told(proxy: &Proxy, words: &[&str]) -> Value {
    let said = order(proxy, &[words, &["--json"]].concat()).ok();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Posts to the admin socket, without a program between that takes its time;
/// panics when the proxy refuses.
#[track_caller]
pub fn post(proxy: &Proxy, address: &str, body: &Value) {
    let socket = proxy.folder().join(format!(".s.WAYPOOL.{}", proxy.port()));
    let mut stream = UnixStream::connect(&socket).expect("the proxy takes orders");
    let body = body.to_string();
    let length = body.len();
    let head = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json";
    let request = format!("POST {address} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).expect("the proxy reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the proxy answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{address}: {answer}");
}

/// What a plugin has done since the proxy was started.
#[derive(Debug)]
pub struct Stats(pub Value);

impl Stats {
    #[track_caller]
    pub fn of(proxy: &Proxy, plugin: &str) -> Stats {
        Stats(told(proxy, &["stats", plugin]))
    }

    /// A counter of its own; 0 if it has never counted.
    pub fn counter(&self, name: &str) -> u64 {
        self.0["counts"]["counters"][name].as_u64().unwrap_or_default()
    }

    /// All its own counters whose names begin so, together.
    pub fn sum(&self, prefix: &str) -> u64 {
        let counters = self.0["counts"]["counters"].as_object().into_iter().flatten();
        counters.filter(|(name, _)| name.starts_with(prefix)).filter_map(|(_, count)| count.as_u64()).sum()
    }

    /// Calls that failed, in whichever way.
    pub fn failures(&self) -> u64 {
        let failures = self.0["counts"]["failures"].as_object().into_iter().flatten();
        failures.filter_map(|(_, count)| count.as_u64()).sum()
    }
}

/// A line of the history of plugins, without when and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub generation: u64,
    pub action: String,
    pub sha256: String,
    pub why: String,
}

/// The history of one plugin, oldest first.
#[track_caller]
pub fn history(proxy: &Proxy, plugin: &str) -> Vec<Change> {
    let text = |change: &Value, key: &str| change[key].as_str().expect("a text").to_owned();
    let history = told(proxy, &["history"]);
    let lines = history.as_array().expect("a list").iter().filter(|change| change["plugin"] == plugin);
    lines
        .map(|change| {
            assert!(!text(change, "who").is_empty() && !text(change, "when").is_empty(), "{change}");
            Change {
                generation: change["generation"].as_u64().expect("a number"),
                action: text(change, "action"),
                sha256: text(change, "sha256"),
                why: text(change, "why"),
            }
        })
        .collect()
}

/// examples/witness: its versions, as files.
#[derive(Debug)]
pub struct Witness {
    original: Vec<u8>,
    folder: TempDir,
}

/// The name under which tests configure it.
pub const WITNESS: &str = "witness";
/// Three digits and the mood follow it in the file.
const MARK: &[u8] = b"waypool-witness:";

impl Default for Witness {
    fn default() -> Self {
        let original = fs::read(built(WITNESS)).expect("the witness can be read");
        Witness { original, folder: tempfile::tempdir().expect("a temporary folder") }
    }
}

impl Witness {
    /// A version that does what it should.
    pub fn sound(&self, version: u32) -> PathBuf {
        self.version(version, "sound")
    }

    /// A version in this mood: see examples/witness/src/stamp.rs.
    pub fn version(&self, version: u32, mood: &str) -> PathBuf {
        let stamp = format!("{version:03}:{mood:10}");
        let mut wasm = self.original.clone();
        let places: Vec<usize> = wasm
            .windows(MARK.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == MARK)
            .map(|(at, _)| at)
            .collect();
        let [at] = places[..] else { panic!("the witness has {} stamps", places.len()) };
        let at = at + MARK.len();
        wasm[at..at + stamp.len()].copy_from_slice(stamp.as_bytes());
        self.file(&format!("{version:03}-{mood}"), &wasm)
    }

    /// Any bytes, as a file.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.folder.path().join(format!("{name}.wasm"));
        fs::write(&file, bytes).expect("a file");
        file
    }

    /// Only the first bytes of it.
    pub fn torso(&self) -> PathBuf {
        self.file("torso", &self.original[..self.original.len() / 2])
    }

    /// A proxy that has version 1.
    pub fn in_use(&self, builder: Builder) -> Builder {
        builder.plugin_entry(WITNESS, &format!("path = {:?}", self.sound(1)))
    }

    /// Sends a version to the proxy, and puts it into use; its digest.
    #[track_caller]
    pub fn swap(&self, proxy: &Proxy, version: u32, mood: &str) -> String {
        let sha256 = self.push(proxy, version, mood);
        let why = format!("version {version}");
        order(proxy, &["swap", WITNESS, "--sha256", &sha256, "--why", &why]).ok();
        sha256
    }

    /// Sends a version to the proxy; its digest.
    #[track_caller]
    pub fn push(&self, proxy: &Proxy, version: u32, mood: &str) -> String {
        let file = self.version(version, mood);
        let pushed = told(proxy, &["push", &file.display().to_string(), "--name", WITNESS]);
        pushed["sha256"].as_str().expect("a digest").to_owned()
    }
}

/// What the witness, with `log = true`, was told under this word: `observed` is
/// a statement, `newcomer` a client.
#[track_caller]
pub fn testimonies(proxy: &Proxy, word: &str) -> Vec<Value> {
    let log = proxy.log();
    let mark = format!("{word} {{");
    let lines = log.lines().filter(|line| line.contains("waypool::plugin"));
    let told = lines.filter_map(|line| line.find(&mark).map(|at| &line[at + word.len()..]));
    told.map(|json| {
        // More fields of the log's own stand behind it.
        let first = serde_json::Deserializer::from_str(json).into_iter().next();
        first.expect("a value").unwrap_or_else(|error| panic!("{error}: {json}"))
    })
    .collect()
}

/// Waits until the witness was told of so many statements of the sessions with
/// this application name, and returns them.
#[track_caller]
pub fn observed(proxy: &Proxy, application: &str, count: usize) -> Vec<Value> {
    let seen = || -> Vec<Value> {
        let all = testimonies(proxy, "observed").into_iter();
        all.filter(|seen| seen["application_name"] == application).collect()
    };
    wait_until(&format!("{count} statements are observed"), || seen().len() >= count);
    let seen = seen();
    assert_eq!(seen.len(), count, "{seen:#?}");
    seen
}
