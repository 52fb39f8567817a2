//! Waypool's default balancer: Pgpool-II's rules for streaming replication.
//!
//! Each session has a home, chosen by weight when it starts; its reads go
//! there. In an explicit transaction they do so until it writes, so that a
//! transaction sees its own changes. Everything else goes to the primary, and
//! what changes the session to the primary and the home.

mod adaptive;
mod config;
mod memory;
mod nodes;
mod reason;
mod redirect;
mod relationship;

pub use config::{AfterWrite, Config, Items};

use std::cell::Cell;

use waypool_plugin_sdk::{
    Balancer, Decision, Effects, Error, Host, Kind, Node, Plugin, ReadAfter, Routing, Servers, SessionInfo,
    SessionPlan, SessionState, Statement, Transaction,
};

use crate::adaptive::Written;
use crate::config::Rules;
use crate::memory::Memory;
use crate::nodes::{Nodes, Standing};
use crate::reason::{How, Reason, Redirect};
use crate::redirect::{Entry, Target};

#[cfg(test)]
mod tests;

/// The plugin.
#[derive(Debug)]
pub struct Balance {
    rules: Rules,
    nodes: Nodes,
    /// Of dml_adaptive_global: the time after the start is over.
    warm: bool,
    /// Of the last `route`, for `explain`
    last: Last,
    /// Chance had a part in this decision.
    drew: Cell<bool>,
}

#[derive(Debug, Default)]
struct Last {
    reason: Reason,
    node: u32,
    session_memory: u32,
}

impl Plugin for Balance {
    type Config = Config;

    const ABOUT: &'static str =
        "Chooses a server by Pgpool-II's rules for streaming replication (Waypool's own)";

    fn new(config: Config) -> Result<Self, Error> {
        let rules = Rules::new(&config)?;
        let warm = rules.after_write != AfterWrite::TablesOfAll;
        Ok(Self { rules, nodes: Nodes::default(), warm, last: Last::default(), drew: Cell::new(false) })
    }
}

impl Balancer for Balance {
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        self.nodes = Nodes::new(nodes);
    }

    fn plan_session(&mut self, session: &SessionInfo, random: u64, host: &Host) -> Option<SessionPlan> {
        // The time runs from the first session on.
        self.is_cold(host);
        let entry = self.rules.redirects.find(session);
        Some(SessionPlan {
            home: match self.rules.load_balance_mode {
                true => self.pick(entry, random),
                false => self.nodes.primary(),
            },
            memory: Memory::of_session(entry),
            read_after: Some(match self.rules.load_balance_mode {
                true => self.rules.read_after,
                false => ReadAfter::Nothing,
            }),
            wait_millis: self.rules.wait_millis,
        })
    }

    fn route(&mut self, statement: Statement, state: SessionState, host: &Host) -> Result<Routing, Error> {
        self.drew.set(false);
        let before = Memory::before(&state);
        let mut after = before.after(&statement, state.transaction == Transaction::Idle);
        let writes = statement.effects.contains(Effects::WRITES);
        let tell_end = writes
            && self.rules.after_write.by_table()
            && self.note_write(&statement, &state, &mut after, host);
        let (servers, node, reason) = match statement.servers {
            Servers::Any => self.read(&state, before, &mut after, host),
            Servers::All => self.all(&statement, &state, before, &mut after),
            Servers::Primary => (Servers::Primary, self.nodes.primary(), Reason::Primarys),
        };
        self.last = Last { reason, node, session_memory: before.session };
        Ok(Routing::To(Decision {
            servers,
            node,
            transaction_memory: after.transaction,
            session_memory: after.session,
            tell_end,
            steady: !self.drew.get(),
        }))
    }

    fn ended(&mut self, success: bool, host: &Host) {
        if success && self.rules.after_write == AfterWrite::TablesOfAll {
            adaptive::mark(self.rules.tracking.millis(self.nodes.slowest()), host);
        }
    }

    fn explain(&self, _host: &Host) -> String {
        let entry = Memory { transaction: 0, session: self.last.session_memory }.entry();
        let preference = entry.and_then(|entry| self.rules.redirects.get(entry));
        let hit = preference.is_some_and(|preference| match preference.target {
            Target::Primary => self.nodes.is_primary(self.last.node),
            Target::Standby => !self.nodes.is_primary(self.last.node),
            Target::Node(id) => id == self.last.node,
        });
        let redirect = entry.map(|entry| Redirect { list: entry.list, hit });
        self.last.reason.tell(self.rules.after_write, redirect)
    }
}

