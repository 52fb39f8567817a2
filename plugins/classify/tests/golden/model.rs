//! A session of the proxy, as far as it decides where a statement goes.

use std::collections::{BTreeSet, HashMap};

use waypool_balance::{Balance, Config};
use waypool_classify::{Classify, Rules};
use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{
    Balancer, Effects, Kind, Node, NodeRole, Plugin, Routing, Servers, SessionInfo, SessionState, Statement,
    Transaction, Verdict,
};

use crate::catalog::{catalog, with_temporary};
use crate::recording::Recorded;

#[derive(Default)]
pub struct Configuration {
    pub classify: Rules,
    pub balance: Config,
}

const PRIMARY: u32 = 0;
const STANDBY: u32 = 1;

/// One client's session.
pub struct Session {
    classify: Classify,
    balance: Balance,
    /// Before the classifier
    host: FakeHost,
    home: u32,
    /// Before the balancer
    session: FakeHost,
    tell_end: bool,
    transaction: Transaction,
    transaction_memory: u32,
    session_memory: u32,
    /// Servers on which a transaction is open
    open_on: BTreeSet<u32>,
    prepared: HashMap<String, (Verdict, BTreeSet<u32>)>,
}

fn node(id: u32, role: NodeRole, weight: f64) -> Node {
    Node { id, role, usable: true, delayed: false, weight, lag_bytes: 0, lag_micros: 0 }
}

impl Session {
    pub fn start(configuration: &Configuration) -> Self {
        let mut balance = Balance::new(configuration.balance.clone()).unwrap();
        let session = FakeHost::new().session("db", "user", "");
        let nodes = [node(PRIMARY, NodeRole::Primary, 0.0), node(STANDBY, NodeRole::Standby, 1.0)];
        balance.topology(&nodes, &session);
        let client = SessionInfo {
            database: "db".to_owned(),
            user: "user".to_owned(),
            application_name: String::new(),
        };
        Self {
            home: balance.plan_session(&client, 0, &session).unwrap().home,
            session,
            tell_end: false,
            classify: Classify::new(configuration.classify.clone()).unwrap(),
            balance,
            host: catalog(),
            transaction: Transaction::Idle,
            transaction_memory: 0,
            session_memory: 0,
            open_on: BTreeSet::new(),
            prepared: HashMap::new(),
        }
    }

    /// Where a statement goes, as the recordings write it, and why; then the
    /// session is as after it.
    pub fn run(&mut self, step: &Recorded) -> (String, String) {
        let verdict = self.classify.verdict(&step.sql, &self.host);
        let verdict = self.in_place_of_prepare(verdict);
        let ends_failure = matches!(verdict.kind, Kind::Commit | Kind::Rollback | Kind::RollbackTo);
        if self.transaction == Transaction::Failed && !ends_failure {
            return ("-".to_owned(), "the transaction failed".to_owned());
        }
        let servers = self.route(&verdict);
        let verbatim = self.verbatim_on(&verdict, &servers);
        self.after(step, &verdict, servers);
        let nodes: Vec<String> = verbatim.iter().map(u32::to_string).collect();
        (nodes.join(","), verdict.reason)
    }

    /// EXECUTE of a known statement goes where its PREPARE would go now.
    fn in_place_of_prepare(&self, verdict: Verdict) -> Verdict {
        match self.prepared_as(&verdict) {
            Some((prepared, _)) if verdict.kind == Kind::Execute => Verdict {
                servers: match verdict.effects.contains(Effects::WRITES) {
                    true => Servers::Primary,
                    false => prepared.servers,
                },
                effects: verdict.effects | (prepared.effects - Effects::SESSION_STATE),
                ..verdict
            },
            _ => verdict,
        }
    }

    fn prepared_as(&self, verdict: &Verdict) -> Option<&(Verdict, BTreeSet<u32>)> {
        self.prepared.get(verdict.name.as_ref()?)
    }

    fn route(&mut self, verdict: &Verdict) -> BTreeSet<u32> {
        let state = SessionState {
            transaction: self.transaction,
            transaction_memory: self.transaction_memory,
            session_memory: self.session_memory,
            home: self.home,
            waited_millis: 0,
            random: 1 << 62,
        };
        self.session.set_statement(verdict);
        let routing = self.balance.route(Statement::from(verdict), state, &self.session).unwrap();
        let Routing::To(decision) = routing else { panic!("undecided: {routing:?}") };
        self.tell_end |= decision.tell_end;
        self.transaction_memory = decision.transaction_memory;
        self.session_memory = decision.session_memory;
        let servers: BTreeSet<u32> = match decision.servers {
            Servers::Any => [decision.node].into(),
            Servers::Primary => [PRIMARY].into(),
            Servers::All => [PRIMARY, decision.node].into(),
        };
        match verdict.kind {
            // DEALLOCATE goes where its PREPARE went.
            Kind::Deallocate => match self.prepared_as(verdict) {
                Some((_, prepared_on)) => prepared_on.clone(),
                None => servers,
            },
            // Only where there is a transaction can one end.
            Kind::Commit | Kind::Rollback => servers.intersection(&self.open_on).copied().collect(),
            _ => servers,
        }
    }

    /// A BEGIN which a standby would refuse is sent there as a plain BEGIN,
    /// which the recordings do not count.
    fn verbatim_on(&self, verdict: &Verdict, servers: &BTreeSet<u32>) -> BTreeSet<u32> {
        let refused = Effects::SERIALIZABLE | Effects::READ_WRITE;
        match verdict.kind == Kind::Begin && verdict.effects.intersects(refused) {
            true => [PRIMARY].into(),
            false => servers.clone(),
        }
    }

    fn after(&mut self, step: &Recorded, verdict: &Verdict, servers: BTreeSet<u32>) {
        if step.failed {
            if self.transaction == Transaction::Open {
                self.transaction = Transaction::Failed;
            }
        } else {
            self.succeeded(step, verdict, servers);
        }
        if self.transaction == Transaction::Idle {
            if std::mem::take(&mut self.tell_end) {
                self.balance.ended(!step.failed && verdict.kind != Kind::Rollback, &self.session);
            }
            self.session.end_transaction();
            self.transaction_memory = 0;
            self.open_on.clear();
        }
    }

    fn succeeded(&mut self, step: &Recorded, verdict: &Verdict, servers: BTreeSet<u32>) {
        let name = || verdict.name.clone().unwrap();
        match verdict.kind {
            Kind::Begin => {
                self.transaction = Transaction::Open;
                self.open_on = servers;
            }
            Kind::Unknown if verdict.effects.contains(Effects::TRANSACTION_INSIDE) => {
                // The only such text begins a transaction.
                assert!(step.sql.starts_with("BEGIN;"));
                self.transaction = Transaction::Open;
                self.open_on = servers;
            }
            Kind::Commit | Kind::Rollback | Kind::PrepareTransaction => self.transaction = Transaction::Idle,
            Kind::RollbackTo => self.transaction = Transaction::Open,
            Kind::Prepare => {
                self.prepared.insert(name(), (verdict.clone(), servers));
            }
            Kind::Deallocate if verdict.name.is_some() => {
                self.prepared.remove(&name());
            }
            Kind::Deallocate => self.prepared.clear(),
            Kind::Ddl => {
                if let Some(rest) = step.sql.strip_prefix("CREATE TEMP TABLE ") {
                    let table = rest.split('(').next().unwrap();
                    let host = std::mem::take(&mut self.host);
                    self.host = with_temporary(host, table);
                }
            }
            _ => {}
        }
    }
}
