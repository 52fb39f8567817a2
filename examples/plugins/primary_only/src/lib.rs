//! Sends every statement to the primary, reads too: the standbys get a rest.

use waypool_plugin_sdk::{
    Balancer, Decision, Error, Host, Node, NodeRole, Plugin, Routing, Servers, SessionInfo, SessionPlan,
    SessionState, Statement,
};

#[derive(Debug)]
pub struct PrimaryOnly {
    primary: u32,
}

impl Plugin for PrimaryOnly {
    type Config = ();

    const ABOUT: &'static str = "Sends every statement to the primary";

    fn new((): ()) -> Result<Self, Error> {
        Ok(PrimaryOnly { primary: 0 })
    }
}

impl Balancer for PrimaryOnly {
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        let primary = nodes.iter().find(|node| node.role == NodeRole::Primary);
        self.primary = primary.map_or(0, |node| node.id);
    }

    fn plan_session(&mut self, _session: &SessionInfo, _random: u64, _host: &Host) -> Option<SessionPlan> {
        Some(SessionPlan::home(self.primary))
    }

    fn route(&mut self, statement: Statement, state: SessionState, _host: &Host) -> Result<Routing, Error> {
        Ok(match statement.servers {
            // SET and its like: the session's other servers have to hear of it
            // too, because the plugin after this one may read from them again.
            Servers::All => Decision::keeping(state, Servers::All, state.home).into(),
            Servers::Any | Servers::Primary => Routing::primary(state),
        })
    }
}

waypool_plugin_sdk::export!(PrimaryOnly: balancer);

#[cfg(test)]
mod tests;
