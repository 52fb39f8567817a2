//! Sends every statement to the primary, reads too: the standbys get a rest.

use waypool_plugin_sdk::{
    Balancer, BalancerHost, Decision, Node, NodeRole, Plugin, Servers, SessionInfo, SessionPlan,
    SessionState, Statement,
};

#[derive(Debug)]
pub struct PrimaryOnly {
    primary: u32,
}

impl Plugin for PrimaryOnly {
    type Config = ();

    fn new((): ()) -> Result<Self, String> {
        Ok(PrimaryOnly { primary: 0 })
    }
}

impl Balancer for PrimaryOnly {
    fn topology(&mut self, nodes: &[Node]) {
        let primary = nodes.iter().find(|node| node.role == NodeRole::Primary);
        self.primary = primary.map_or(0, |node| node.id);
    }

    fn session_start(
        &mut self,
        _session: &SessionInfo,
        _random: u64,
        _host: &dyn BalancerHost,
    ) -> SessionPlan {
        SessionPlan::home(self.primary)
    }

    fn route(&mut self, statement: Statement, state: SessionState, _host: &dyn BalancerHost) -> Decision {
        match statement.servers {
            // SET and its like: the session's other servers have to hear of it
            // too, because the plugin after this one may read from them again.
            Servers::All => Decision::keeping(state, Servers::All, state.home),
            Servers::Any | Servers::Primary => Decision::keeping(state, Servers::Primary, self.primary),
        }
    }
}

waypool_plugin_sdk::export!(PrimaryOnly: balancer);

#[cfg(test)]
mod tests;
