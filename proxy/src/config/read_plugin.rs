//! `[plugins]` and `[plugins.NAME]`: policy.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use toml::de::DeValue;

use super::keys::{self, Kind};
use super::model::{ClusteringMode, OnError, Plugin, Plugins};
use super::pattern::Pattern;
use super::public_key::PublicKey;
use super::section::{Section, in_folder_of};
use super::units::Bare::Milliseconds;

/// A call takes microseconds; but deadlines are wall time, and the thread may
/// have to wait for a processor in the middle of one.
const DEADLINE: Duration = Duration::from_millis(100);
/// Deadlines are counted in ticks of this length.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(1);
const MEMORY_LIMIT: u64 = 64 << 20;
/// All that a 32-bit Wasm memory can hold.
const MOST_MEMORY: u64 = 4 << 30;

/// As long as a PostgreSQL identifier.
const LONGEST_NAME: usize = 63;
/// Beside the configuration, unless it says otherwise.
const PUSH_DIRECTORY: &str = "plugins.pushed";

pub(super) fn plugins(top: &Section<'_>, source: &Path) -> Plugins {
    let default = || in_folder_of(source, PUSH_DIRECTORY);
    let Some(section) = top.table("plugins", Kind::Plugins) else {
        let entries = Plugins::OWN.map(own).to_vec();
        return Plugins { entries, trusted_keys: Vec::new(), watch_files: true, push_directory: default() };
    };
    let plugins = Plugins {
        entries: entries(&section, source),
        trusted_keys: trusted_keys(&section),
        watch_files: section.boolean("watch_files", true),
        push_directory: section.path("push_directory", PUSH_DIRECTORY, source).unwrap_or_else(default),
    };
    section.finish();
    plugins
}

/// In the order of the file, with Waypool's own at the end.
fn entries(section: &Section<'_>, source: &Path) -> Vec<Plugin> {
    let mut names: Vec<(usize, &str)> = section
        .entries()
        // Other values than tables are keys, or nearly: `finish` tells.
        .filter(|(name, value, _)| value.get_ref().is_table() && !keys::PLUGINS.contains(name))
        .map(|(name, _, span)| (span.start, name))
        .filter(|(_, name)| !Plugins::OWN.contains(name))
        .collect();
    names.sort_unstable();
    let others = names.into_iter().filter_map(|(_, name)| plugin(section, name, source));
    let own = Plugins::OWN.into_iter().map(|name| plugin(section, name, source).unwrap_or_else(|| own(name)));
    others.chain(own).collect()
}

/// The mode in which every server runs every write by itself, and the proxy puts
/// the rewriter's values in.
pub(super) fn repeating_mode(mode: ClusteringMode) -> Option<&'static str> {
    match mode {
        ClusteringMode::NativeReplication => Some("native_replication"),
        ClusteringMode::SnapshotIsolation => Some("snapshot_isolation"),
        ClusteringMode::StreamingReplication | ClusteringMode::LogicalReplication | ClusteringMode::Raw => {
            None
        }
    }
}

/// Waypool's rewriter has to know of such a mode. A statement that it could not
/// look at would part the servers: it is refused.
pub(super) fn tell_mode(plugins: &mut Plugins, mode: &str) {
    let rewriter = plugins.entries.iter_mut().find(|entry| entry.name == "rewrite" && entry.path.is_none());
    if let Some(entry) = rewriter {
        entry.on_error = OnError::Reject;
        if let Json::Object(config) = &mut entry.config {
            config.entry("backend_clustering_mode").or_insert_with(|| Json::from(mode));
        }
    }
}

/// With the defaults.
fn own(name: &str) -> Plugin {
    Plugin {
        name: name.to_owned(),
        path: None,
        sha256: None,
        deadline: DEADLINE,
        memory_limit: MEMORY_LIMIT as usize,
        on_error: OnError::Primary,
        allow_writes_on_standby: false,
        databases: None,
        users: None,
        application_names: None,
        config: Json::Object(Map::new()),
    }
}

impl Plugin {
    /// One that no configuration mentions, with the defaults. The error says
    /// what names there may be.
    pub fn named(name: &str) -> Result<Self, String> {
        match wrong_name(name) {
            None => Ok(own(name)),
            Some(wrong) => Err(wrong),
        }
    }
}

/// `None`: there is no such table.
fn plugin<'a>(plugins: &Section<'a>, name: &'a str, source: &Path) -> Option<Plugin> {
    let section = plugins.table(name, Kind::Plugin)?;
    if let Some(wrong) = wrong_name(name) {
        section.complain("", wrong);
    }
    let choices = [("primary", OnError::Primary), ("reject", OnError::Reject)];
    let path = section.file("path", "my_plugin.wasm", source);
    if path.is_none() {
        complain_without_path(&section, name);
    }
    let plugin = Plugin {
        name: name.to_owned(),
        path,
        sha256: sha256(&section),
        deadline: deadline(&section),
        memory_limit: section.size("memory_limit", MEMORY_LIMIT, 1 << 20..=MOST_MEMORY) as usize,
        on_error: section.choice("on_error", OnError::Primary, &choices, &[]),
        allow_writes_on_standby: section.boolean("allow_writes_on_standby", false),
        databases: patterns(&section, "databases"),
        users: patterns(&section, "users"),
        application_names: patterns(&section, "application_names"),
        config: config(&section),
    };
    section.finish();
    Some(plugin)
}

