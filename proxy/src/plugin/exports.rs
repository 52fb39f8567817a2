//! The functions that a plugin exports, by role.

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Func, Instance, Lift, Lower, TypedFunc};
use wasmtime::{AsContextMut, Store};

use super::contract::{
    Admission, Description, Effects, Kind, Newcomer, Node, NodeRole, Observation, Opinion, Plan, Refusal,
    Routing, RoutingAnswer, Servers, SessionInfo, SessionPlan, SessionState, Statement, Transaction, VERSION,
    Verdict,
};
use super::guest::Guest;
use super::source::{Role, Roles};

/// A plugin's functions in one instance, found and with their types checked.
///
/// Functions with borrowed parameters are kept untyped, because a type cannot
/// say for how long they borrow; each call gives them their type back.
pub(super) struct Exports {
    init: Func,
    describe: TypedFunc<(), (Description,)>,
    self_test: TypedFunc<(), (Answer<()>,)>,
    classifier: Option<Classifier>,
    rewrite: Option<Func>,
    balancer: Option<Balancer>,
    session_start: Option<Func>,
    observe: Option<Func>,
}

struct Classifier {
    classify: Func,
    refine: Func,
}

struct Balancer {
    topology: Func,
    plan_session: Func,
    /// Called for every statement.
    route: TypedFunc<RouteParams, (RoutingAnswer,)>,
    why_not: TypedFunc<(), (Refusal,)>,
    ended: TypedFunc<(bool,), ()>,
    explain: TypedFunc<(), (String,)>,
}

/// The error is the plugin's own.
type Answer<T> = Result<T, String>;
type Text<'t> = (&'t str, u64);
type RefineParams<'t> = (&'t str, &'t Verdict, u64);
type SessionParams<'t> = (&'t SessionInfo, u64);
type RouteParams = (Kind, Servers, Effects, Transaction, u32, u32, u32, u32, u64);

/// An error that a plugin returned.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Said(pub String);

fn said<T>(answer: Answer<T>) -> wasmtime::Result<T> {
    answer.map_err(|message| wasmtime::Error::new(Said(message)))
}

fn malformed<T>(message: impl Into<String>) -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg(message.into()))
}

/// Gives a function the type that `bind` has checked.
macro_rules! typed {
    ($function:expr, $params:ty, $results:ty) => {
        // SAFETY: `Exports::bind` checked these types; only the lifetime differs.
        unsafe { TypedFunc::<$params, $results>::new_unchecked($function) }
    };
}

impl Exports {
    pub fn bind(store: &mut Store<Guest>, instance: &Instance, roles: Roles) -> wasmtime::Result<Self> {
        let mut find = Finder { store, instance };
        let lifecycle = find.interface("lifecycle")?;
        let init = find.function::<(&str,), (Answer<()>,)>(&lifecycle, "init")?;
        let describe = find.function(&lifecycle, "describe")?;
        let self_test = find.function(&lifecycle, "self-test")?;
        let mut exports = Exports {
            init: *init.func(),
            describe,
            self_test,
            classifier: None,
            rewrite: None,
            balancer: None,
            session_start: None,
            observe: None,
        };
        for role in roles.iter() {
            let own = find.interface(&role.to_string())?;
            exports.bind_role(&mut find, role, &own)?;
        }
        Ok(exports)
    }

    fn bind_role(
        &mut self,
        find: &mut Finder<'_>,
        role: Role,
        own: &ComponentExportIndex,
    ) -> wasmtime::Result<()> {
        match role {
            Role::Classifier => {
                let classify = find.function::<Text<'_>, (Answer<Opinion>,)>(own, "classify")?;
                let refine = find.function::<RefineParams<'_>, (Answer<Verdict>,)>(own, "refine")?;
                self.classifier = Some(Classifier { classify: *classify.func(), refine: *refine.func() });
            }
            Role::Rewriter => {
                let rewrite = find.function::<Text<'_>, (Answer<Plan>,)>(own, "rewrite")?;
                self.rewrite = Some(*rewrite.func());
            }
            Role::Balancer => {
                let topology = find.function::<(&[Node],), ()>(own, "topology")?;
                let plan = find.function::<SessionParams<'_>, (Option<SessionPlan>,)>(own, "plan-session")?;
                self.balancer = Some(Balancer {
                    topology: *topology.func(),
                    plan_session: *plan.func(),
                    route: find.function(own, "route")?,
                    why_not: find.function(own, "why-not")?,
                    ended: find.function(own, "ended")?,
                    explain: find.function(own, "explain")?,
                });
            }
            Role::Gate => {
                let start = find.function::<(&Newcomer,), (Answer<Admission>,)>(own, "session-start")?;
                self.session_start = Some(*start.func());
            }
            Role::Observer => {
                let observe = find.function::<(&[Observation],), ()>(own, "observe")?;
                self.observe = Some(*observe.func());
            }
        }
        Ok(())
    }

