//! Decoding of a plugin's configuration, and its description.

use crate::Plugin;
use crate::bindings::lifecycle::exports::waypool::plugin::lifecycle::Description;

/// Decodes the JSON of `lifecycle.init`. The error names the key.
///
/// `{}` (no table in waypool.toml) is the default, so that `()` and other
/// types that no JSON object decodes to work as a `Config`.
pub fn decode<C>(json: &str) -> Result<C, String>
where
    C: serde::de::DeserializeOwned + Default,
{
    if json.trim().is_empty() || json.trim() == "{}" {
        return Ok(C::default());
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        match path.as_str() {
            // The whole document: an unknown key, say, which the cause names.
            "." => format!("configuration: {cause}"),
            key => format!("configuration key `{key}`: {cause}"),
        }
    })
}

/// `lifecycle.describe`
pub fn describe<P: Plugin>() -> Description {
    Description { about: P::ABOUT.to_owned(), config: encode(&P::Config::default()) }
}

/// A configuration as JSON; `{}` for types which are no JSON object, as `()`.
fn encode<C: serde::Serialize>(config: &C) -> String {
    match serde_json::to_string(config) {
        Ok(json) if json.starts_with('{') => json,
        _ => "{}".to_owned(),
    }
}

#[cfg(test)]
mod tests;
