//! A plugin's file as the proxy sees it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use waypool_plugin_engine::componentize;

use crate::config::{Config, Plugin};
use crate::plugin::{Options, Origin, PluginHost, PluginSource, Role, is_granted};
use crate::proxy;

/// A server that is never connected to.
pub const CONFIG: &str = "sr_check_user = \"nobody\"\n[[backend]]\nhostname = \"127.0.0.1\"\nport = 1\n";

/// What there is to say about a file.
#[derive(Debug, Serialize)]
pub struct Examined {
    pub file: String,
    /// Bytes.
    pub size: u64,
    pub sha256: String,
    /// One line by its author.
    pub about: String,
    pub roles: Vec<String>,
    /// Versions of `waypool:plugin` that it was built for: one, if all is well.
    pub contract: Vec<String>,
    /// What it asks of the proxy.
    pub imports: Vec<Import>,
    /// The keys of `[plugins.NAME.config]` with their defaults.
    pub config: serde_json::Value,
    /// Why the proxy does not load it, if it does not.
    pub refused: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Import {
    pub name: String,
    pub granted: bool,
}

/// Fails only if the file cannot be read; what is wrong with it stands in
/// `refused`.
pub fn examine(file: &Path) -> anyhow::Result<Examined> {
    let wasm = std::fs::read(file)
        .with_context(|| format!("cannot read {}: waypool plugin build makes a plugin", file.display()))?;
    let mut examined = Examined {
        file: file.display().to_string(),
        size: wasm.len() as u64,
        sha256: Sha256::digest(&wasm).iter().map(|byte| format!("{byte:02x}")).collect(),
        about: String::new(),
        roles: Vec::new(),
        contract: Vec::new(),
        imports: Vec::new(),
        config: serde_json::Value::Null,
        refused: None,
    };
    let looked = look(&wasm, &mut examined).and_then(|()| ask(file, &mut examined));
    examined.refused = looked.err().map(|error| format!("{error:#}"));
    Ok(examined)
}

/// What stands in the file, without running it.
fn look(wasm: &[u8], examined: &mut Examined) -> anyhow::Result<()> {
    let engine = waypool_plugin_engine::engine(1)?;
    let component = Component::from_binary(&engine, &componentize(wasm)?)
        .map_err(|error| anyhow!("it is no valid component: {error:#}"))?;
    let interfaces = component.component_type();
    let imports = interfaces.imports(&engine).map(|(name, _)| name.to_owned());
    examined.imports = imports.map(|name| Import { granted: is_granted(&name), name }).collect();
    for (name, _) in interfaces.exports(&engine) {
        let Some((interface, version)) =
            name.strip_prefix("waypool:plugin/").and_then(|name| name.split_once('@'))
        else {
            continue;
        };
        if Role::ALL.iter().any(|role| role.to_string() == interface) {
            examined.roles.push(interface.to_owned());
        }
        if !examined.contract.iter().any(|known| known == version) {
            examined.contract.push(version.to_owned());
        }
    }
    Ok(())
}

/// What it says of itself.
fn ask(file: &Path, examined: &mut Examined) -> anyhow::Result<()> {
    let config = Config::parse(CONFIG, "inspect.toml").map_err(|errors| anyhow!("{errors}"))?;
    let host = PluginHost::new(proxy::sources(&config), Options::default())?;
    let (roles, _, description) = host.describe(&source(file, &config)?)?;
    examined.roles = roles.iter().map(|role| role.to_string()).collect();
    examined.about = description.about;
    examined.config = serde_json::from_str(&description.config).with_context(|| {
        format!("lifecycle.describe gives a configuration that is no JSON: {}", description.config)
    })?;
    Ok(())
}

/// An entry with the defaults, for this file.
pub fn source(file: &Path, config: &Config) -> anyhow::Result<PluginSource> {
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let entry =
        Plugin::named(name).or_else(|_| Plugin::named("plugin")).map_err(|wrong| anyhow!("{wrong}"))?;
    let rules = Arc::new(config.plugins.clone());
    Ok(PluginSource { entry, origin: Origin::File(file.to_owned()), rules })
}
