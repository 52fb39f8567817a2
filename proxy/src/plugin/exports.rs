//! The functions that a plugin exports for each role.

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Func, Instance, Lift, Lower, TypedFunc};
use wasmtime::{AsContextMut, Store};

use super::contract::{
    Decision, Effects, Kind, Node, NodeRole, Plan, Servers, SessionInfo, SessionPlan, SessionState,
    Statement, Transaction, VERSION, Verdict,
};
use super::guest::Guest;
use super::source::Role;

/// The functions of one role, in one instance.
pub(super) trait Exports: Sized {
    const ROLE: Role;

    /// Finds the functions and checks their types.
    fn bind(store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self>;

    /// Calls each function once with something harmless.
    fn probe(&self, store: &mut Store<Guest>) -> wasmtime::Result<()>;
}

/// Finds `lifecycle.init` and checks its type.
pub(super) fn bind_init(store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Func> {
    let interface = interface(store, instance, &format!("waypool:plugin/lifecycle@{VERSION}"))?;
    let init = function::<(&str,), (InitAnswer,)>(store, instance, &interface, "init")?;
    Ok(*init.func())
}

/// Calls what [`bind_init`] found.
pub(super) fn init(store: &mut Store<Guest>, init: Func, config: &str) -> wasmtime::Result<InitAnswer> {
    // SAFETY: `bind_init` checked these types; only the lifetime differs.
    let init = unsafe { TypedFunc::<(&str,), (InitAnswer,)>::new_unchecked(init) };
    Ok(init.call(store, (config,))?.0)
}

/// The error is for the operator.
type InitAnswer = Result<(), String>;

fn interface(
    store: &mut Store<Guest>,
    instance: &Instance,
    name: &str,
) -> wasmtime::Result<ComponentExportIndex> {
    instance
        .get_export_index(store, None, name)
        .ok_or_else(|| wasmtime::Error::msg(format!("it does not export {name}")))
}

fn function<P, R>(
    store: &mut Store<Guest>,
    instance: &Instance,
    interface: &ComponentExportIndex,
    name: &str,
) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let index = instance
        .get_export_index(&mut *store, Some(interface), name)
        .ok_or_else(|| wasmtime::Error::msg(format!("it does not export the function {name}")))?;
    instance
        .get_typed_func(store, index)
        .map_err(|error| error.context(format!("the function {name} has other types")))
}

// === Classifier ===

type TextParams<'t> = (&'t str, &'t str);

pub(super) struct Classifier {
    /// Of [`TextParams`] to a [`Verdict`]. Untyped, because the parameters
    /// borrow and this type cannot say for how long.
    classify: Func,
}

impl Classifier {
    pub fn classify(
        &self,
        store: impl AsContextMut<Data = Guest>,
        text: &str,
        database: &str,
    ) -> wasmtime::Result<Verdict> {
        // SAFETY: `bind` checked these types; only the lifetime differs.
        let classify = unsafe { TypedFunc::<TextParams<'_>, (Verdict,)>::new_unchecked(self.classify) };
        Ok(classify.call(store, (text, database))?.0)
    }
}

impl Exports for Classifier {
    const ROLE: Role = Role::Classifier;

    fn bind(store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self> {
        let own = interface(store, instance, &Self::ROLE.interface())?;
        let classify = function::<TextParams<'_>, (Verdict,)>(store, instance, &own, "classify")?;
        Ok(Classifier { classify: *classify.func() })
    }

    fn probe(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        self.classify(store, "SELECT 1", "postgres").map(drop)
    }
}

// === Balancer ===

type RouteParams = (Kind, Servers, Effects, Transaction, u32, u32, u32, u64);

pub(super) struct Balancer {
    /// Of a list of nodes to nothing; untyped like [`Classifier`]'s.
    topology: Func,
    /// Of [`SessionInfo`] and a random number to a [`SessionPlan`]; untyped likewise.
    session_start: Func,
    /// Called for every statement.
    route: TypedFunc<RouteParams, (Decision,)>,
    ended: TypedFunc<(bool,), ()>,
    explain: TypedFunc<(), (String,)>,
}

impl Balancer {
    pub fn topology(&self, store: impl AsContextMut<Data = Guest>, nodes: &[Node]) -> wasmtime::Result<()> {
        // SAFETY: `bind` checked these types; only the lifetime differs.
        let topology = unsafe { TypedFunc::<(&[Node],), ()>::new_unchecked(self.topology) };
        topology.call(store, (nodes,))
    }

