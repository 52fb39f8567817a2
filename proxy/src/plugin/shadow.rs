//! A version of a plugin that is asked as well, for a share of the traffic.
//! Only the answers of the one in use count; how often the shadow's differ is
//! counted, with examples.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::contract::{Opinion, Plan, Routing, Verdict};
use super::generation::Plugin;

const MAX_EXAMPLES: usize = 20;
/// Of an example's statement.
const MAX_TEXT_BYTES: usize = 500;

pub(super) struct Shadow {
    pub plugin: Arc<Plugin>,
    /// Of 2³².
    share: u64,
    asked: AtomicU64,
    differed: AtomicU64,
    failed: AtomicU64,
    examples: Mutex<Vec<Example>>,
}

/// A call that the two versions answered differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub call: &'static str,
    /// Its text, or what the verdict says of it.
    pub statement: String,
    pub live: String,
    pub shadow: String,
}

/// How a shadow does.
#[derive(Clone, Debug)]
pub struct ShadowInfo {
    pub sha256: String,
    /// Between 0 and 1.
    pub share: f64,
    pub asked: u64,
    pub differed: u64,
    /// Calls that it did not survive, or refused.
    pub failed: u64,
    pub examples: Vec<Example>,
}

impl Shadow {
    pub fn new(plugin: Arc<Plugin>, share: f64) -> Self {
        Shadow {
            plugin,
            share: (share * 2f64.powi(32)) as u64,
            asked: AtomicU64::new(0),
            differed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            examples: Mutex::default(),
        }
    }

    /// Whether it is asked this time.
    pub fn is_asked(&self) -> bool {
        u64::from(fastrand::u32(..)) < self.share
    }

    pub fn note_failure(&self) {
        self.asked.fetch_add(1, Relaxed);
        self.failed.fetch_add(1, Relaxed);
    }

    pub fn note<A: Answer>(
        &self,
        call: &'static str,
        statement: impl FnOnce() -> String,
        live: &A,
        shadow: &A,
    ) {
        self.asked.fetch_add(1, Relaxed);
        if live.agrees(shadow) {
            return;
        }
        self.differed.fetch_add(1, Relaxed);
        let mut examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        if examples.len() < MAX_EXAMPLES {
            let mut statement = statement();
            statement.truncate(statement.floor_char_boundary(MAX_TEXT_BYTES));
            let example = Example { call, statement, live: live.show(), shadow: shadow.show() };
            if !examples.contains(&example) {
                examples.push(example);
            }
        }
    }

    pub fn info(&self) -> ShadowInfo {
        ShadowInfo {
            sha256: self.plugin.sha256.clone(),
            share: self.share as f64 / 2f64.powi(32),
            asked: self.asked.load(Relaxed),
            differed: self.differed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            examples: self.examples.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Answers that can be told apart.
pub(super) trait Answer {
    /// They lead to the same.
    fn agrees(&self, other: &Self) -> bool;
    /// For people.
    fn show(&self) -> String;
}

impl Answer for Verdict {
    /// The reason is only for people.
    fn agrees(&self, other: &Self) -> bool {
        *self == Verdict { reason: self.reason.clone(), ..other.clone() }
    }

    fn show(&self) -> String {
        let Verdict { kind, servers, effects, tags, reason, .. } = self;
        format!("{servers:?} ({kind:?}, {effects:?}, tags {tags:?}: {reason})")
    }
}

impl Answer for Opinion {
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Opinion::Answer(verdict), Opinion::Answer(other)) => verdict.agrees(other),
            _ => self == other,
        }
    }

    fn show(&self) -> String {
        match self {
            Opinion::Answer(verdict) => verdict.show(),
            Opinion::Pass(depends) => format!("pass ({depends:?})"),
            Opinion::Refine => "refine".to_owned(),
        }
    }
}

impl Answer for Plan {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Answer for Routing {
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            // Memories are each version's own.
            (Routing::To(this), Routing::To(that)) => {
                (this.servers, this.node, this.tell_end) == (that.servers, that.node, that.tell_end)
            }
            _ => self == other,
        }
    }

    fn show(&self) -> String {
        match self {
            Routing::To(decision) => format!("{:?}, node {}", decision.servers, decision.node),
            other => format!("{other:?}"),
        }
    }
}
