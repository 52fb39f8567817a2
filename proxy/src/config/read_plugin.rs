//! `[plugins.NAME]`: policy.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use toml::de::DeValue;

use super::keys::Kind;
use super::model::{OnError, Plugin, Plugins};
use super::section::Section;
use super::units::Bare::Milliseconds;

/// A call takes microseconds; but deadlines are wall time, and the thread may
/// have to wait for a processor in the middle of one.
const DEADLINE: Duration = Duration::from_millis(100);
/// Deadlines are counted in ticks of this length.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(1);
const MEMORY_LIMIT: u64 = 64 << 20;
/// All that a 32-bit Wasm memory can hold.
const MOST_MEMORY: u64 = 4 << 30;

pub(super) fn plugins(top: &Section<'_>, source: &Path) -> Plugins {
    let Some(section) = top.table("plugins", Kind::Plugins) else {
        return Plugins { classify: builtin(), balance: builtin(), rewrite: builtin() };
    };
    let plugins = Plugins {
        classify: plugin(&section, "classify", source),
        balance: plugin(&section, "balance", source),
        rewrite: plugin(&section, "rewrite", source),
    };
    section.finish();
    plugins
}

fn builtin() -> Plugin {
    Plugin {
        path: None,
        deadline: DEADLINE,
        memory_limit: MEMORY_LIMIT as usize,
        on_error: OnError::Primary,
        allow_writes_on_standby: false,
        config: Json::Object(Map::new()),
    }
}

fn plugin(plugins: &Section<'_>, name: &'static str, source: &Path) -> Plugin {
    let Some(section) = plugins.table(name, Kind::Plugin) else {
        return builtin();
    };
    let choices = [("primary", OnError::Primary), ("reject", OnError::Reject)];
    let plugin = Plugin {
        path: section.file("path", "my_plugin.wasm", source),
        deadline: deadline(&section),
        memory_limit: section.size("memory_limit", MEMORY_LIMIT, 1 << 20..=MOST_MEMORY) as usize,
        on_error: section.choice("on_error", OnError::Primary, &choices, &[]),
        allow_writes_on_standby: section.boolean("allow_writes_on_standby", false),
        config: config(&section),
    };
    section.finish();
    plugin
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
