//! Where a statement goes: what the balancers say, and the proxy's last word.

use super::ask::on_error;
use super::{Router, Scope};
use crate::config::ClusteringMode;
use crate::fanout;
use crate::plugin::contract::{
    self, Decision, Effects, Node, NodeRole, Refusal, Routing, Servers, SessionPlan, Transaction, Verdict,
};
use crate::plugin::{About, CallError, MAX_BALANCERS, Mark, Memory, Routed, Turn, Words};
use crate::protocol::PgError;
use std::cell::RefCell;
use std::time::Duration;

/// A balancer may let a statement wait for so long at a time, and in all.
const MAX_WAIT: Duration = Duration::from_secs(1);
const MAX_WAITED: Duration = Duration::from_secs(60);

/// What the balancers are told of a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionState {
    pub transaction: Transaction,
    /// By place among the scope's balancers.
    pub memories: [Memory; MAX_BALANCERS],
    pub home: u32,
    /// Balancers that want to be told of the end, a bit each.
    pub tell_end: u8,
}

impl SessionState {
    /// The transaction, or a statement outside of one, is over.
    pub fn end_transaction(&mut self) {
        for memory in &mut self.memories {
            memory.transaction = 0;
        }
    }
}

/// Where a statement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Whatever server this is, it can be read from.
    Read(usize),
    Primary,
    /// The primary, and the session's other servers too; this one is among
    /// them even if the session has not used it yet.
    All {
        home: Option<usize>,
    },
}

/// What the balancers say now.
enum Answer {
    To(Route, SessionState),
    Wait(Duration),
}

/// Where a statement would go, and why.
#[derive(Debug)]
pub struct Explained {
    pub route: Route,
    /// The plugin that decided.
    pub balancer: String,
    pub why: String,
}

/// Where a statement goes, with the memories as the balancers leave them.
/// Waits if one of them says so; the router is borrowed between the waits only.
pub async fn route(
    router: &RefCell<Router>,
    scope: &Scope,
    verdict: &Verdict,
    state: SessionState,
    words: &Words,
) -> Result<(Route, SessionState), PgError> {
    let mut waited = Duration::ZERO;
    let mark = words.mark();
    let (error, watching) = loop {
        let (answer, watching) = router.borrow_mut().ask_balancers(scope, verdict, state, waited, words);
        let wait = match answer {
            Ok(Answer::To(route, state)) => return Ok((route, state)),
            Ok(Answer::Wait(wait)) => wait,
            Err(error) => break (error, watching),
        };
        if waited >= MAX_WAITED {
            let message = format!("a balancer has let the statement wait for {} s", waited.as_secs());
            let error = PgError::error("57014", message)
                .with_hint("A plugin limits how many statements run: send it again later.");
            break (error, watching);
        }
        tokio::time::sleep(wait).await;
        waited += wait;
    };
    // It does not run: those who counted it are told.
    let after = SessionState { tell_end: state.tell_end | watching, ..state };
    router.borrow_mut().unroute(scope, &state, &after, words, mark);
    Err(error)
}

impl Router {
    /// Sees to it that the balancers will be told of the servers.
    fn update_topology(&mut self) {
        let now = self.cluster.epoch();
        if self.topology.epoch == now {
            return;
        }
        let nodes = self.cluster.backends.iter().map(|backend| Node {
            id: backend.id as u32,
            role: match self.cluster.primary() {
                Some(primary) if primary.id == backend.id => NodeRole::Primary,
                _ => NodeRole::Standby,
            },
            // In raw mode the others wait until they are needed.
            usable: backend.is_usable()
                && (self.cluster.mode != ClusteringMode::Raw || self.cluster.is_primary(backend.id)),
            delayed: backend.is_delayed(),
            weight: backend.weight(),
            lag_bytes: backend.lag(),
            lag_micros: backend.lag_micros(),
        });
        self.topology.nodes = nodes.collect();
        self.topology.epoch = now;
    }

