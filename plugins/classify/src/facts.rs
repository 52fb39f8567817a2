//! What the catalog says about the names in a query, and what follows.

use waypool_plugin_sdk::{Effects, FunctionFact, Host, RelationFact, RelationFacts, Volatility};

use crate::words::Name;

/// Which relations keep a query on the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relations {
    pub catalog: bool,
    pub temporary: bool,
    pub unlogged: bool,
}

impl Relations {
    /// What of `facts` keeps the query on the primary, in words.
    fn keeps(self, facts: RelationFacts) -> Option<&'static str> {
        if self.catalog && facts.contains(RelationFacts::CATALOG) {
            Some("system catalog")
        } else if self.temporary && facts.contains(RelationFacts::TEMPORARY) {
            Some("temporary table")
        } else if self.unlogged && facts.contains(RelationFacts::UNLOGGED) {
            Some("unlogged table")
        } else {
            None
        }
    }
}

/// Why a query has to run on the primary.
#[derive(Debug)]
pub struct Finding {
    pub effects: Effects,
    pub reason: String,
    /// A fact is not known yet: the answer is for now only.
    pub waiting: bool,
}

impl Finding {
    /// The least decides. A possible write goes before a certain read of a
    /// relation on the primary: with that the answer would be final.
    fn rank(&self) -> u8 {
        match (self.effects.contains(Effects::WRITES), self.waiting) {
            (true, false) => 0,
            (true, true) => 1,
            (false, false) => 2,
            (false, true) => 3,
        }
    }
}

/// Functions which the catalog calls stable and which assign a transaction ID,
/// which a standby refuses.
const ASSIGN_TRANSACTION_ID: [&str; 2] = ["txid_current", "pg_current_xact_id"];

/// Functions with an effect that outlives the transaction.
const CHANGE_SESSION: [&str; 6] = [
    "set_config",
    "setseed",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
];

/// Does one of the functions change the session?
pub fn change_session(functions: &[Name]) -> bool {
    functions.iter().any(|function| CHANGE_SESSION.contains(&function.name.as_str()))
}

/// Asks for the facts of all names, also after one has decided, so that the
/// proxy can look up all that it does not know in one go. `None`: any server.
pub fn judge(functions: &[Name], tables: &[Name], relations: Relations, host: &dyn Host) -> Option<Finding> {
    let volatile = functions.iter().map(|name| judge_function(name, host));
    let kept = tables.iter().map(|name| judge_relation(name, relations, host));
    volatile.chain(kept).flatten().reduce(
        |first, other| {
            if other.rank() < first.rank() { other } else { first }
        },
    )
}

fn judge_function(name: &Name, host: &dyn Host) -> Option<Finding> {
    let waiting = match host.function_fact(name.schema.as_deref(), &name.name) {
        FunctionFact::Found(Volatility::Volatile) => false,
        FunctionFact::Found(_) if ASSIGN_TRANSACTION_ID.contains(&name.name.as_str()) => false,
        // A function that does not exist is an error anywhere.
        FunctionFact::Found(_) | FunctionFact::Missing => return None,
        FunctionFact::Unknown => true,
    };
    let what = if waiting { "waiting for catalog fact: function" } else { "volatile function" };
    Some(Finding { effects: Effects::WRITES, reason: format!("{what} {}", name.display()), waiting })
}

/// As in Pgpool-II the bare name counts: a temporary table hides a table of
/// the same name, whatever the search_path.
fn judge_relation(name: &Name, relations: Relations, host: &dyn Host) -> Option<Finding> {
    if relations == (Relations { catalog: false, temporary: false, unlogged: false }) {
        return None;
    }
    let (what, waiting) = match host.relation_fact(None, &name.name) {
        RelationFact::Found(facts) => (relations.keeps(facts)?, false),
        RelationFact::Missing => return None,
        RelationFact::Unknown => ("waiting for catalog fact: relation", true),
    };
    Some(Finding {
        effects: Effects::PRIMARY_RELATION,
        reason: format!("{what} {}", name.display()),
        waiting,
    })
}

#[cfg(test)]
mod tests;
