//! The servers as known now, and the choice among them by weight.

use waypool_plugin_sdk::{Node, NodeRole};

/// Made at each change, so that a choice only walks a short list.
#[derive(Debug, Default)]
pub struct Nodes {
    primary: Option<u32>,
    /// Servers a read may go to, with the sum of weights up to and including
    /// each. Weight 0 is none of them.
    readable: Vec<(u32, f64)>,
    /// All servers that answer, the weightless too
    usable: Vec<u32>,
}

impl Nodes {
    pub fn new(nodes: &[Node]) -> Self {
        let mut made = Self::default();
        let mut sum = 0.0;
        for node in nodes {
            if node.role == NodeRole::Primary && made.primary.is_none() {
                made.primary = Some(node.id);
            }
            if !node.usable {
                continue;
            }
            made.usable.push(node.id);
            // NaN and infinity would never, or always, be chosen.
            if node.weight > 0.0 && node.weight.is_finite() {
                sum += node.weight;
                made.readable.push((node.id, sum));
            }
        }
        made
    }

    /// The primary. While there is none, the lowest server that answers:
    /// whatever must not run there, it refuses itself.
    pub fn primary(&self) -> u32 {
        let lowest = || self.usable.iter().copied().min();
        self.primary.or_else(lowest).unwrap_or(0)
    }

    /// Whether it has the role, which no server has while there is no primary.
    pub fn is_primary(&self, id: u32) -> bool {
        self.primary == Some(id)
    }

    pub fn is_usable(&self, id: u32) -> bool {
        self.usable.contains(&id)
    }

    /// A server by weight, where `random` is uniform; the primary if none has
    /// a weight.
    pub fn choose(&self, random: u64) -> u32 {
        let Some(&(last, sum)) = self.readable.last() else {
            return self.primary();
        };
        // 53 bits: as many as fit a fraction in [0, 1) exactly
        let fraction = (random >> 11) as f64 / (1u64 << 53) as f64;
        let wanted = fraction * sum;
        let found = self.readable.iter().find(|(_, up_to)| wanted < *up_to);
        found.map_or(last, |(id, _)| *id)
    }
}
