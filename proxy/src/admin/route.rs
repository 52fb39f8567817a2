//! Why did this go there? The answer of `SHOW waypool_route FOR …` and of
//! `waypool explain`.

use crate::plugin::contract::{Effects, Servers};
use crate::proxy::Proxy;
use crate::routing::{Classified, Explained, Route, Scope, Sent};

/// What is told about a statement, by name.
pub type Facts = Vec<(&'static str, String)>;

/// The names of the two columns.
pub const COLUMNS: [&str; 2] = ["item", "value"];

/// What each flag is called in the contract.
pub const EFFECTS: [(Effects, &str); 11] = [
    (Effects::WRITES, "writes"),
    (Effects::LOCKS, "locks"),
    (Effects::SERIALIZABLE, "serializable"),
    (Effects::READ_ONLY, "read-only"),
    (Effects::READ_WRITE, "read-write"),
    (Effects::SESSION_STATE, "session-state"),
    (Effects::MULTIPLE, "multiple"),
    (Effects::UNPARSED, "unparsed"),
    (Effects::TRANSACTION_INSIDE, "transaction-inside"),
    (Effects::PRIMARY_RELATION, "primary-relation"),
    (Effects::UNUSED_DATABASE, "unused-database"),
];

pub fn facts(proxy: &Proxy, scope: &Scope, classified: &Classified, explained: Explained) -> Facts {
    let verdict = classified.verdict();
    let Explained { route, balancer, why } = explained;
    let [classifiers, rewriters] = scope.plugins.text_names(&scope.chain).map(|names| names.join(", "));
    let effects = EFFECTS.iter().filter(|(flag, _)| verdict.effects.contains(*flag));
    let effects: Vec<&str> = effects.map(|(_, name)| *name).collect();
    vec![
        ("server", servers(proxy, route)),
        ("rule", if why.is_empty() { verdict.reason.clone() } else { why }),
        ("verdict", format!("{:?} on {}", verdict.kind, wanted(verdict.servers))),
        ("reason", verdict.reason.clone()),
        ("effects", effects.join(", ")),
        ("reads", verdict.reads.join(", ")),
        ("writes", verdict.writes.join(", ")),
        ("functions", verdict.functions.join(", ")),
        ("tags", verdict.tags.join(", ")),
        ("rewritten", rewritten(&classified.sent)),
        ("classifiers", classifiers),
        ("balancer", balancer),
        ("rewriters", rewriters),
    ]
}

fn wanted(servers: Servers) -> &'static str {
    match servers {
        Servers::Any => "any server",
        Servers::Primary => "the primary",
        Servers::All => "all servers of the session",
    }
}

fn rewritten(sent: &Sent) -> String {
    match sent {
        Sent::AsIs => "no".to_owned(),
        Sent::Refused(refusal) => format!("refused: {} (SQLSTATE {})", refusal.message, refusal.sqlstate),
        Sent::Edited(template) => template.shown(),
    }
}

fn servers(proxy: &Proxy, route: Route) -> String {
    let cluster = &proxy.cluster;
    let named = |id: usize| match cluster.backends.get(id) {
        Some(backend) if cluster.is_primary(id) => format!("{id} ({}, primary)", backend.address()),
        Some(backend) => format!("{id} ({}, {})", backend.address(), backend.role()),
        None => id.to_string(),
    };
    let primary = cluster.primary().map_or_else(|| "none known".to_owned(), |primary| named(primary.id));
    match route {
        Route::Read(id) => named(id),
        Route::Primary => primary,
        Route::All { home: Some(home) } if !cluster.is_primary(home) => format!("{primary}, {}", named(home)),
        Route::All { .. } => primary,
    }
}
