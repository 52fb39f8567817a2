//! Where statements go, and whether one version decided all of a transaction.

use waypool_plugin_sdk::{
    Balancer, Decision, Effects, Error, Host, Kind, Node, Routing, Servers, SessionInfo, SessionPlan,
    SessionState, Statement, Transaction,
};

use crate::Witness;
use crate::stamp::Mood;

/// In the transaction's memory, beside the version: it has written.
const WROTE: u32 = 1 << 16;

impl Balancer for Witness {
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        self.nodes = nodes.to_vec();
    }

    fn plan_session(&mut self, _session: &SessionInfo, random: u64, _host: &Host) -> Option<SessionPlan> {
        let usable: Vec<_> = self.nodes.iter().filter(|node| node.usable && node.weight > 0.0).collect();
        let home = usable.get((random % usable.len().max(1) as u64) as usize)?.id;
        Some(SessionPlan { memory: self.version, ..SessionPlan::home(home) })
    }

    fn route(&mut self, statement: Statement, state: SessionState, host: &Host) -> Result<Routing, Error> {
        let tags = host.tags();
        if tags.is_empty() {
            // The proxy tries this version out.
            return Ok(Routing::Pass);
        }
        if self.mood == Mood::Traitor {
            panic!("this version is a traitor");
        }
        self.count("routed", host);
        if tags != [self.name.as_str()] {
            self.count("torn", host);
        }
        self.testify(state, host);
        let wrote = statement.effects.contains(Effects::WRITES) || state.transaction_memory & WROTE != 0;
        let servers = match statement.servers {
            Servers::Any if wrote => Servers::Primary,
            servers => servers,
        };
        let open = state.transaction != Transaction::Idle || statement.kind == Kind::Begin;
        Ok(Routing::To(Decision {
            transaction_memory: self.version | if open && wrote { WROTE } else { 0 },
            session_memory: self.version,
            tell_end: true,
            ..Decision::keeping(state, servers, state.home)
        }))
    }

    fn ended(&mut self, success: bool, host: &Host) {
        self.count(if success { "ended" } else { "failed" }, host);
        if host.remembered().iter().any(|word| *word != self.name) {
            self.count("mixed", host);
        }
    }

    fn explain(&self, _host: &Host) -> String {
        format!("the witness {} says so", self.name)
    }
}

impl Witness {
    /// Whatever the session still knows has to be of this version: what others
    /// decided before is over.
    fn testify(&self, state: SessionState, host: &Host) {
        let memories = [state.transaction_memory & !WROTE, state.session_memory];
        let foreign = |memory: &u32| *memory != 0 && *memory != self.version;
        let words = host.remembered();
        if memories.iter().any(foreign) || words.iter().any(|word| *word != self.name) {
            self.count("mixed", host);
        }
        host.remember(&self.name);
    }
}
