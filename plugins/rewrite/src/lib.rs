//! Waypool's default rewriter, for streaming replication.
//!
//! PostgreSQL replicates there, so every server gets the effects of what the
//! primary ran, and no statement needs a change: each is kept as the client
//! wrote it. (With native replication every server runs the statement by
//! itself, and `now()` has to become the same moment on all of them; that is
//! not part of this plugin yet.)

use waypool_plugin_sdk::{Host, Plan, Plugin, Rewriter};

/// The plugin.
#[derive(Debug)]
pub struct Rewrite;

impl Plugin for Rewrite {
    type Config = ();

    fn new((): ()) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Rewriter for Rewrite {
    fn rewrite(&mut self, _text: &str, _database: &str, _host: &dyn Host) -> Plan {
        Plan::Keep
    }
}

waypool_plugin_sdk::export!(Rewrite: rewriter);

#[cfg(test)]
mod tests {
    use super::*;
    use waypool_plugin_sdk::testing::FakeHost;

    #[test]
    fn statements_stay_as_they_are() -> Result<(), String> {
        let plan = Rewrite::new(())?.rewrite("SELECT now()", "db", &FakeHost::new());
        assert_eq!(plan, Plan::Keep);
        Ok(())
    }
}
