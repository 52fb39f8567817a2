//! Sends each read to the server that should answer it first.
//!
//! That is the one with the smallest product of two numbers: how many
//! statements run there, and how long answers take there of late. A server that
//! is slow, or busy with something else, gets fewer reads by itself.
//!
//! Both numbers are in the store, because each worker thread of the proxy has
//! an instance of this plugin: what one sends, the others have to know.
//! [`load`] keeps them; this file decides.

mod load;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{
    Balancer, Decision, Effects, Host, Kind, Node, NodeRole, Observation, Observer, Plugin, Result, Routing,
    Servers, SessionState, Statement, Transaction, export,
};

use load::Load;

/// `[plugins.least_load.config]` of waypool.toml
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A server whose answers nobody has measured for so long is given a try.
    pub forget_millis: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { forget_millis: 10_000 }
    }
}

#[derive(Debug)]
pub struct LeastLoad {
    config: Config,
    primary: u32,
    /// Servers that may be read from.
    readers: Vec<Reader>,
    /// Of the last decision, for `explain`.
    last: &'static str,
}

#[derive(Debug)]
struct Reader {
    load: Load,
    weight: f64,
}

impl Plugin for LeastLoad {
    type Config = Config;

    const ABOUT: &'static str = "Sends each read to the server with the least load";

    fn new(config: Config) -> Result<Self> {
        if config.forget_millis == 0 {
            return Err("forget_millis = 0: no measurement would be left".into());
        }
        Ok(LeastLoad { config, primary: 0, readers: Vec::new(), last: "nothing was routed" })
    }
}

/// In the transaction's memory: zero is nothing yet, another number that of the
/// server that it reads from, plus one, and this means that it has written. The
/// proxy puts it there itself if this plugin fails in a transaction.
const WRITTEN: u32 = u32::MAX;

impl Balancer for LeastLoad {
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        let primary = nodes.iter().find(|node| node.role == NodeRole::Primary);
        self.primary = primary.map_or(0, |node| node.id);
        let reads = |node: &&Node| node.usable && !node.delayed && node.weight > 0.0;
        let reader = |node: &Node| Reader { load: Load::of(node.id), weight: node.weight };
        self.readers = nodes.iter().filter(reads).map(reader).collect();
    }

    /// It decides about every statement, so it stands last in the chain, in the
    /// place of Waypool's own.
    fn route(&mut self, statement: Statement, state: SessionState, host: &Host) -> Result<Routing> {
        let begins = statement.kind == Kind::Begin && state.transaction == Transaction::Idle;
        let (servers, node) = match statement.servers {
            Servers::Any => self.read(state, host),
            Servers::Primary => (Servers::Primary, self.primary),
            // A transaction reads from one server all the time, which is chosen
            // now: the proxy begins it there and on the primary.
            Servers::All if begins => (Servers::All, self.least(state.random, host)),
            // SET and its like. The proxy repeats it on servers used later.
            Servers::All => (Servers::All, reads_on(state).unwrap_or(self.primary)),
        };
        // The whole transaction counts where it reads.
        Load::of(node).begin(host);
        let memory = match statement.effects {
            effects if effects.intersects(Effects::WRITES | Effects::SERIALIZABLE) => WRITTEN,
            _ if begins => node + 1,
            _ => state.transaction_memory,
        };
        let decision = Decision { transaction_memory: memory, ..Decision::keeping(state, servers, node) };
        Ok(Routing::To(decision).tell_end())
    }

    fn ended(&mut self, _success: bool, host: &Host) {
        load::end(host);
    }

    fn explain(&self, _host: &Host) -> String {
        self.last.to_owned()
    }
}

/// The server that the open transaction reads from, unless it has written.
fn reads_on(state: SessionState) -> Option<u32> {
    match (state.transaction, state.transaction_memory) {
        (Transaction::Open, memory) if memory != WRITTEN => memory.checked_sub(1),
        _ => None,
    }
}

impl LeastLoad {
    fn read(&mut self, state: SessionState, host: &Host) -> (Servers, u32) {
        if state.transaction == Transaction::Idle {
            self.last = "the least load of all servers";
            return (Servers::Any, self.least(state.random, host));
        }
        match reads_on(state) {
            Some(node) => {
                self.last = "where this transaction reads";
                (Servers::Any, node)
            }
            None => {
                self.last = "this transaction has written, or began among other statements";
                (Servers::Primary, self.primary)
            }
        }
    }

    /// The server with the least load; the primary if no server is read from.
    fn least(&self, random: u64, host: &Host) -> u32 {
        let loads: Vec<(&Reader, Option<u64>)> =
            self.readers.iter().map(|reader| (reader, reader.load.micros(host))).collect();
        // One that is not measured counts as the fastest: so it is tried.
        let fastest = loads.iter().filter_map(|(_, micros)| *micros).min().unwrap_or(1);
        let expected = |(reader, micros): &(&Reader, Option<u64>)| {
            let before_it = reader.load.running(host) as f64 + 1.0;
            before_it * micros.unwrap_or(fastest).max(1) as f64 / reader.weight
        };
        // Of equals the first is taken: a different one is first each time.
        let start = random as usize % loads.len().max(1);
        let turned = loads[start..].iter().chain(&loads[..start]);
        let expected = turned.map(|load| (load.0.load.node, expected(load)));
        expected.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(self.primary, |(node, _)| node)
    }
}

impl Observer for LeastLoad {
    /// Runs on a thread of its own, with an instance of its own: what it learns
    /// goes through the store, too.
    fn observe(&mut self, statements: &[Observation], host: &Host) {
        // A failed read is no measure: it may have been cancelled at once.
        let reads = |read: &&Observation| read.kind == Kind::Select && read.sqlstate.is_none();
        let mut seen: Vec<(u32, u64)> = statements
            .iter()
            .filter(reads)
            .filter_map(|read| Some((read.node?, read.duration_micros)))
            .collect();
        seen.sort_unstable();
        for reads in seen.chunk_by(|(a, _), (b, _)| a == b) {
            let sum: u64 = reads.iter().map(|(_, micros)| micros).sum();
            let micros = sum / reads.len() as u64;
            Load::of(reads[0].0).measured(micros, self.config.forget_millis, host);
        }
    }
}

export!(LeastLoad: balancer, observer);

#[cfg(test)]
mod tests;
