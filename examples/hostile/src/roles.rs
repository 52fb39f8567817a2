//! The roles: a decent answer, unless something else is ordered.

use waypool_plugin_sdk::{
    Admission, Balancer, Changes, Classifier, Decision, Depends, Edit, Effects, Error, FunctionFact, Gate,
    Host, Kind, Level, Newcomer, Node, Observation, Observer, Opinion, Plan, ReadAfter, Refusal,
    RelationFact, Rewriter, Routing, Servers, SessionInfo, SessionPlan, SessionState, Statement, Value,
    Verdict,
};

use crate::deeds::{self, Deed, Hook};
use crate::{Hostile, Role};

/// No server has this number.
const NOBODY: u32 = 999;

fn bad_refusal() -> Refusal {
    Refusal::new("oops", "was told to refuse")
}

/// A verdict that contradicts itself: the end of a statement which has no name,
/// on a standby, with a reason that fills the log.
fn garbage() -> Verdict {
    let effects = Effects::all() - Effects::UNPARSED;
    let reason = "because ".repeat(1 << 20);
    Verdict { name: Some("\0".to_owned()), ..Verdict::new(Kind::Execute, Servers::Any, effects, reason) }
}

impl Classifier for Hostile {
    fn classify(&mut self, text: &str, host: &Host) -> Result<Opinion, Error> {
        if !self.plays(Role::Classifier) || text == "pass" {
            return Ok(Opinion::pass());
        }
        match self.obey_counted(Hook::Classify, text, host)? {
            Some(Deed::Garbage) => return Ok(garbage().into()),
            Some(Deed::InvalidUtf8) => return Ok(Verdict::read(deeds::invalid_utf8()).into()),
            _ if text.starts_with("refine") => return Ok(Opinion::Refine),
            // Its tag is for the hooks that do not see the text.
            _ if self.config.modest && deeds::in_comment(text).is_some() => return Ok(Opinion::Refine),
            _ if self.config.modest => return Ok(Opinion::pass()),
            _ => {}
        }
        host.count("classified", 1);
        host.log(Level::Debug, text);
        let function = host.function_fact(None, "f");
        let operator = host.operator_fact("<@@>");
        let relation = host.relation_fact(Some("s"), "r");
        let known = !matches!(function, FunctionFact::Unknown) && !matches!(relation, RelationFact::Unknown);
        Ok(Opinion::Answer(Verdict {
            depends: Depends::Shape,
            kind: Kind::Select,
            servers: if known { Servers::Any } else { Servers::Primary },
            effects: Effects::SESSION_STATE | Effects::LOCKS,
            name: Some("name".to_owned()),
            reads: vec![host.database()],
            writes: vec![format!("{operator:?}")],
            functions: vec![format!("{function:?}"), format!("{relation:?}")],
            // For the hooks that do not see the text.
            tags: vec![text.to_owned()],
            reason: format!("mark {} call {}", self.config.mark, self.calls),
        }))
    }

    fn refine(&mut self, text: &str, verdict: Verdict, host: &Host) -> Result<Verdict, Error> {
        Ok(match self.obey_counted(Hook::Refine, text, host)? {
            Some(Deed::Garbage) => garbage(),
            Some(Deed::InvalidUtf8) => verdict.tagged([deeds::invalid_utf8()]),
            _ => {
                let reason = format!("mark {} refined: {}", self.config.mark, verdict.reason);
                let tag = deeds::in_comment(text).unwrap_or(text);
                // It looks at comments, at least.
                let depends = if verdict.depends == Depends::Shape { Depends::Text } else { verdict.depends };
                Verdict { reason, depends, ..verdict.tagged([tag]) }
            }
        })
    }
}

impl Rewriter for Hostile {
    fn rewrite(&mut self, text: &str, host: &Host) -> Result<Plan, Error> {
        if !self.plays(Role::Rewriter) {
            return Ok(Plan::keep());
        }
        let edit = |start, end| Plan::Edit(vec![Edit { start, end, value: Value::StatementTimestamp }]);
        match self.obey_counted(Hook::Rewrite, text, host)? {
            Some(Deed::Garbage) => return Ok(edit(3, 2)),
            Some(Deed::BadSqlstate) => return Ok(bad_refusal().into()),
            Some(Deed::InvalidUtf8) => return Ok(Plan::Edit(vec![Edit::insert(0, deeds::invalid_utf8())])),
            _ => {}
        }
        if let Some((start, end)) = self.config.edit {
            return Ok(edit(start, end));
        }
        Ok(match text {
            "refuse" => Refusal::new("42501", "was told to refuse").into(),
            "bad sqlstate" => bad_refusal().into(),
            "edit" => edit(0, 4),
            "beyond" => edit(0, 4000),
            "ä inside" => edit(1, 2),
            "twice" => Plan::Edit(vec![Edit::replace(0..3, "a"), Edit::replace(2..5, "b")]),
            _ => Plan::keep(),
        })
    }
}

impl Balancer for Hostile {
    fn topology(&mut self, nodes: &[Node], host: &Host) {
        if self.plays(Role::Balancer) {
            // There is nothing to answer.
            let _ = self.obey(Hook::Topology, "", host);
        }
        self.nodes = nodes.to_vec();
    }

