//! What the catalog says about the names in a query, and what follows.

use waypool_plugin_sdk::{Effects, FunctionFact, Host, RelationFact, RelationFacts, Volatility};

use crate::pattern::Patterns;
use crate::query::Query;
use crate::words::Name;

/// What says whether a function writes.
#[derive(Debug)]
pub enum Calls {
    /// The catalog: if it is volatile. It says so of operators and views too.
    Catalog,
    /// `read_only_function_list`: unless it matches
    AllBut(Patterns),
    /// `write_function_list`: if it matches
    Only(Patterns),
}

/// Which relations keep a query on the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relations {
    pub catalog: bool,
    pub temporary: bool,
    pub unlogged: bool,
    /// Views that call volatile functions
    pub volatile: bool,
}

impl Relations {
    const NONE: Relations = Relations { catalog: false, temporary: false, unlogged: false, volatile: false };

    /// What of `facts` keeps the query on the primary, in words; and what it
    /// then does.
    fn keeps(self, facts: RelationFacts) -> Option<(Effects, &'static str)> {
        // Some views of the system call volatile functions, and write nothing.
        let catalog = facts.contains(RelationFacts::CATALOG);
        if self.catalog && catalog {
            Some((Effects::PRIMARY_RELATION, "system catalog"))
        } else if self.volatile && !catalog && facts.contains(RelationFacts::VOLATILE) {
            Some((Effects::WRITES, "view of a volatile function"))
        } else if self.temporary && facts.contains(RelationFacts::TEMPORARY) {
            Some((Effects::PRIMARY_RELATION, "temporary table"))
        } else if self.unlogged && facts.contains(RelationFacts::UNLOGGED) {
            Some((Effects::PRIMARY_RELATION, "unlogged table"))
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

/// What it tells is on the primary, like LISTEN.
const LISTENING_CHANNELS: &str = "pg_listening_channels";

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
pub fn judge(query: &Query, calls: &Calls, relations: Relations, host: &Host) -> Option<Finding> {
    let called = judge_calls(query, calls, host);
    let kept = query.reads.iter().map(|name| judge_relation(name, relations, host));
    called.into_iter().chain(kept.flatten()).reduce(least)
}

/// The same for functions and operators alone.
pub fn judge_calls(query: &Query, calls: &Calls, host: &Host) -> Option<Finding> {
    let listed = match calls {
        Calls::Catalog => {
            let functions = query.functions.iter().map(|name| judge_function(name, host));
            let operators = query.operators.iter().map(|name| judge_operator(name, host));
            return functions.chain(operators).flatten().reduce(least);
        }
        Calls::AllBut(read_only) => (read_only, false, "not in read_only_function_list: function"),
        Calls::Only(write) => (write, true, "in write_function_list: function"),
    };
    let (patterns, writes, why) = listed;
    let functions = query.functions.iter().map(Name::display);
    // Its syntax does not tell how a user would write their name.
    let syntax = query.syntax_functions.iter().map(|name| format!("pg_catalog.{name}"));
    let matches = |name: &str| {
        let bare = name.strip_prefix("pg_catalog.").filter(|bare| query.syntax_functions.contains(bare));
        patterns.matches(name) || bare.is_some_and(|bare| patterns.matches(bare))
    };
    let name = functions.chain(syntax).find(|name| matches(name) == writes)?;
    Some(Finding { effects: Effects::WRITES, reason: format!("{why} {name}"), waiting: false })
}

fn least(first: Finding, other: Finding) -> Finding {
    if other.rank() < first.rank() { other } else { first }
}

fn assigns_transaction_id(name: &Name) -> bool {
    ASSIGN_TRANSACTION_ID.contains(&name.name.as_str())
}

fn judge_function(name: &Name, host: &Host) -> Option<Finding> {
    match host.function_fact(name.schema.as_deref(), &name.name) {
        FunctionFact::Found(_) if assigns_transaction_id(name) => {
            volatile("function", &name.display(), false)
        }
        FunctionFact::Found(_) if name.name == LISTENING_CHANNELS => {
            let reason = "notifications come from the primary".to_owned();
            Some(Finding { effects: Effects::PRIMARY_RELATION, reason, waiting: false })
        }
        fact => judge_volatility(fact, "function", || name.display()),
    }
}

fn judge_operator(name: &str, host: &Host) -> Option<Finding> {
    judge_volatility(host.operator_fact(name), "operator", || name.to_owned())
}

fn judge_volatility(fact: FunctionFact, what: &str, name: impl Fn() -> String) -> Option<Finding> {
    match fact {
        FunctionFact::Found(Volatility::Volatile) => volatile(what, &name(), false),
        // What does not exist is an error anywhere.
        FunctionFact::Found(_) | FunctionFact::Missing => None,
        FunctionFact::Unknown => volatile(what, &name(), true),
    }
}

fn volatile(what: &str, name: &str, waiting: bool) -> Option<Finding> {
    let known = if waiting { "waiting for catalog fact:" } else { "volatile" };
    Some(Finding { effects: Effects::WRITES, reason: format!("{known} {what} {name}"), waiting })
}

/// As in Pgpool-II the bare name counts: a temporary table hides a table of
/// the same name, whatever the search_path.
fn judge_relation(name: &Name, relations: Relations, host: &Host) -> Option<Finding> {
    if relations == Relations::NONE {
        return None;
    }
    let ((effects, what), waiting) = match host.relation_fact(None, &name.name) {
        RelationFact::Found(facts) => (relations.keeps(facts)?, false),
        RelationFact::Missing => return None,
        RelationFact::Unknown => {
            // It may be a view that writes.
            let effects = if relations.volatile { Effects::WRITES } else { Effects::PRIMARY_RELATION };
            ((effects, "waiting for catalog fact: relation"), true)
        }
    };
    Some(Finding { effects, reason: format!("{what} {}", name.display()), waiting })
}

#[cfg(test)]
mod tests;
