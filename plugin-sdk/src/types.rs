//! Short ways to make the contract's types.

use crate::{
    Decision, Depends, Effects, Kind, Plan, ReadAfter, Refusal, Servers, SessionPlan, SessionState,
    Transaction, Verdict,
};

impl Verdict {
    /// The answer when in doubt: it may write, so the primary, and nothing is
    /// concluded for other texts.
    pub fn conservative(reason: impl Into<String>) -> Self {
        Verdict {
            depends: Depends::Text,
            kind: Kind::Unknown,
            servers: Servers::Primary,
            effects: Effects::WRITES,
            name: None,
            reads: Vec::new(),
            writes: Vec::new(),
            functions: Vec::new(),
            reason: reason.into(),
        }
    }
}

impl Decision {
    /// `servers` and `node` as given, with the memories as they were.
    pub fn keeping(state: SessionState, servers: Servers, node: u32) -> Self {
        Decision {
            servers,
            node,
            transaction_memory: state.transaction_memory,
            session_memory: state.session_memory,
            tell_end: false,
        }
    }
}

impl SessionPlan {
    /// Reads go to this server, and need not have seen anybody's commits.
    pub fn home(home: u32) -> Self {
        SessionPlan { home, memory: 0, read_after: ReadAfter::Nothing, wait_millis: 0 }
    }
}

impl Plan {
    /// Refuses the statement with an error of this SQLSTATE.
    pub fn reject(sqlstate: impl Into<String>, message: impl Into<String>) -> Self {
        Plan::Reject(Refusal { sqlstate: sqlstate.into(), message: message.into(), hint: None })
    }
}

// The generated types leave these out.

impl Default for Effects {
    fn default() -> Self {
        Effects::empty()
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Transaction {
    fn default() -> Self {
        Transaction::Idle
    }
}