impl Balance {
    /// A statement that any server can answer.
    fn read(
        &mut self,
        state: &SessionState,
        before: Memory,
        after: &mut Memory,
        host: &Host,
    ) -> (Servers, u32, Reason) {
        let primary = self.nodes.primary();
        if let Some(reason) = self.held_back(state, before, host) {
            return (Servers::Primary, primary, reason);
        }
        let (id, how) = self.reader(state, false, before, after);
        match self.nodes.standing(id) {
            Standing::Readable => (Servers::Any, id, Reason::Chosen(how)),
            Standing::Primary | Standing::Gone => (Servers::Primary, primary, Reason::Chosen(how)),
            Standing::Delayed => match self.instead_of_delayed(state, before, after) {
                Some(other) => (Servers::Any, other, Reason::LessDelayed { id }),
                None => (Servers::Primary, primary, Reason::Delayed { id }),
            },
        }
    }

    /// A statement for the primary and for whoever the session reads from.
    fn all(
        &self,
        statement: &Statement,
        state: &SessionState,
        before: Memory,
        after: &mut Memory,
    ) -> (Servers, u32, Reason) {
        let primary = self.nodes.primary();
        if !self.rules.load_balance_mode {
            return (Servers::Primary, primary, Reason::BalancingOff);
        }
        if before.primary_alone() {
            return (Servers::Primary, primary, Reason::PrimaryAlone);
        }
        let begins = statement.kind == Kind::Begin;
        let choosing = !self.rules.statement_level || begins || state.transaction != Transaction::Idle;
        let mut id = match choosing {
            true => self.reader(state, begins, before, after).0,
            false => state.home,
        };
        if choosing && self.nodes.standing(id) == Standing::Delayed {
            id = self.instead_of_delayed(state, before, after).unwrap_or(id);
        }
        match matches!(self.nodes.standing(id), Standing::Readable | Standing::Delayed) {
            true => (Servers::All, id, Reason::Alls),
            // Others that the session used must hear of it, too.
            false if self.rules.statement_level || after.wandered() => (Servers::All, primary, Reason::Alls),
            false => (Servers::Primary, primary, Reason::Alls),
        }
    }

    /// Why a session's read has to go to the primary now, if it has to.
    fn held_back(&mut self, state: &SessionState, memory: Memory, host: &Host) -> Option<Reason> {
        if !self.rules.load_balance_mode {
            return Some(Reason::BalancingOff);
        }
        // Only the primary knows that the transaction failed.
        if state.transaction == Transaction::Failed {
            return Some(Reason::Failed);
        }
        let open = state.transaction == Transaction::Open;
        if open && memory.serializable() {
            return Some(Reason::Serializable);
        }
        let rule = self.rules.after_write;
        match rule {
            AfterWrite::Balance => None,
            AfterWrite::Transaction => (open && memory.written()).then_some(Reason::Written(rule)),
            AfterWrite::LaterTransactions => {
                (open && memory.transaction_written()).then_some(Reason::Written(rule))
            }
            AfterWrite::Session => memory.ever_written().then_some(Reason::Written(rule)),
            AfterWrite::Tables => own_table(open, memory, host),
            AfterWrite::TablesOfAll => match own_table(open, memory, host) {
                Some(reason) => Some(reason),
                None if self.is_cold(host) => Some(Reason::Cold),
                None => adaptive::reads_marked(host).then_some(Reason::MarkedTable),
            },
        }
    }

