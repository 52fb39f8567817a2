//! What runs on a server, and how fast it answers: in the store, for all
//! instances.

use waypool_plugin_sdk::Host;

/// A count that went wrong, because this plugin was replaced in the middle of
/// something perhaps, is wrong no longer than this.
const COUNTED_MILLIS: u64 = 60_000;

/// One server's load.
#[derive(Debug)]
pub struct Load {
    pub node: u32,
    running: String,
    micros: String,
}

impl Load {
    pub fn of(node: u32) -> Self {
        Load { node, running: format!("running.{node}"), micros: format!("micros.{node}") }
    }

    /// How many statements and transactions run there now.
    pub fn running(&self, host: &Host) -> u64 {
        host.get(&self.running).unwrap_or(0)
    }

    /// One more, until [`end`]. A transaction, or a batch of statements, counts
    /// once: its end is told once.
    pub fn begin(&self, host: &Host) {
        let word = self.node.to_string();
        if !host.remembered().contains(&word) {
            host.remember(&word);
            host.add(&self.running, 1, Some(COUNTED_MILLIS));
        }
    }

    /// How long answers take there of late; none if nobody knows.
    pub fn micros(&self, host: &Host) -> Option<u64> {
        host.get(&self.micros)
    }

    /// What reads took there in the last half second. Half of the average is
    /// news, so that it follows quickly.
    pub fn measured(&self, micros: u64, forget_millis: u64, host: &Host) {
        let before = self.micros(host).unwrap_or(micros);
        let average = before.midpoint(micros);
        host.set(&self.micros, average, Some(forget_millis));
        host.gauge(&self.micros, average as f64);
    }
}

/// The statement or transaction is over, on every server where it counted.
pub fn end(host: &Host) {
    let remembered = host.remembered();
    let nodes = remembered.iter().filter_map(|word| word.parse().ok());
    for node in nodes {
        host.add(&Load::of(node).running, -1, Some(COUNTED_MILLIS));
    }
}