/// Names stand in the log, in metrics and in the addresses of the admin socket.
fn wrong_name(name: &str) -> Option<String> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(allowed) {
        return Some(format!(
            "a plugin cannot be called \"{name}\": take 1 to {LONGEST_NAME} of a-z, 0-9, _ and -"
        ));
    }
    if keys::PLUGINS.contains(&name) {
        return Some(format!(
            "a plugin cannot be called {name}, which is a key of [plugins]: take another name"
        ));
    }
    None
}

/// Only Waypool's own can do without.
fn complain_without_path(section: &Section<'_>, name: &str) {
    // A value of another type has been reported already.
    let is_missing = section.value("path").is_none_or(|value| value.get_ref().is_str());
    if is_missing && !Plugins::OWN.contains(&name) {
        let advice = match keys::nearest(name, &Plugins::OWN) {
            Some(near) => format!("did you mean \"{near}\"? Else write path = \"{name}.wasm\""),
            None => format!("write path = \"{name}.wasm\""),
        };
        section.complain("path", format!("[plugins.{name}] has no path: {advice}"));
    }
    if is_missing && section.value("sha256").is_some() {
        section.complain("sha256", "sha256 is that of the file in path, which is missing: remove the line");
    }
}

fn sha256(section: &Section<'_>) -> Option<String> {
    let key = "sha256";
    let text = section.text(key, "…")?;
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    section.complain(
        key,
        format!("{key} must be 64 hexadecimal digits: waypool plugin inspect FILE prints them"),
    );
    None
}

fn patterns(section: &Section<'_>, key: &'static str) -> Option<Vec<Pattern>> {
    let texts = section.strings(key)?;
    if texts.is_empty() {
        section.complain(key, format!("{key} is empty, so that the plugin is never asked: remove the line"));
        return None;
    }
    let mut patterns = Vec::with_capacity(texts.len());
    for (text, _) in &texts {
        match Pattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(wrong) => section.complain(key, format!("{key}: \"{text}\" {wrong}")),
        }
    }
    Some(patterns)
}

fn trusted_keys(section: &Section<'_>) -> Vec<PublicKey> {
    let key = "trusted_keys";
    let mut public_keys = Vec::new();
    for (text, _) in section.strings(key).unwrap_or_default() {
        match PublicKey::parse(&text) {
            Ok(public_key) => public_keys.push(public_key),
            Err(wrong) => section.complain(
                key,
                format!("{key}: \"{text}\" {wrong}: waypool plugin keygen prints the public key to write"),
            ),
        }
    }
    public_keys
}

fn deadline(section: &Section<'_>) -> Duration {
    let deadline = section.duration("deadline", DEADLINE, Milliseconds);
    if deadline >= SHORTEST_DEADLINE {
        return deadline;
    }
    section.complain("deadline", "deadline must be \"1ms\" or more: write deadline = \"10ms\"");
    DEADLINE
}

/// The table as the JSON that the plugin's `init` gets. What it may hold is
/// the plugin's to say.
fn config(section: &Section<'_>) -> Json {
    let Some(table) = section.table("config", Kind::Free) else {
        return Json::Object(Map::new());
    };
    let members = table.entries().map(|(key, value, _)| {
        let json = json(value.get_ref()).unwrap_or_else(|wrong| {
            table.at(value, format!("{key} cannot be handed to the plugin: {wrong}"));
            Json::Null
        });
        (key.to_owned(), json)
    });
    Json::Object(members.collect())
}

fn json(value: &DeValue<'_>) -> Result<Json, String> {
    Ok(match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Boolean(boolean) => Json::Bool(*boolean),
        DeValue::Datetime(moment) => Json::String(moment.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Json::from(number),
            Err(_) => return Err(format!("{integer} does not fit into 64 bits")),
        },
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            match number {
                Some(number) => Json::Number(number),
                None => return Err(format!("{float} is no JSON number")),
            }
        }
        DeValue::Array(array) => {
            let elements: Result<_, _> = array.iter().map(|e| json(e.get_ref())).collect();
            Json::Array(elements?)
        }
        DeValue::Table(table) => {
            let members: Result<_, String> = table
                .iter()
                .map(|(key, value)| Ok((key.get_ref().to_string(), json(value.get_ref())?)))
                .collect();
            Json::Object(members?)
        }
    })
}
