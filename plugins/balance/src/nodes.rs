//! The servers as known now, and the choice among them by weight.

use waypool_plugin_sdk::{Node, NodeRole};

/// One server that answers.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub id: u32,
    pub standby: bool,
    delayed: bool,
    weight: f64,
    /// Bytes of WAL and milliseconds
    lag: (u64, u64),
}

/// What may be done with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does not answer, or there is none of this number.
    Gone,
    Primary,
    /// Too far behind to be read from
    Delayed,
    Readable,
}

/// How far the slowest standby is behind in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    Micros(u64),
    /// Behind, but nobody says by how long
    Unknown,
}

/// Made at each change, so that a choice only walks a short list.
#[derive(Debug)]
pub struct Nodes {
    primary: Option<u32>,
    /// By number, for the look that each statement takes
    standings: Vec<Standing>,
    /// Servers that answer, the weightless too
    usable: Vec<Server>,
    slowest: Lag,
}

impl Default for Nodes {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Nodes {
    pub fn new(nodes: &[Node]) -> Self {
        let primary = nodes.iter().find(|node| node.role == NodeRole::Primary).map(|node| node.id);
        let usable = nodes.iter().filter(|node| node.usable);
        let server = |node: &Node| Server {
            id: node.id,
            standby: primary != Some(node.id),
            delayed: node.delayed,
            // NaN and infinity would never, or always, be chosen.
            weight: if node.weight.is_finite() { node.weight.max(0.0) } else { 0.0 },
            lag: (node.lag_bytes, node.lag_micros / 1000),
        };
        // One that is not read from now, because it is delayed, counts as
        // well: it may be read from again before it has everything.
        let standbys = usable.clone().filter(|node| primary != Some(node.id));
        let slowest = standbys.fold(Lag::Micros(0), |slowest, node| match slowest {
            Lag::Micros(_) if node.lag_micros == 0 && node.lag_bytes > 0 => Lag::Unknown,
            Lag::Micros(most) => Lag::Micros(most.max(node.lag_micros)),
            Lag::Unknown => Lag::Unknown,
        });
        let usable: Vec<Server> = usable.map(server).collect();
        Self { primary, standings: standings(&usable), usable, slowest }
    }

    /// The primary. While there is none, the lowest server that answers:
    /// whatever must not run there, it refuses itself.
    pub fn primary(&self) -> u32 {
        let lowest = || self.usable.iter().map(|server| server.id).min();
        self.primary.or_else(lowest).unwrap_or(0)
    }

    /// Whether it has the role, which no server has while there is no primary.
    pub fn is_primary(&self, id: u32) -> bool {
        self.primary == Some(id)
    }

    pub fn standing(&self, id: u32) -> Standing {
        self.standings.get(id as usize).copied().unwrap_or(Standing::Gone)
    }

    pub fn is_usable(&self, id: u32) -> bool {
        self.standing(id) != Standing::Gone
    }

    pub fn slowest(&self) -> Lag {
        self.slowest
    }

    /// A server by weight, where `random` is uniform; the primary if none has
    /// a weight.
    pub fn choose(&self, random: u64, among: impl Fn(&Server) -> bool) -> u32 {
        self.by_weight(random, among).unwrap_or_else(|| self.primary())
    }

    /// By weight among the standbys that are least behind, and not too far.
    pub fn least_behind(&self, random: u64) -> Option<u32> {
        let may = |server: &&Server| server.standby && !server.delayed && server.weight > 0.0;
        let least = self.usable.iter().filter(may).map(|server| server.lag).min()?;
        self.by_weight(random, |server| may(&server) && server.lag == least)
    }

    fn by_weight(&self, random: u64, among: impl Fn(&Server) -> bool) -> Option<u32> {
        let candidates = || self.usable.iter().filter(|server| server.weight > 0.0 && among(server));
        let sum: f64 = candidates().map(|server| server.weight).sum();
        // 53 bits: as many as fit a fraction in [0, 1) exactly
        let fraction = (random >> 11) as f64 / (1u64 << 53) as f64;
        let wanted = fraction * sum;
        let mut up_to = 0.0;
        let mut last = None;
        for server in candidates() {
            up_to += server.weight;
            last = Some(server.id);
            if wanted < up_to {
                break;
            }
        }
        last
    }
}

fn standings(usable: &[Server]) -> Vec<Standing> {
    // Servers are counted from 0; a number beyond all reason is not kept.
    let most = usable.iter().map(|server| server.id as usize).filter(|id| *id < 10_000).max();
    let mut standings = vec![Standing::Gone; most.map_or(0, |id| id + 1)];
    for server in usable {
        if let Some(standing) = standings.get_mut(server.id as usize) {
            *standing = match (server.standby, server.delayed) {
                (false, _) => Standing::Primary,
                (true, true) => Standing::Delayed,
                (true, false) => Standing::Readable,
            };
        }
    }
    standings
}