    fn plan_session(&mut self, session: &SessionInfo, random: u64, host: &Host) -> Option<SessionPlan> {
        if !self.plays(Role::Balancer) {
            return None;
        }
        let by_database = self.obey_counted(Hook::PlanSession, &host.database(), host);
        let by_user = self.obey(Hook::PlanSession, &session.user, host);
        let by_application = deeds::ordered(Hook::PlanSession, &session.application_name);
        let by_application = by_application.map(|deed| deeds::commit(deed, &mut self.ballast, host));
        let home = match self.nodes.len() as u64 {
            0 => 0,
            many => self.nodes[(random % many) as usize].id,
        };
        let plan = SessionPlan {
            home,
            memory: 11,
            read_after: Some(ReadAfter::User),
            wait_millis: session.user.len() as u32,
        };
        let left = by_database.ok().flatten().or(by_user.ok().flatten());
        match left.or(by_application.and_then(Result::ok).flatten()) {
            Some(Deed::Garbage) => Some(SessionPlan { home: NOBODY, wait_millis: u32::MAX, ..plan }),
            _ if self.config.modest => None,
            _ => Some(plan),
        }
    }

    fn route(&mut self, statement: Statement, state: SessionState, host: &Host) -> Result<Routing, Error> {
        if !self.plays(Role::Balancer) {
            return Ok(Routing::Pass);
        }
        self.calls += 1;
        if state.random == 6 {
            let decision =
                Decision { transaction_memory: self.calls, ..Decision::keeping(state, Servers::Any, 1) };
            return Ok(decision.steady().into());
        }
        let said = host.tags().into_iter().next().unwrap_or_default();
        for word in host.reads().into_iter().chain(host.writes()).chain(host.functions()) {
            host.remember(&word);
        }
        // A unit test has no tags, but a random number of its choice.
        let deed = match state.random {
            1 => deeds::commit(Deed::Trap, &mut self.ballast, host)?,
            2 => deeds::commit(Deed::Loop, &mut self.ballast, host)?,
            3 => deeds::commit(Deed::Hog, &mut self.ballast, host)?,
            4 => Some(Deed::Garbage),
            // Without its hook a deed was meant for who saw the text.
            _ if said.contains(' ') => self.obey(Hook::Route, &said, host)?,
            _ => self.obey(Hook::Route, "", host)?,
        };
        // `ended` and `explain` see no statement.
        if said.contains(' ') {
            host.remember(&said);
        }
        let decision = Decision {
            servers: statement.servers,
            node: state.home,
            transaction_memory: self.nodes.len() as u32,
            session_memory: self.config.mark,
            tell_end: state.random == 5 || said.starts_with("ended"),
            steady: state.random == 7,
        };
        Ok(match deed {
            Some(Deed::Garbage) => Decision { node: NOBODY, ..decision }.into(),
            Some(Deed::BadSqlstate) => bad_refusal().into(),
            Some(Deed::InvalidUtf8) => Refusal::new("42501", deeds::invalid_utf8()).into(),
            Some(Deed::Wait) => Routing::Wait(u32::MAX),
            _ if said == "route pass" => Routing::Pass,
            _ if said == "route refuse" => Refusal::new("42501", "was told to refuse").into(),
            // Once
            _ if said == "route later" && state.waited_millis == 0 => Routing::Wait(50),
            _ if self.config.modest && said.starts_with("ended") => Routing::Watch,
            _ if self.config.modest => Routing::Pass,
            _ => decision.into(),
        })
    }

    fn ended(&mut self, success: bool, host: &Host) {
        for word in host.remembered() {
            if word.contains(' ') {
                let _ = self.obey(Hook::Ended, &word, host);
            }
        }
        let _ = self.obey(Hook::Ended, "", host);
        let ended = host.get("ended").unwrap_or_default();
        host.set("ended", ended + 1 + u64::from(success), None);
        host.count("ended", ended + 1 + u64::from(success));
    }

    fn explain(&self, host: &Host) -> String {
        let said = host.tags().into_iter().next().unwrap_or_default();
        let deed = self.plan.always(Hook::Explain).or_else(|| deeds::ordered(Hook::Explain, &said));
        match deed.map(|deed| deeds::commit(deed, &mut Vec::new(), host)) {
            Some(Ok(Some(Deed::Garbage))) => "because ".repeat(1 << 20),
            Some(Ok(Some(Deed::InvalidUtf8))) => deeds::invalid_utf8(),
            _ => format!("mark {}", self.config.mark),
        }
    }
}

impl Gate for Hostile {
    fn session_start(&mut self, newcomer: &Newcomer, host: &Host) -> Result<Admission, Error> {
        if !self.plays(Role::Gate) {
            return Ok(Admission::Pass);
        }
        // One or the other
        let by_user = deeds::ordered(Hook::SessionStart, &newcomer.user).is_some();
        let said = if by_user { &newcomer.user } else { &newcomer.application_name };
        Ok(match self.obey(Hook::SessionStart, said, host)? {
            Some(Deed::Garbage) => Changes::default().parameter("a\0b", "c\0d").into(),
            Some(Deed::BadSqlstate) => bad_refusal().into(),
            Some(Deed::InvalidUtf8) => Changes::default().database(deeds::invalid_utf8()).into(),
            _ => match newcomer.application_name.as_str() {
                "refuse" => Refusal::new("28000", "was told to refuse").into(),
                "map" => Changes::default().parameter("application_name", "mapped").into(),
                "mapped" => Refusal::new("28000", "has been mapped before").into(),
                name => match name.strip_prefix("database ") {
                    Some(database) => Changes::default().database(database).into(),
                    None => Admission::Pass,
                },
            },
        })
    }
}

impl Observer for Hostile {
    fn observe(&mut self, statements: &[Observation], host: &Host) {
        if !self.plays(Role::Observer) {
            return;
        }
        host.count("observed", statements.len() as u64);
        let _ = self.obey(Hook::Observe, "", host);
        for said in statements.iter().flat_map(|statement| &statement.tags) {
            if said.contains(' ') {
                let _ = self.obey(Hook::Observe, said, host);
            }
        }
    }
}
