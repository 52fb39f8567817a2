//! How long clients take: limits in time, without a timer for each statement.
//!
//! A session notes what it does whenever it begins to wait. Now and then one
//! task of the thread looks through all of these notes, and wakes the sessions
//! that have taken too long. So a limit is kept to about a tenth of itself, and
//! never is anybody sent away early.

use crate::config::{Config, show_duration};
use crate::life::Phase;
use crate::protocol::PgError;
use crate::worker::Worker;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
const LONGEST_PERIOD: Duration = Duration::from_secs(1);

/// Those of one thread.
#[derive(Debug)]
pub struct Clocks {
    /// When is looked next: later than now, so that nobody seems to have
    /// begun before it did.
    soon: Cell<Instant>,
    all: RefCell<Vec<Rc<Clock>>>,
}

/// One session's.
#[derive(Debug)]
pub struct Clock {
    doing: Cell<Doing>,
    /// Since when.
    since: Cell<Instant>,
    /// When the transaction began, if there is one.
    began: Cell<Instant>,
    exceeded: Cell<Option<Exceeded>>,
    waker: RefCell<Option<Waker>>,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// The client's next statement.
    Idle,
    /// The same, inside a transaction.
    IdleInTransaction,
    /// A server's answer.
    Query,
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    ClientIdle,
    IdleTransaction,
    Query,
    Transaction,
}

#[derive(Debug, Clone, Copy)]
pub struct Exceeded {
    limit: Limit,
    most: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    client_idle: Option<Duration>,
    idle_transaction: Option<Duration>,
    query: Option<Duration>,
    transaction: Option<Duration>,
}

// === impl Clocks ===

impl Default for Clocks {
    fn default() -> Self {
        Clocks { soon: Cell::new(Instant::now() + LONGEST_PERIOD), all: RefCell::default() }
    }
}

impl Clocks {
    pub fn enter(&self) -> Rc<Clock> {
        let now = self.soon.get();
        let clock = Rc::new(Clock {
            doing: Cell::new(Doing::Idle),
            since: Cell::new(now),
            began: Cell::new(now),
            exceeded: Cell::new(None),
            waker: RefCell::default(),
        });
        self.all.borrow_mut().push(clock.clone());
        clock
    }

    fn look(&self, limits: &Limits) {
        let now = Instant::now();
        self.all.borrow_mut().retain(|clock| {
            // Its session is over.
            if Rc::strong_count(clock) == 1 {
                return false;
            }
            if let Some(exceeded) = limits.exceeded(clock, now) {
                clock.exceeded.set(Some(exceeded));
                if let Some(waker) = clock.waker.take() {
                    waker.wake();
                }
            }
            true
        });
    }
}

/// Looks until the proxy ends.
pub async fn look(worker: Rc<Worker>) {
    let mut phase = worker.proxy.life.watch();
    loop {
        let limits = Limits::of(&worker.proxy.config());
        let period = limits.period();
        worker.clocks.soon.set(Instant::now() + period);
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Fast) => return,
        }
        worker.clocks.look(&limits);
    }
}

// === impl Clock ===

impl Clock {
    /// The session begins to wait.
    pub fn note(&self, doing: Doing, clocks: &Clocks) {
        let before = self.doing.replace(doing);
        if before != doing {
            self.since.set(clocks.soon.get());
            if before == Doing::Idle {
                self.began.set(clocks.soon.get());
            }
        }
    }

    /// A statement has been answered: the next in a pipeline has its own time.
    pub fn answered(&self, outside: bool, clocks: &Clocks) {
        self.since.set(clocks.soon.get());
        if outside {
            self.began.set(clocks.soon.get());
        }
    }

    /// Wakes the session when it is; whether it is already.
    pub fn is_exceeded(&self, cx: &Context<'_>) -> bool {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.exceeded.get().is_some()
    }

    pub fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded.get()
    }
}

// === impl Limits ===

impl Limits {
    fn of(config: &Config) -> Self {
        Limits {
            client_idle: config.client_idle_limit,
            idle_transaction: config.idle_transaction_timeout,
            query: config.query_timeout,
            transaction: config.transaction_timeout,
        }
    }

    fn period(&self) -> Duration {
        let limits = [self.client_idle, self.idle_transaction, self.query, self.transaction];
        let shortest = limits.into_iter().flatten().min().unwrap_or(Duration::MAX);
        (shortest / 10).clamp(SHORTEST_PERIOD, LONGEST_PERIOD)
    }

    fn exceeded(&self, clock: &Clock, now: Instant) -> Option<Exceeded> {
        let doing = clock.doing.get();
        let time = now.saturating_duration_since(clock.since.get());
        let check = |limit, most: Option<Duration>, time| {
            most.filter(|most| time > *most).map(|most| Exceeded { limit, most })
        };
        let of_what_it_does = match doing {
            Doing::Idle => None,
            Doing::IdleInTransaction => check(Limit::IdleTransaction, self.idle_transaction, time),
            Doing::Query => check(Limit::Query, self.query, time),
        };
        let idle = || check(Limit::ClientIdle, self.client_idle.filter(|_| doing != Doing::Query), time);
        let transaction = || {
            let time = now.saturating_duration_since(clock.began.get());
            check(Limit::Transaction, self.transaction.filter(|_| doing != Doing::Idle), time)
        };
        of_what_it_does.or_else(idle).or_else(transaction)
    }
}

// === impl Exceeded ===

impl Exceeded {
    pub fn error(self) -> PgError {
        let (sqlstate, what) = match self.limit {
            Limit::ClientIdle => ("57P05", "client_idle_limit"),
            Limit::IdleTransaction => ("25P03", "idle_transaction_timeout"),
            Limit::Query => ("57014", "query_timeout"),
            Limit::Transaction => ("25P04", "transaction_timeout"),
        };
        let message = format!("terminating connection due to {what} ({})", show_duration(self.most));
        PgError::fatal(sqlstate, message)
    }
}

#[cfg(test)]
mod tests;
