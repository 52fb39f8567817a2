#![allow(clippy::unwrap_used)]

use super::*;
use crate::{Changes, Decision, Depends, Edit, FunctionFact, Servers};

/// One of everything.
#[derive(Debug)]
struct Plugin1 {
    limit: u32,
    primary: u32,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    limit: u32,
}

impl Plugin for Plugin1 {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        if config.limit == 0 {
            return Err("limit has to be positive".into());
        }
        Ok(Plugin1 { limit: config.limit, primary: u32::MAX })
    }
}

impl Rewriter for Plugin1 {
    fn rewrite(&mut self, text: &str, host: &Host) -> Result<Plan, Error> {
        Ok(match text {
            "DROP TABLE t" if host.user() != "owner" => {
                host.count("refused", 1);
                Refusal::new("42501", "only the owner may").hint("ask").into()
            }
            "SELECT now()" => Plan::Edit(vec![Edit { start: 7, end: 12, value: Value::StatementTimestamp }]),
            text if text.starts_with("SELECT * FROM t") && !text.contains("LIMIT") => {
                Plan::Edit(vec![Edit::insert(text.len(), format!(" LIMIT {}", self.limit))])
            }
            _ => Plan::Keep(Depends::Text),
        })
    }
}

impl Classifier for Plugin1 {
    fn classify(&mut self, text: &str, host: &Host) -> Result<Opinion, Error> {
        if text.starts_with("/* acme */") {
            return Ok(Opinion::Refine);
        }
        Ok(match host.function_fact(None, "f") {
            FunctionFact::Missing => Opinion::pass(),
            FunctionFact::Unknown => Verdict::conservative("who knows").into(),
            FunctionFact::Found(volatility) => Verdict::read(format!("f is {volatility:?}")).into(),
        })
    }

    fn refine(&mut self, _text: &str, verdict: Verdict, _host: &Host) -> Result<Verdict, Error> {
        Ok(verdict.tagged(["tenant=acme"]))
    }
}

impl Balancer for Plugin1 {
    fn topology(&mut self, nodes: &[Node], _host: &Host) {
        let primary = nodes.iter().find(|node| node.role == crate::NodeRole::Primary);
        self.primary = primary.map_or(u32::MAX, |node| node.id);
    }

    fn plan_session(&mut self, _: &SessionInfo, random: u64, _: &Host) -> Option<SessionPlan> {
        Some(SessionPlan::home(random as u32))
    }

    fn route(&mut self, statement: Statement, state: SessionState, host: &Host) -> Result<Routing, Error> {
        if host.tag("tenant").is_none() {
            return Ok(Routing::Pass);
        }
        Ok(match host.add("running", 1, None) {
            Some(running) if running > u64::from(self.limit) => Routing::Wait(10),
            _ if statement.servers == Servers::Any => Routing::to(self.primary, state),
            _ => Decision::keeping(state, statement.servers, state.home).into(),
        })
    }
}

impl Gate for Plugin1 {
    fn session_start(&mut self, newcomer: &Newcomer, host: &Host) -> Result<Admission, Error> {
        Ok(match (newcomer.tls, newcomer.address.as_deref()) {
            (true, _) => Admission::Pass,
            (false, None) => Changes::default().database(format!("{}_local", host.database())).into(),
            (false, Some(_)) => Refusal::new("28000", "use TLS").into(),
        })
    }
}

fn report(text: &str) -> table::Report {
    let mut tested = Tested::<Plugin1>::new().classifier().rewriter().balancer().gate();
    table::run(&Table::parse("t.toml", text).unwrap(), &mut tested)
}

#[test]
fn a_plugin_is_asked_natively() {
    let report = report(
        r#"
config = { limit = 2 }

[[case]]
statement = "SELECT * FROM t"
rewritten = "SELECT * FROM t LIMIT 2"
passes = false

[[case]]
statement = "SELECT now()"
rewritten = "SELECT {statement_timestamp}"

[[case]]
statement = "DROP TABLE t"
refused = "42501"
hint = "ask"
counted = { refused = 1 }

[[case]]
statement = "DROP TABLE t"
user = "owner"
passes = true

[[case]]
statement = "DROP TABLE t"
user = "owner"
facts = { functions = { "s.f" = "volatile" } }
reason = "Volatility::Volatile"
depends = "text"

[[case]]
statement = "SELECT 1"
facts = { unknown = true }
effects = ["writes"]

[[case]]
statement = "/* acme */ SELECT 1"
tags = ["tenant=acme"]
nodes = [{ id = 4, role = "standby" }, { id = 5, role = "primary" }]
routed_to = 5

[[case]]
statement = "/* acme */ SET a = 1"
behind = { kind = "set", servers = "all", effects = ["session-state"] }
random = 1
planned_home = 1
routed_to = "all"

[[case]]
statement = "/* acme */ SELECT 1"
repeat = 3
waits = 10

[[case]]
tls = true
passes = true

[[case]]
database = "shop"
database_becomes = "shop_local"

[[case]]
address = "192.0.2.7"
refused = "28000"
"#,
    );
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.to_string(), "t.toml: 12 cases, all as expected");
}

#[test]
fn a_configuration_that_is_refused_fails_the_case() {
    let report = report("case = [{ statement = 'x' }, { statement = 'x', config = { limt = 1 } }]");
    let said = report.to_string();
    assert!(said.contains("init: limit has to be positive"), "{said}");
    assert!(said.contains("unknown field `limt`"), "{said}");
}
