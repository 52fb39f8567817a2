//! What a text is, and how it is sent: from the statement cache, or from the
//! rewriters and classifiers.

use super::cache::{By, Key};
use super::edit::Template;
use super::{Router, Scope};
use crate::config::OnError;
use crate::plugin::contract::{Depends, Effects, Kind, Plan, Refusal, Servers, Verdict};
use crate::plugin::{About, CallError, FactKey};
use crate::protocol::PgError;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use waypool_scan::Shape;

/// Rounds of asking a classifier and looking up what it wants to know.
pub const FACT_ROUNDS: usize = 3;
/// A longer text is not classified: it goes to the primary.
pub const CLASSIFY_LIMIT: usize = 256 * 1024;
/// Where every server runs every write, a longer text is refused.
pub const REPEATED_LIMIT: usize = 4 * 1024 * 1024;

/// A statement as the plugins see it.
#[derive(Debug)]
pub struct Classified {
    verdict: Verdict,
    /// What it is in truth, since a standby refused it.
    corrected: OnceCell<Verdict>,
    pub sent: Sent,
    /// Of the plugins and of the facts: an entry from before does not hold.
    scope: u32,
    epoch: u64,
}

/// How a text is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    AsIs,
    Edited(Template),
    /// It is not.
    Refused(Refusal),
}

impl Classified {
    pub fn verdict(&self) -> &Verdict {
        self.corrected.get().unwrap_or(&self.verdict)
    }

    /// A standby refused it, as a write for instance: whoever holds this answer,
    /// the cache and prepared statements, takes it for a write from now on.
    pub fn correct(&self) {
        self.corrected.get_or_init(|| Verdict {
            servers: Servers::Primary,
            effects: self.verdict.effects | Effects::WRITES,
            reason: format!("{}, but a standby refused it", self.verdict.reason),
            ..self.verdict.clone()
        });
    }

    /// Something is to be put in with each execution.
    pub fn has_gaps(&self) -> bool {
        matches!(&self.sent, Sent::Edited(template) if template.gaps().next().is_some())
    }

    /// A FunctionCall message: it may do anything.
    pub fn function_call() -> Rc<Self> {
        let mut verdict = Verdict::conservative("function call");
        verdict.kind = Kind::Dml;
        Rc::new(uncached(verdict))
    }

    /// A statement whose text no plugin can look at: too long, or not UTF-8.
    /// A rewriter that wants to see all statements refuses it.
    pub fn unseen(scope: &Scope, why: &str) -> Result<Rc<Self>, PgError> {
        if let Some(plugin) = scope.plugins.insists(&scope.chain) {
            let message = format!("the statement is {why}: plugin \"{plugin}\" cannot look at it");
            let hint = format!("on_error = \"reject\" of [plugins.{plugin}] in waypool.toml wants that.");
            return Err(PgError::error("38000", message).with_hint(hint));
        }
        Ok(Rc::new(uncached(Verdict::conservative(why))))
    }
}

fn uncached(verdict: Verdict) -> Classified {
    Classified { verdict, corrected: OnceCell::new(), sent: Sent::AsIs, scope: u32::MAX, epoch: u64::MAX }
}

struct Asked {
    classified: Classified,
    depends: Depends,
    missing: Vec<FactKey>,
}

impl Asked {
    /// Not to be kept.
    fn once(verdict: Verdict) -> Self {
        Asked { classified: uncached(verdict), depends: Depends::Moment, missing: Vec::new() }
    }
}

impl Router {
    /// Looks by exact text, then by shape.
    pub fn lookup(&mut self, text: &[u8], scope: &Scope) -> Option<Rc<Classified>> {
        let epoch = scope.database.facts.epoch();
        let by_text = Key { scope: scope.number, by: By::Text, bytes: text };
        if let Some(found) = self.cache.get(by_text).filter(|found| found.epoch == epoch) {
            return Some(found.clone());
        }
        self.shape.clear();
        if waypool_scan::shape(text, true, &mut self.shape) == Shape::Exact {
            return None;
        }
        let by_shape = Key { scope: scope.number, by: By::Shape, bytes: &self.shape };
        let found = self.cache.get(by_shape).filter(|found| found.epoch == epoch)?.clone();
        if self.cache.seen_before(by_text) {
            self.cache.insert(by_text, found.clone(), 0);
        }
        Some(found)
    }

    /// Whether an answer made earlier still holds.
    pub fn holds(&self, classified: &Classified, scope: &Scope) -> bool {
        classified.scope == scope.number && classified.epoch == scope.database.facts.epoch()
    }

