//! A transaction that has changed the catalog sees tables and defaults that no
//! other connection does: what rewriters want to know of them is asked in it.

use super::super::Session;
use super::super::link::{Link, bit};
use super::super::links::LinkError;
use super::main_of;
use crate::routing::FACT_ROUNDS;
use crate::routing::facts::Facts;

impl Session {
    /// The transaction has a catalog of its own.
    pub(in super::super) fn has_own_catalog(&self) -> bool {
        self.fans_out() && self.transaction.has_changed_catalog() && !self.is_idle()
    }

    /// Looks up what is needed to say what a text is.
    pub(in super::super) async fn look_up_here(&mut self, text: &[u8]) -> Result<(), LinkError> {
        if self.fan().shared_scope.is_none() {
            let own = self.scope.of_transaction();
            let shared = std::mem::replace(&mut self.scope, own);
            self.fan().shared_scope = Some(shared);
        }
        for _ in 0..FACT_ROUNDS {
            let missing = self.worker.router.borrow_mut().missing(text, &self.scope);
            let servers = self.links.which(Link::in_transaction);
            if missing.is_empty() || servers == 0 {
                break;
            }
            let main = bit(main_of(servers));
            self.sync_open().await?;
            self.drain(main).await?;
            match self.ask(main, &Facts::question(&missing)).await {
                Ok(rows) => self.scope.database.facts.learn(&missing, &rows),
                Err(LinkError::Statement(error)) => return Err(self.fails(error).await?),
                Err(end) => return Err(end),
            }
        }
        Ok(())
    }

    /// It changes once more.
    pub(in super::super) fn forget_own_catalog(&self) {
        if self.fanout.as_ref().is_some_and(|fan| fan.shared_scope.is_some()) {
            self.scope.database.facts.forget();
        }
    }

    /// The transaction is over.
    pub(in super::super) fn leave_own_catalog(&mut self) {
        if let Some(shared) = self.fanout.as_mut().and_then(|fan| fan.shared_scope.take()) {
            self.scope = shared;
        }
    }
}
