//! Waypool's default balancer: Pgpool-II's rules for streaming replication.
//!
//! Each session has a home, chosen by weight when it starts; its reads go
//! there. In an explicit transaction they do so until it writes, so that a
//! transaction sees its own changes. Everything else goes to the primary, and
//! what changes the session to the primary and the home.

mod config;
mod memory;
mod nodes;

pub use config::{AfterWrite, Config};

use waypool_plugin_sdk::{
    Balancer, Decision, Node, Plugin, Servers, SessionInfo, SessionState, Statement, Transaction,
};

use crate::memory::Memory;
use crate::nodes::Nodes;

#[cfg(test)]
mod tests;

/// The plugin.
#[derive(Debug)]
pub struct Balance {
    load_balance_mode: bool,
    statement_level_load_balance: bool,
    after_write: AfterWrite,
    nodes: Nodes,
}

impl Plugin for Balance {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Self {
            load_balance_mode: config.load_balance_mode,
            statement_level_load_balance: config.statement_level_load_balance,
            after_write: AfterWrite::parse(&config.disable_load_balance_on_write)?,
            nodes: Nodes::default(),
        })
    }
}

impl Balancer for Balance {
    fn topology(&mut self, nodes: &[Node]) {
        self.nodes = Nodes::new(nodes);
    }

    fn session_start(&mut self, _session: &SessionInfo, random: u64) -> u32 {
        match self.load_balance_mode {
            true => self.nodes.choose(random),
            false => self.nodes.primary(),
        }
    }

    fn route(&mut self, statement: Statement, state: SessionState) -> Decision {
        let memory = Memory::before(&state);
        let chosen = match statement.servers {
            Servers::Any if self.may_balance(&state, memory) => Some(self.server_for_read(&state)),
            Servers::All if self.load_balance_mode && !memory.primary_alone() => Some(state.home),
            Servers::Any | Servers::All | Servers::Primary => None,
        };
        let apart = |node: &u32| self.nodes.is_usable(*node) && !self.nodes.is_primary(*node);
        let (servers, node) = match chosen.filter(apart) {
            Some(node) => (statement.servers, node),
            None => (Servers::Primary, self.nodes.primary()),
        };
        let after = memory.after(&statement, state.transaction == Transaction::Idle);
        Decision { servers, node, transaction_memory: after.transaction, session_memory: after.session }
    }
}

impl Balance {
    /// May this session's read go to a server other than the primary now?
    fn may_balance(&self, state: &SessionState, memory: Memory) -> bool {
        let calm = match (state.transaction, self.after_write) {
            // Only the primary knows that the transaction failed.
            (Transaction::Failed, _) => false,
            (_, AfterWrite::Session) => !memory.ever_written(),
            (Transaction::Idle, _) => true,
            (Transaction::Open, AfterWrite::Balance) => true,
            (Transaction::Open, AfterWrite::Transaction) => !memory.written(),
            (Transaction::Open, AfterWrite::LaterTransactions) => !memory.transaction_written(),
        };
        let isolated = state.transaction == Transaction::Open && memory.serializable();
        self.load_balance_mode && calm && !isolated
    }

    /// The home, unless each read chooses anew or the home does not answer.
    fn server_for_read(&self, state: &SessionState) -> u32 {
        match !self.statement_level_load_balance && self.nodes.is_usable(state.home) {
            true => state.home,
            false => self.nodes.choose(state.random),
        }
    }
}

waypool_plugin_sdk::export!(Balance: balancer);