    /// The server that reads go to, however far behind.
    fn reader(&self, state: &SessionState, begins: bool, before: Memory, after: &mut Memory) -> (u32, How) {
        let usable = |id: &u32| self.nodes.is_usable(*id);
        let pick = || self.pick(before.entry(), self.draw(state));
        if self.rules.statement_level {
            if state.transaction == Transaction::Idle && !begins {
                return (pick(), How::Statement);
            }
            // A transaction is open on few servers: its reads stay with one.
            let id = before.reads_on().filter(usable).unwrap_or_else(pick);
            after.set_reads_on(id);
            return (id, How::Transaction);
        }
        if usable(&state.home) {
            return (state.home, How::Home);
        }
        let id = before.substitute().filter(usable).unwrap_or_else(pick);
        after.set_substitute(id);
        (id, How::Instead)
    }

    /// Another standby in place of one that is too far behind.
    fn instead_of_delayed(&self, state: &SessionState, before: Memory, after: &mut Memory) -> Option<u32> {
        if !self.rules.prefer_lower_delay {
            return None;
        }
        let good = |id: &u32| self.nodes.standing(*id) == Standing::Readable;
        if self.rules.statement_level {
            let id = self.nodes.least_behind(self.draw(state))?;
            if after.reads_on().is_some() {
                after.set_reads_on(id);
            }
            return Some(id);
        }
        let kept = before.substitute().filter(good);
        let id = kept.or_else(|| self.nodes.least_behind(self.draw(state)))?;
        after.set_substitute(id);
        Some(id)
    }

    fn draw(&self, state: &SessionState) -> u64 {
        self.drew.set(true);
        state.random
    }

    /// A server by weight, or as the redirect list wishes.
    fn pick(&self, entry: Option<Entry>, random: u64) -> u32 {
        let Some(preference) = entry.and_then(|entry| self.rules.redirects.get(entry)) else {
            return self.nodes.choose(random, |_| true);
        };
        // The choice by weight takes its chance from the upper half.
        let chance = f64::from(random as u32) / 4_294_967_296.0;
        let hit = preference.ratio > 0.0 && chance <= preference.ratio;
        let wanted = match preference.target {
            Target::Standby if hit => return self.nodes.choose(random, |server| server.standby),
            Target::Standby => return self.nodes.primary(),
            Target::Primary => self.nodes.primary(),
            Target::Node(id) => id,
        };
        match self.nodes.is_usable(wanted) {
            true if hit => wanted,
            true => self.nodes.choose(random, |server| server.id != wanted),
            // One that does not answer is not wished for.
            false => self.nodes.choose(random, |_| true),
        }
    }

    /// For dml_adaptive: what a statement wrote. Returns whether its end matters.
    fn note_write(
        &self,
        statement: &Statement,
        state: &SessionState,
        after: &mut Memory,
        host: &Host,
    ) -> bool {
        let written = Written::by(statement, &self.rules.relationships, host);
        let all = self.rules.after_write == AfterWrite::TablesOfAll;
        let within = Memory::is_within_transaction(statement, state.transaction == Transaction::Idle);
        if written.is_nothing() || !(all || within) {
            return false;
        }
        let remembered = written.remember(host);
        if within && (written.anything || !remembered) {
            after.set_anything_written();
        }
        if within {
            after.set_tables_written();
        }
        all && !written.changed.is_empty()
    }

    fn is_cold(&mut self, host: &Host) -> bool {
        if !self.warm {
            self.warm = !adaptive::is_cold(self.rules.tracking.cold, host);
        }
        !self.warm
    }
}

/// Whether this transaction wrote to what is read now.
fn own_table(open: bool, memory: Memory, host: &Host) -> Option<Reason> {
    if !open {
        return None;
    }
    if memory.anything_written() {
        return Some(Reason::AnythingWritten);
    }
    (memory.tables_written() && adaptive::reads_own(host)).then_some(Reason::OwnTable)
}

waypool_plugin_sdk::export!(Balance: balancer);