    /// How a new session is treated: above all the server which its reads go
    /// to, and the memory that its balancer begins with.
    pub fn plan_session(&mut self, scope: &Scope) -> (SessionPlan, SessionState) {
        self.update_topology();
        let random = self.random.u64(..);
        let words = Words::default();
        let about = About::session(&scope.info, &words);
        let mut state = SessionState::default();
        let planned =
            scope.plugins.plan_session(&scope.chain, &self.topology, random, &mut state.memories, &about);
        // A failure is counted; nothing is read from standbys then.
        let plan = planned.ok().flatten().unwrap_or_else(|| {
            let primary = self.cluster.primary().map_or(0, |primary| primary.id as u32);
            SessionPlan { home: primary, ..SessionPlan::default() }
        });
        state.home = plan.home;
        (plan, state)
    }

    /// The statement or transaction is over of which balancers asked to be told.
    pub fn ended(&mut self, scope: &Scope, tell_end: u8, success: bool, words: &Words) {
        let about = About::session(&scope.info, words);
        for balancer in (0..MAX_BALANCERS).filter(|balancer| tell_end & 1 << balancer != 0) {
            let told = scope.plugins.ended(&scope.chain, balancer, &self.topology, success, &about);
            if let Err(error) = told {
                tracing::warn!("a balancer could not be told of the end of a transaction: {error}");
            }
        }
    }

    /// A statement does not run after all. Balancers that asked to be told of
    /// its end are told, and what they remembered of it since `mark` is
    /// forgotten; those which were waiting for the transaction's end still are.
    pub fn unroute(
        &mut self,
        scope: &Scope,
        before: &SessionState,
        after: &SessionState,
        words: &Words,
        mark: Mark,
    ) {
        let new = after.tell_end & !before.tell_end;
        if new != 0 {
            self.ended(scope, new, false, words);
        }
        words.back_to(mark, before.tell_end);
    }

    /// With the balancers that watch, whatever the answer is.
    fn ask_balancers(
        &mut self,
        scope: &Scope,
        verdict: &Verdict,
        state: SessionState,
        waited: Duration,
        words: &Words,
    ) -> (Result<Answer, PgError>, u8) {
        let Turn { watching, said } = self.turn(scope, verdict, state, waited, words);
        let mut state = state;
        state.tell_end |= watching;
        let answer = match said {
            Ok(Some(Routed { routing: Routing::To(decision), by })) => {
                state.memories[by] =
                    Memory { transaction: decision.transaction_memory, session: decision.session_memory };
                state.tell_end |= u8::from(decision.tell_end) << by;
                Ok(Answer::To(self.safe(scope, verdict, &decision, by), state))
            }
            Ok(Some(Routed { routing: Routing::Wait(millis), .. })) => {
                let wait = Duration::from_millis(u64::from(millis.max(1)));
                Ok(Answer::Wait(wait.min(MAX_WAIT)))
            }
            Ok(Some(Routed { routing: Routing::Refuse(refusal), .. })) => Err(refused(&refusal)),
            Ok(Some(Routed { routing: Routing::Pass | Routing::Watch, .. }) | None) => {
                Ok(Answer::To(undecided(verdict), state))
            }
            Err((by, error)) => on_error(&error).map(|_| {
                // What it would have remembered is lost: reads of this
                // transaction stay with the primary.
                state.memories[by].transaction = u32::MAX;
                Answer::To(undecided(verdict), state)
            }),
        };
        (answer, watching)
    }

    /// The servers that a statement is for.
    fn servers(&self, verdict: &Verdict) -> Servers {
        let replicates = self.cluster.mode.replicates();
        if replicates && fanout::only_reads(verdict) { Servers::Any } else { verdict.servers }
    }

