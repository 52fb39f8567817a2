//! A plugin that misbehaves on demand: what Waypool's containment is tested
//! with. It takes all roles.
//!
//! What it does to the proxy is a [`Deed`], and there are three ways to order
//! one:
//!
//! - by the configuration, for all calls of a hook:
//!   `misbehave = { classify = "trap", observe = "loop" }`;
//! - by a statement's text: `trap` alone for the first hook that sees it, or
//!   with a hook before it: `refine trap`, `route garbage`, `observe loop`;
//!   or by a comment in a statement: `SELECT 1 /* refine trap */`;
//! - by the name of the user or of the application for the hooks that see no
//!   statement: `session_start trap`, `plan_session loop`.
//!
//! Otherwise it answers decently, and so that tests can tell what reached it.
//! If it is `modest` then it leaves the answer to the plugins behind it.

mod deeds;
mod roles;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{Error, Host, Node, Plugin, export};

pub use deeds::{Deed, Hook};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Classifier,
    Rewriter,
    Balancer,
    Gate,
    Observer,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `init` answers with this error.
    refuse: Option<String>,
    /// `init` traps.
    trap_in_init: bool,
    /// Each call about a statement or a session traps, from the probe on.
    always_trap: bool,
    /// The same, except for the probe's statement.
    trap_after_probe: bool,
    /// What each hook does.
    misbehave: BTreeMap<Hook, Deed>,
    /// After so many decent calls of the hook in one instance
    after: u32,
    /// In other roles it has nothing to say and does nothing.
    only: Option<Vec<Role>>,
    /// It has nothing to say of statements and sessions, except what is ordered.
    modest: bool,
    /// As a rewriter it puts a moment in place of these bytes of each text.
    edit: Option<(u32, u32)>,
    /// Put into the verdict's reason and the decision's session memory, so that
    /// tests see which instance answered.
    mark: u32,
}

#[derive(Debug)]
pub struct Hostile {
    config: Config,
    plan: deeds::Plan,
    /// Statements and sessions that this instance was asked about.
    calls: u32,
    nodes: Vec<Node>,
    ballast: Vec<Vec<u8>>,
}

impl Plugin for Hostile {
    type Config = Config;

    const ABOUT: &'static str = "Misbehaves on demand";

    fn new(mut config: Config) -> Result<Self, Error> {
        if let Some(error) = &config.refuse {
            return Err(Error::new(error));
        }
        if config.trap_in_init {
            panic!("init was told to trap");
        }
        let plan = deeds::Plan::new(std::mem::take(&mut config.misbehave), config.after);
        let mut made = Hostile { config, plan, calls: 0, nodes: Vec::new(), ballast: Vec::new() };
        made.obey(Hook::Init, "", &Host::around())?;
        Ok(made)
    }

    fn self_test(&mut self, host: &Host) -> Result<(), Error> {
        match self.obey(Hook::SelfTest, "", host)? {
            Some(Deed::InvalidUtf8) => Err(deeds::invalid_utf8().into()),
            _ => Ok(()),
        }
    }
}

impl Hostile {
    fn plays(&self, role: Role) -> bool {
        self.config.only.as_ref().is_none_or(|roles| roles.contains(&role))
    }

    /// Does what is ordered for this call. What is left for the hook to answer
    /// is handed back.
    fn obey(&mut self, hook: Hook, said: &str, host: &Host) -> Result<Option<Deed>, Error> {
        let deed = self.plan.next(hook).or_else(|| deeds::ordered(hook, said));
        match deed {
            Some(deed) => deeds::commit(deed, &mut self.ballast, host),
            None => Ok(None),
        }
    }

    /// The same for a statement or a session, which are counted.
    fn obey_counted(&mut self, hook: Hook, said: &str, host: &Host) -> Result<Option<Deed>, Error> {
        self.calls += 1;
        // Only there nobody's database begins a session.
        let probing = said == "SELECT 1" || said.is_empty();
        if self.config.always_trap || (self.config.trap_after_probe && !probing) {
            panic!("was told to trap always");
        }
        self.obey(hook, said, host)
    }
}

export!(Hostile: classifier, rewriter, balancer, gate, observer);
