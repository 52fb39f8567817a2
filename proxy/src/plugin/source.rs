//! Where a plugin comes from and how it is run: what the configuration says.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::contract::VERSION;
use crate::config::{Plugin, Plugins};

/// What a plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Classifier,
    Rewriter,
    Balancer,
    Gate,
    Observer,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Classifier, Role::Rewriter, Role::Balancer, Role::Gate, Role::Observer];

    /// The interface that a plugin of this role exports.
    pub(super) fn interface(self) -> String {
        format!("waypool:plugin/{self}@{VERSION}")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Role::Classifier => "classifier",
            Role::Rewriter => "rewriter",
            Role::Balancer => "balancer",
            Role::Gate => "gate",
            Role::Observer => "observer",
        })
    }
}

/// The roles of one plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    pub fn contains(self, role: Role) -> bool {
        self.0 & 1 << role as u8 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Roles(roles.into_iter().fold(0, |bits, role| bits | 1 << role as u8))
    }
}

/// "classifier, balancer"
impl fmt::Display for Roles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(|role| role.to_string()).collect();
        formatter.write_str(&names.join(", "))
    }
}

/// Where the plugin's code is.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Inside this program. `precompiled` may be empty or made for another
    /// machine: then `wasm` is compiled.
    Embedded { wasm: &'static [u8], precompiled: &'static [u8] },
    /// A component, or a core module that wit-bindgen made.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Embedded { .. } => formatter.write_str("built in"),
            Origin::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Origin::Embedded { wasm, .. }, Origin::Embedded { wasm: other, .. }) => wasm == other,
            (Origin::File(path), Origin::File(other)) => path == other,
            _ => false,
        }
    }
}

/// One entry of `[plugins]`, and where its code comes from now.
#[derive(Clone, Debug)]
pub struct PluginSource {
    pub entry: Plugin,
    /// Not always the entry's path: a plugin may have been pushed.
    pub origin: Origin,
    /// Whose files are trusted.
    pub rules: Arc<Plugins>,
}

impl PluginSource {
    pub fn name(&self) -> &str {
        &self.entry.name
    }
}