    /// What the chain says.
    #[inline]
    fn turn(
        &mut self,
        scope: &Scope,
        verdict: &Verdict,
        state: SessionState,
        waited: Duration,
        words: &Words,
    ) -> Turn {
        self.update_topology();
        let servers = self.servers(verdict);
        let statement = contract::Statement { kind: verdict.kind, servers, effects: verdict.effects };
        let told = contract::SessionState {
            transaction: state.transaction,
            transaction_memory: 0,
            session_memory: 0,
            home: state.home,
            waited_millis: waited.as_millis() as u32,
            random: self.random.u64(..),
        };
        let about = About::statement(&scope.info, verdict, words);
        scope.plugins.route(&scope.chain, &self.topology, statement, told, &state.memories, &about)
    }

    /// Where a statement would go now, and the balancer's words about it.
    pub fn explain(
        &mut self,
        scope: &Scope,
        verdict: &Verdict,
        state: SessionState,
        words: &Words,
    ) -> Result<Explained, PgError> {
        let mark = words.mark();
        scope.plugins.ask_anew(&scope.chain);
        let Turn { watching, said } = self.turn(scope, verdict, state, Duration::ZERO, words);
        let tells = match &said {
            Ok(Some(Routed { by, routing: Routing::To(decision) })) => u8::from(decision.tell_end) << by,
            _ => 0,
        };
        let explained = self.explained(scope, verdict, said, words);
        // It does not run: whoever counted it counts it out.
        let after = SessionState { tell_end: state.tell_end | watching | tells, ..state };
        self.unroute(scope, &state, &after, words, mark);
        explained
    }

    fn explained(
        &self,
        scope: &Scope,
        verdict: &Verdict,
        said: Result<Option<Routed>, (usize, CallError)>,
        words: &Words,
    ) -> Result<Explained, PgError> {
        let failed = |error: CallError| PgError::error("38000", error.to_string());
        let Some(Routed { by, routing }) = said.map_err(|(_, error)| failed(error))? else {
            let why = "no balancer decided".to_owned();
            return Ok(Explained { route: undecided(verdict), balancer: String::new(), why });
        };
        let balancer = scope.plugins.balancer_name(&scope.chain, by).to_string();
        let about = About::statement(&scope.info, verdict, words);
        let why = scope.plugins.explain(&scope.chain, by, &about).map_err(failed)?;
        let (route, why) = match routing {
            Routing::To(decision) => (self.safe(scope, verdict, &decision, by), why),
            Routing::Wait(millis) => {
                (undecided(verdict), format!("it would wait for {millis} ms first: {why}"))
            }
            Routing::Refuse(refusal) => return Err(refused(&refusal)),
            Routing::Pass | Routing::Watch => (undecided(verdict), why),
        };
        Ok(Explained { route, balancer, why })
    }

    /// The proxy's last word: nothing that may write or lock goes to a
    /// standby, and nothing at all to a server that cannot be read from.
    fn safe(&self, scope: &Scope, verdict: &Verdict, decision: &Decision, by: usize) -> Route {
        let node = decision.node as usize;
        let readable = self.cluster.is_readable(node);
        match decision.servers {
            Servers::Primary => Route::Primary,
            Servers::All => Route::All { home: readable.then_some(node) },
            Servers::Any if self.cluster.is_primary(node) || !readable => Route::Primary,
            Servers::Any => {
                let reads = self.servers(verdict) == Servers::Any
                    && !verdict.effects.intersects(Effects::WRITES | Effects::LOCKS);
                if reads || scope.plugins.is_trusted(&scope.chain, by) {
                    return Route::Read(node);
                }
                scope.plugins.note_overruled(&scope.chain, by);
                Route::Primary
            }
        }
    }
}

/// Where a statement goes that no balancer decides about.
fn undecided(verdict: &Verdict) -> Route {
    if verdict.servers == Servers::All { Route::All { home: None } } else { Route::Primary }
}

/// A plugin's refusal as the client's error.
pub fn refused(refusal: &Refusal) -> PgError {
    let error = PgError::error(refusal.sqlstate.clone(), refusal.message.clone());
    match &refusal.hint {
        Some(hint) => error.with_hint(hint.clone()),
        None => error,
    }
}
