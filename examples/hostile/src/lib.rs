//! A plugin that misbehaves on demand: what Waypool's containment is tested
//! with. It takes all three roles.
//!
//! Statements say what to do: `trap`, `loop`, `hog`, `grow`, `recurse`,
//! `garbage`; anything else gets a decent answer. The configuration can make
//! `init` fail, and the whole plugin fail from the probe on.

use std::hint::black_box;

use serde::Deserialize;
use waypool_plugin_sdk::{
    Balancer, BalancerHost, Classifier, Decision, Depends, Edit, Effects, FunctionFact, Host, Kind, Level,
    Node, Plan, Plugin, ReadAfter, RelationFact, Rewriter, Servers, SessionInfo, SessionPlan, SessionState,
    Statement, Value, Verdict, export,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `init` answers with this error.
    refuse: Option<String>,
    /// `init` traps.
    trap_in_init: bool,
    /// Each call traps, from the probe on.
    always_trap: bool,
    /// Each call traps, except those of the probe.
    trap_after_probe: bool,
    /// Put into the verdict's reason and the decision's session memory, so that
    /// tests see which instance answered.
    mark: u32,
}

#[derive(Debug)]
pub struct Hostile {
    config: Config,
    /// Calls that this instance has had.
    calls: u32,
    nodes: Vec<Node>,
    ballast: Vec<Vec<u8>>,
}

impl Plugin for Hostile {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        if let Some(error) = &config.refuse {
            return Err(error.clone());
        }
        if config.trap_in_init {
            panic!("init was told to trap");
        }
        Ok(Hostile { config, calls: 0, nodes: Vec::new(), ballast: Vec::new() })
    }
}

impl Hostile {
    fn obey(&mut self, text: &str) {
        self.calls += 1;
        let probing = text == "SELECT 1";
        if self.config.always_trap || (self.config.trap_after_probe && !probing) {
            panic!("was told to trap always");
        }
        match text {
            "trap" => panic!("was told to trap"),
            "loop" => loop {
                black_box(());
            },
            "hog" => loop {
                self.ballast.push(black_box(vec![1; 1 << 20]));
            },
            "grow" => self.ballast.push(black_box(vec![1; 1 << 20])),
            "recurse" => {
                black_box(recurse(1));
            }
            _ => {}
        }
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    recurse(black_box(depth + 1)) + depth
}

impl Classifier for Hostile {
    fn classify(&mut self, text: &str, database: &str, host: &dyn Host) -> Verdict {
        self.obey(text);
        host.count("classified", 1);
        host.log(Level::Debug, text);
        let function = host.function_fact(None, "f");
        let operator = host.operator_fact("<@@>");
        let relation = host.relation_fact(Some("s"), "r");
        let known = !matches!(function, FunctionFact::Unknown) && !matches!(relation, RelationFact::Unknown);
        Verdict {
            depends: Depends::Shape,
            kind: Kind::Select,
            servers: if known { Servers::Any } else { Servers::Primary },
            effects: Effects::SESSION_STATE | Effects::LOCKS,
            name: Some("name".to_owned()),
            reads: vec![database.to_owned()],
            writes: vec![format!("{operator:?}")],
            functions: vec![format!("{function:?}"), format!("{relation:?}")],
            reason: format!("mark {} call {}", self.config.mark, self.calls),
        }
    }
}

impl Balancer for Hostile {
    fn topology(&mut self, nodes: &[Node]) {
        self.nodes = nodes.to_vec();
    }

    fn session_start(&mut self, session: &SessionInfo, random: u64, host: &dyn BalancerHost) -> SessionPlan {
        self.obey(&host.database());
        let home = match self.nodes.len() as u64 {
            0 => 0,
            many => self.nodes[(random % many) as usize].id,
        };
        let wait_millis = session.user.len() as u32;
        SessionPlan { home, memory: 11, read_after: ReadAfter::User, wait_millis }
    }

    fn route(&mut self, statement: Statement, state: SessionState, host: &dyn BalancerHost) -> Decision {
        for word in host.reads().into_iter().chain(host.writes()).chain(host.functions()) {
            host.remember(&word);
        }
        match state.random {
            // What the tests ask for; see `obey`.
            1 => self.obey("trap"),
            2 => self.obey("loop"),
            3 => self.obey("hog"),
            _ => {}
        }
        Decision {
            servers: statement.servers,
            // No node has this id: the proxy has to overrule.
            node: if state.random == 4 { 999 } else { state.home },
            transaction_memory: self.nodes.len() as u32,
            session_memory: self.config.mark,
            tell_end: state.random == 5,
        }
    }

    fn ended(&mut self, success: bool, host: &dyn BalancerHost) {
        let ended = host.get("ended").unwrap_or_default();
        host.set("ended", ended + 1 + u64::from(success), None);
        host.count("ended", ended + 1 + u64::from(success));
    }

    fn explain(&self) -> String {
        format!("mark {}", self.config.mark)
    }
}

impl Rewriter for Hostile {
    fn rewrite(&mut self, text: &str, _database: &str, _host: &dyn Host) -> Plan {
        self.obey(text);
        let edit = |start, end| Plan::Edit(vec![Edit { start, end, value: Value::StatementTimestamp }]);
        match text {
            "refuse" => Plan::reject("42501", "was told to refuse"),
            "bad sqlstate" => Plan::reject("oops", "was told to refuse"),
            "edit" => edit(0, 4),
            "beyond" => edit(0, 4000),
            "ä inside" => edit(1, 2),
            _ => Plan::Keep,
        }
    }
}

export!(Hostile: classifier, balancer, rewriter);