    // === lifecycle ===

    /// The error is for the operator.
    pub fn init(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<Answer<()>> {
        let init = typed!(self.init, (&str,), (Answer<()>,));
        Ok(init.call(store, (config,))?.0)
    }

    pub fn describe(&self, store: &mut Store<Guest>) -> wasmtime::Result<Description> {
        Ok(self.describe.call(store, ())?.0)
    }

    /// The error is for the operator.
    pub fn self_test(&self, store: &mut Store<Guest>) -> wasmtime::Result<Answer<()>> {
        Ok(self.self_test.call(store, ())?.0)
    }

    /// Calls each function once with something harmless.
    pub fn probe(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        if self.classifier.is_some() {
            self.classify(&mut *store, "SELECT 1", 0)?;
            self.refine(&mut *store, "SELECT 1", &Verdict::conservative("probe"), 0)?;
        }
        if self.rewrite.is_some() {
            self.rewrite(&mut *store, "SELECT 1", 0)?;
        }
        if self.balancer.is_some() {
            self.probe_balancer(store)?;
        }
        if self.session_start.is_some() {
            self.session_start(&mut *store, &somebody())?;
        }
        if self.observe.is_some() {
            self.observe(&mut *store, &[something()])?;
        }
        Ok(())
    }

    // === classifier ===

    pub fn classify(
        &self,
        store: impl AsContextMut<Data = Guest>,
        text: &str,
        facts: u64,
    ) -> wasmtime::Result<Opinion> {
        let Some(classifier) = &self.classifier else {
            return absent(Role::Classifier);
        };
        let classify = typed!(classifier.classify, Text<'_>, (Answer<Opinion>,));
        said(classify.call(store, (text, facts))?.0)
    }

    pub fn refine(
        &self,
        store: impl AsContextMut<Data = Guest>,
        text: &str,
        verdict: &Verdict,
        facts: u64,
    ) -> wasmtime::Result<Verdict> {
        let Some(classifier) = &self.classifier else {
            return absent(Role::Classifier);
        };
        let refine = typed!(classifier.refine, RefineParams<'_>, (Answer<Verdict>,));
        said(refine.call(store, (text, verdict, facts))?.0)
    }

    // === rewriter ===

    pub fn rewrite(
        &self,
        store: impl AsContextMut<Data = Guest>,
        text: &str,
        facts: u64,
    ) -> wasmtime::Result<Plan> {
        let Some(rewrite) = self.rewrite else {
            return absent(Role::Rewriter);
        };
        let plan = said(typed!(rewrite, Text<'_>, (Answer<Plan>,)).call(store, (text, facts))?.0)?;
        plan.check(text).or_else(malformed)?;
        Ok(plan)
    }

    // === balancer ===

    pub fn topology(&self, store: impl AsContextMut<Data = Guest>, nodes: &[Node]) -> wasmtime::Result<()> {
        let Some(balancer) = &self.balancer else {
            return absent(Role::Balancer);
        };
        typed!(balancer.topology, (&[Node],), ()).call(store, (nodes,))
    }

    pub fn plan_session(
        &self,
        store: impl AsContextMut<Data = Guest>,
        session: &SessionInfo,
        random: u64,
    ) -> wasmtime::Result<Option<SessionPlan>> {
        let Some(balancer) = &self.balancer else {
            return absent(Role::Balancer);
        };
        let plan_session = typed!(balancer.plan_session, SessionParams<'_>, (Option<SessionPlan>,));
        Ok(plan_session.call(store, (session, random))?.0)
    }

    #[inline]
    pub fn route(
        &self,
        mut store: impl AsContextMut<Data = Guest>,
        statement: Statement,
        state: SessionState,
    ) -> wasmtime::Result<Routing> {
        let Some(balancer) = &self.balancer else {
            return absent(Role::Balancer);
        };
        let Statement { kind, servers, effects } = statement;
        let params = (
            kind,
            servers,
            effects,
            state.transaction,
            state.transaction_memory,
            state.session_memory,
            state.home,
            state.waited_millis,
            state.random,
        );
        Ok(match balancer.route.call(&mut store, params)?.0 {
            RoutingAnswer::To(decision) => Routing::To(decision),
            RoutingAnswer::Pass => Routing::Pass,
            RoutingAnswer::Watch => Routing::Watch,
            RoutingAnswer::Wait(millis) => Routing::Wait(millis),
            RoutingAnswer::Refuse => {
                let refusal = balancer.why_not.call(&mut store, ())?.0;
                refusal.check().or_else(malformed)?;
                Routing::Refuse(refusal)
            }
            RoutingAnswer::Fail => return said(Err(balancer.why_not.call(&mut store, ())?.0.message)),
        })
    }

    pub fn ended(&self, store: impl AsContextMut<Data = Guest>, success: bool) -> wasmtime::Result<()> {
        let Some(balancer) = &self.balancer else {
            return absent(Role::Balancer);
        };
        balancer.ended.call(store, (success,))
    }

    pub fn explain(&self, store: impl AsContextMut<Data = Guest>) -> wasmtime::Result<String> {
        let Some(balancer) = &self.balancer else {
            return absent(Role::Balancer);
        };
        Ok(balancer.explain.call(store, ())?.0)
    }

    fn probe_balancer(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        let node = |id, role| Node {
            id,
            role,
            usable: true,
            delayed: false,
            weight: 1.0,
            lag_bytes: 0,
            lag_micros: 0,
        };
        let statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::NONE };
        // Alone first: a cluster may have lost all its standbys.
        self.topology(&mut *store, &[node(0, NodeRole::Primary)])?;
        self.topology(&mut *store, &[node(0, NodeRole::Primary), node(1, NodeRole::Standby)])?;
        let plan = self.plan_session(&mut *store, &SessionInfo::default(), 0)?;
        let state = SessionState {
            transaction: Transaction::Idle,
            transaction_memory: 0,
            session_memory: plan.map_or(0, |plan| plan.memory),
            home: plan.map_or(0, |plan| plan.home),
            waited_millis: 0,
            random: 0,
        };
        self.route(&mut *store, statement, state)?;
        self.explain(store).map(drop)
    }

    // === gate, observer ===

    pub fn session_start(
        &self,
        store: impl AsContextMut<Data = Guest>,
        newcomer: &Newcomer,
    ) -> wasmtime::Result<Admission> {
        let Some(start) = self.session_start else {
            return absent(Role::Gate);
        };
        let admission = said(typed!(start, (&Newcomer,), (Answer<Admission>,)).call(store, (newcomer,))?.0)?;
        if let Admission::Refuse(refusal) = &admission {
            refusal.check().or_else(malformed)?;
        }
        Ok(admission)
    }

    pub fn observe(
        &self,
        store: impl AsContextMut<Data = Guest>,
        statements: &[Observation],
    ) -> wasmtime::Result<()> {
        let Some(observe) = self.observe else {
            return absent(Role::Observer);
        };
        typed!(observe, (&[Observation],), ()).call(store, (statements,))
    }
}

/// Chains ask a plugin in its roles only.
#[cold]
fn absent<T>(role: Role) -> wasmtime::Result<T> {
    malformed(format!("it is no {role}"))
}

fn somebody() -> Newcomer {
    Newcomer {
        database: "postgres".to_owned(),
        user: "postgres".to_owned(),
        application_name: String::new(),
        address: None,
        tls: false,
    }
}

fn something() -> Observation {
    Observation {
        session: 1,
        database: "postgres".to_owned(),
        user: "postgres".to_owned(),
        application_name: String::new(),
        kind: Kind::Select,
        node: Some(0),
        duration_micros: 100,
        rows: 1,
        sqlstate: None,
        tags: Vec::new(),
    }
}

// === Finding ===

struct Finder<'f> {
    store: &'f mut Store<Guest>,
    instance: &'f Instance,
}

impl Finder<'_> {
    fn interface(&mut self, name: &str) -> wasmtime::Result<ComponentExportIndex> {
        let name = format!("waypool:plugin/{name}@{VERSION}");
        self.instance
            .get_export_index(&mut *self.store, None, &name)
            .ok_or_else(|| wasmtime::Error::msg(format!("it does not export {name}")))
    }

    fn function<P, R>(
        &mut self,
        interface: &ComponentExportIndex,
        name: &str,
    ) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let index = self
            .instance
            .get_export_index(&mut *self.store, Some(interface), name)
            .ok_or_else(|| wasmtime::Error::msg(format!("it does not export the function {name}")))?;
        self.instance
            .get_typed_func(&mut *self.store, index)
            .map_err(|error| error.context(format!("the function {name} has other types")))
    }
}
