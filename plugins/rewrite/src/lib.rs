//! Waypool's default rewriter, for streaming replication.
//!
//! PostgreSQL replicates there, so every server gets the effects of what the
//! primary ran, and no statement needs a change: each is kept as the client
//! wrote it. (With native replication every server runs the statement by
//! itself, and `now()` has to become the same moment on all of them; that is
//! not part of this plugin yet.)

use waypool_plugin_sdk::{Depends, Error, Host, Plan, Plugin, Rewriter};

/// The plugin.
#[derive(Debug)]
pub struct Rewrite;

impl Plugin for Rewrite {
    type Config = ();

    const ABOUT: &'static str = "Keeps every statement as it is (Waypool's own, for streaming replication)";

    fn new((): ()) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Rewriter for Rewrite {
    fn rewrite(&mut self, _text: &str, _host: &Host) -> Result<Plan, Error> {
        Ok(Plan::Keep(Depends::Shape))
    }
}

waypool_plugin_sdk::export!(Rewrite: rewriter);

#[cfg(test)]
mod tests {
    use super::*;
    use waypool_plugin_sdk::testing::FakeHost;

    #[test]
    fn statements_stay_as_they_are() -> Result<(), Error> {
        let host = FakeHost::new();
        let plan = Rewrite::new(())?.rewrite("SELECT now()", &host)?;
        assert_eq!(plan, Plan::Keep(Depends::Shape));
        assert!(host.calls().is_empty());
        Ok(())
    }
}
