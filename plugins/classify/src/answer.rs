//! Short ways to make verdicts.

use waypool_plugin_sdk::{Depends, Effects, Kind, Servers, Verdict};

use crate::words::Name;

/// A verdict that holds for this text, about no names.
pub fn answer(kind: Kind, servers: Servers, effects: Effects, reason: &str) -> Verdict {
    Verdict {
        depends: Depends::Text,
        kind,
        servers,
        effects,
        name: None,
        reads: Vec::new(),
        writes: Vec::new(),
        functions: Vec::new(),
        tags: Vec::new(),
        reason: reason.to_owned(),
    }
}

/// A statement that changes something on the primary.
pub fn write(kind: Kind, reason: &str) -> Verdict {
    answer(kind, Servers::Primary, Effects::WRITES, reason)
}

/// Not understood: it may be anything, so it must be a write.
pub fn unparsed(reason: &str) -> Verdict {
    let effects = Effects::WRITES | Effects::UNPARSED;
    answer(Kind::Unknown, Servers::Primary, effects, reason)
}

/// The names in the form that a verdict has.
pub fn displayed(names: Vec<Name>) -> Vec<String> {
    if names.is_empty() {
        return Vec::new();
    }
    names.into_iter().map(Name::into_display).collect()
}
