//! What the plugin does to its host, and when.

use std::collections::BTreeMap;
use std::hint::black_box;

use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{Error, Host, Level};

/// The functions of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    Init,
    SelfTest,
    Classify,
    Refine,
    Rewrite,
    Topology,
    PlanSession,
    Route,
    Ended,
    Explain,
    SessionStart,
    Observe,
}

/// The ways to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Trap,
    /// An endless loop
    Loop,
    /// Memory without end
    Hog,
    /// A megabyte which is kept, and then a decent answer
    Grow,
    /// Calls without end
    Recurse,
    /// 10 MB of log lines, and then a decent answer
    Flood,
    /// An error, where the hook can answer one
    Error,
    /// An answer that makes no sense
    Garbage,
    /// A refusal that makes no sense, where the hook can refuse
    BadSqlstate,
    /// A text that is none
    InvalidUtf8,
    /// Wait for ever, where the hook can say so
    Wait,
}

/// A word of the configuration, or of a statement.
fn word<'de, T: Deserialize<'de>>(word: &'de str) -> Option<T> {
    let deserializer: StrDeserializer<WordError> = word.into_deserializer();
    T::deserialize(deserializer).ok()
}

/// The order in a statement's comment: `SELECT 1 /* route trap */`.
pub fn in_comment(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("/*")?;
    Some(rest.split_once("*/")?.0.trim())
}

/// `DEED`, or `HOOK DEED` for one hook: `route garbage`. In a comment, too.
pub fn ordered(hook: Hook, said: &str) -> Option<Deed> {
    let said = in_comment(said).unwrap_or(said);
    match said.split_once(' ') {
        Some((wanted, deed)) if word(wanted) == Some(hook) => word(deed),
        Some(_) => None,
        None => word(said),
    }
}

/// Deeds by hook, each after some decent calls of the hook.
#[derive(Debug, Default)]
pub struct Plan {
    deeds: BTreeMap<Hook, Deed>,
    decent_calls: BTreeMap<Hook, u32>,
}

impl Plan {
    pub fn new(deeds: BTreeMap<Hook, Deed>, after: u32) -> Self {
        let decent_calls = deeds.keys().map(|hook| (*hook, after)).collect();
        Self { deeds, decent_calls }
    }

    /// What to do in each call of the hook.
    pub fn always(&self, hook: Hook) -> Option<Deed> {
        self.deeds.get(&hook).copied()
    }

    /// What to do in this call of the hook.
    pub fn next(&mut self, hook: Hook) -> Option<Deed> {
        match self.decent_calls.get_mut(&hook) {
            Some(0) | None => self.always(hook),
            Some(left) => {
                *left -= 1;
                None
            }
        }
    }
}

/// Does what needs no answer, if it comes back at all. What is left for the
/// hook to answer is handed back.
pub fn commit(deed: Deed, ballast: &mut Vec<Vec<u8>>, host: &Host) -> Result<Option<Deed>, Error> {
    match deed {
        Deed::Trap => panic!("was told to trap"),
        Deed::Loop => loop {
            black_box(());
        },
        Deed::Hog => loop {
            ballast.push(black_box(vec![1; 1 << 20]));
        },
        Deed::Grow => ballast.push(black_box(vec![1; 1 << 20])),
        Deed::Recurse => {
            black_box(recurse(1));
        }
        Deed::Flood => flood(host),
        Deed::Error => return Err("was told to fail".into()),
        Deed::Garbage | Deed::BadSqlstate | Deed::InvalidUtf8 | Deed::Wait => return Ok(Some(deed)),
    }
    Ok(None)
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    recurse(black_box(depth + 1)) + depth
}

fn flood(host: &Host) {
    let line = "all work and no play makes Jack a dull boy; ".repeat(23);
    for _ in 0..10_000_000 / line.len() {
        host.log(Level::Error, &line);
    }
}

/// A `String` whose bytes are no UTF-8.
pub fn invalid_utf8() -> String {
    // SAFETY: this breaks what `String` promises. It is handed to the proxy as
    // it is, by code which only looks at its pointer and its length.
    unsafe { String::from_utf8_unchecked(vec![0xc3, 0x28, 0xff]) }
}