    pub fn session_start(
        &self,
        store: impl AsContextMut<Data = Guest>,
        session: &SessionInfo,
        random: u64,
    ) -> wasmtime::Result<SessionPlan> {
        // SAFETY: `bind` checked these types; only the lifetime differs.
        let session_start =
            unsafe { TypedFunc::<(&SessionInfo, u64), (SessionPlan,)>::new_unchecked(self.session_start) };
        Ok(session_start.call(store, (session, random))?.0)
    }

    pub fn route(
        &self,
        store: impl AsContextMut<Data = Guest>,
        statement: Statement,
        state: SessionState,
    ) -> wasmtime::Result<Decision> {
        let Statement { kind, servers, effects } = statement;
        let params = (
            kind,
            servers,
            effects,
            state.transaction,
            state.transaction_memory,
            state.session_memory,
            state.home,
            state.random,
        );
        Ok(self.route.call(store, params)?.0)
    }

    pub fn ended(&self, store: impl AsContextMut<Data = Guest>, success: bool) -> wasmtime::Result<()> {
        self.ended.call(store, (success,))
    }

    pub fn explain(&self, store: impl AsContextMut<Data = Guest>) -> wasmtime::Result<String> {
        Ok(self.explain.call(store, ())?.0)
    }
}

impl Exports for Balancer {
    const ROLE: Role = Role::Balancer;

    fn bind(store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self> {
        let own = interface(store, instance, &Self::ROLE.interface())?;
        let topology = function::<(&[Node],), ()>(store, instance, &own, "topology")?;
        let session_start =
            function::<(&SessionInfo, u64), (SessionPlan,)>(store, instance, &own, "session-start")?;
        Ok(Balancer {
            topology: *topology.func(),
            session_start: *session_start.func(),
            route: function(store, instance, &own, "route")?,
            ended: function(store, instance, &own, "ended")?,
            explain: function(store, instance, &own, "explain")?,
        })
    }

    fn probe(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        let node = |id, role| Node {
            id,
            role,
            usable: true,
            delayed: false,
            weight: 1.0,
            lag_bytes: 0,
            lag_micros: 0,
        };
        let session = SessionInfo {
            database: "postgres".to_owned(),
            user: "postgres".to_owned(),
            application_name: String::new(),
        };
        let statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::NONE };
        let state = |home| SessionState {
            transaction: Transaction::Idle,
            transaction_memory: 0,
            session_memory: 0,
            home,
            random: 0,
        };
        // Alone first: a cluster may have lost all its standbys.
        self.topology(&mut *store, &[node(0, NodeRole::Primary)])?;
        self.topology(&mut *store, &[node(0, NodeRole::Primary), node(1, NodeRole::Standby)])?;
        let plan = self.session_start(&mut *store, &session, 0)?;
        self.route(&mut *store, statement, state(plan.home))?;
        self.explain(store).map(drop)
    }
}

// === Rewriter ===

pub(super) struct Rewriter {
    /// Of [`TextParams`] to a [`Plan`]; untyped like [`Classifier`]'s.
    rewrite: Func,
}

impl Rewriter {
    pub fn rewrite(
        &self,
        store: impl AsContextMut<Data = Guest>,
        text: &str,
        database: &str,
    ) -> wasmtime::Result<Plan> {
        // SAFETY: `bind` checked these types; only the lifetime differs.
        let rewrite = unsafe { TypedFunc::<TextParams<'_>, (Plan,)>::new_unchecked(self.rewrite) };
        let plan = rewrite.call(store, (text, database))?.0;
        plan.check(text).map_err(wasmtime::Error::msg)?;
        Ok(plan)
    }
}

impl Exports for Rewriter {
    const ROLE: Role = Role::Rewriter;

    fn bind(store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self> {
        let own = interface(store, instance, &Self::ROLE.interface())?;
        let rewrite = function::<TextParams<'_>, (Plan,)>(store, instance, &own, "rewrite")?;
        Ok(Rewriter { rewrite: *rewrite.func() })
    }

    fn probe(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        self.rewrite(store, "SELECT 1", "postgres").map(drop)
    }
}