    /// Asks the plugins once.
    fn ask(&mut self, text: &str, scope: &Scope) -> Result<Asked, PgError> {
        let epoch = scope.database.facts.epoch();
        let about = About::text(&scope.info, &*scope.database.facts);
        let mut sent = Sent::AsIs;
        let rewritten = scope.plugins.rewrite(&scope.chain, text, &about, |plan| edit(&mut sent, text, plan));
        let rewritten = match rewritten {
            Ok(rewritten) => rewritten,
            Err(error) => return on_error(&error).map(Asked::once),
        };
        let sample = match &sent {
            Sent::Edited(template) => Some(template.sample()),
            Sent::AsIs | Sent::Refused(_) => None,
        };
        let text = sample.as_deref().unwrap_or(text);
        let considered = match scope.plugins.classify(&scope.chain, text, &about) {
            Ok(considered) => considered,
            Err(error) => return on_error(&error).map(|verdict| failed(verdict, sent)),
        };
        let mut missing = rewritten.missing;
        missing.extend(considered.missing);
        let depends = rewritten.depends.max(considered.depends);
        // An answer for this moment does not hold for the next execution of a
        // prepared statement, nor does a careful one.
        let lasts = depends != Depends::Moment && missing.is_empty();
        let classified = Classified {
            verdict: considered.answer,
            corrected: OnceCell::new(),
            sent,
            scope: if lasts { scope.number } else { u32::MAX },
            epoch,
        };
        Ok(Asked { classified, depends, missing })
    }

    /// What the plugins would know of the catalog, to say what a text is.
    pub fn missing(&mut self, text: &[u8], scope: &Scope) -> Vec<FactKey> {
        if self.lookup(text, scope).is_some() {
            return Vec::new();
        }
        let asked = std::str::from_utf8(text).ok().and_then(|text| self.ask(text, scope).ok());
        asked.map(|asked| asked.missing).unwrap_or_default()
    }

    fn keep(&mut self, text: &[u8], depends: Depends, classified: &Rc<Classified>) {
        let verdict = &classified.verdict;
        let names =
            verdict.reads.iter().chain(&verdict.writes).chain(&verdict.functions).chain(&verdict.tags);
        let cost = names.map(|name| name.len() + 24).sum::<usize>() + verdict.reason.len() + 128;
        let cost = match &classified.sent {
            Sent::AsIs => cost,
            Sent::Edited(_) | Sent::Refused(_) => cost + text.len() + 128,
        };
        let scope = classified.scope;
        self.shape.clear();
        let by_shape = depends == Depends::Shape;
        if by_shape && waypool_scan::shape(text, true, &mut self.shape) != Shape::Exact {
            let key = Key { scope, by: By::Shape, bytes: &self.shape };
            self.cache.insert(key, classified.clone(), cost);
        } else {
            self.cache.insert(Key { scope, by: By::Text, bytes: text }, classified.clone(), cost);
        }
    }
}

/// One rewriter's plan, on top of those before. Returns the text for the next
/// rewriter; `None`: there is no next one.
fn edit(sent: &mut Sent, text: &str, plan: Plan) -> Result<Option<String>, String> {
    match plan {
        Plan::Keep(_) => Ok(None),
        Plan::Reject(refusal) => {
            *sent = Sent::Refused(refusal);
            Ok(None)
        }
        Plan::Edit(edits) => {
            let edited = match sent {
                Sent::Edited(template) => template.edit(&edits)?,
                Sent::AsIs | Sent::Refused(_) => Template::new(text).edit(&edits)?,
            };
            let sample = edited.sample();
            *sent = Sent::Edited(edited);
            Ok(Some(sample))
        }
    }
}

/// The classifiers failed after the rewriters had not.
fn failed(verdict: Verdict, sent: Sent) -> Asked {
    let asked = Asked::once(verdict);
    Asked { classified: Classified { sent, ..asked.classified }, ..asked }
}

/// A plugin failed: what its configuration says about that.
pub(super) fn on_error(error: &CallError) -> Result<Verdict, PgError> {
    match error.on_error {
        OnError::Primary => Ok(Verdict::conservative(error.to_string())),
        OnError::Reject => Err(PgError::error("38000", error.to_string()).with_hint(format!(
            "on_error = \"primary\" of [plugins.{}] in waypool.toml would send the statement to the primary \
             instead.",
            error.plugin
        ))),
    }
}

/// Asks the plugins about a text that the cache does not know, and looks up
/// the facts they want. The router is borrowed between the waits only.
pub async fn classify(
    router: &RefCell<Router>,
    text: &[u8],
    scope: &Scope,
) -> Result<Rc<Classified>, PgError> {
    let Ok(utf8) = std::str::from_utf8(text) else {
        return Classified::unseen(scope, "not valid UTF-8");
    };
    let mut round = 0;
    loop {
        let asked = router.borrow_mut().ask(utf8, scope)?;
        round += 1;
        let facts = &scope.database.facts;
        if !asked.missing.is_empty() && round < FACT_ROUNDS && facts.fetch(&asked.missing).await {
            continue;
        }
        let classified = Rc::new(asked.classified);
        let mut router = router.borrow_mut();
        router.host.note_text(utf8);
        if asked.missing.is_empty() && asked.depends != Depends::Moment {
            router.keep(text, asked.depends, &classified);
        }
        return Ok(classified);
    }
}
