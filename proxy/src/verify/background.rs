//! The comparison that a running proxy makes every `verify_period`.

use super::{NoGate, Options, Outcome, Report, Servers, verify};
use crate::config::OnDivergence;
use crate::proxy::Proxy;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked whether a reload has switched it on.
const PAUSE: Duration = Duration::from_secs(1);
/// Of what differs, in the log.
const LOGGED: usize = 20;

/// What came of the checks since the start.
#[derive(Debug, Default)]
pub struct Checks {
    /// Those that were made, that found a difference, and that failed.
    pub made: AtomicU64,
    pub diverged: AtomicU64,
    pub failed: AtomicU64,
    last: Mutex<Option<Last>>,
}

/// The last one.
#[derive(Debug, Clone)]
pub struct Last {
    pub ended: SystemTime,
    pub took: Duration,
    /// Why nothing was compared, otherwise.
    pub result: Result<Report, String>,
}

impl Checks {
    pub fn last(&self) -> Option<Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, last: Last) {
        self.made.fetch_add(1, Ordering::Relaxed);
        let counter = match &last.result {
            Ok(report) if report.outcome() == Outcome::Differs => Some(&self.diverged),
            Ok(_) => None,
            Err(_) => Some(&self.failed),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// Checks for ever.
pub async fn run(proxy: Arc<Proxy>) {
    let mut ended = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let due = proxy.config().verify_period.is_some_and(|period| ended.elapsed() >= period);
        if due {
            check(&proxy).await;
            ended = Instant::now();
        }
    }
}

async fn check(proxy: &Proxy) {
    let config = proxy.config().clone();
    let up = proxy.pools.iter().enumerate().filter(|(id, _)| proxy.cluster.backends[*id].is_usable());
    let pools: Vec<_> = up.map(|(id, pool)| (id, pool.clone())).collect();
    if pools.len() < 2 {
        return tracing::debug!("nothing to compare: fewer than two servers are up");
    }
    let servers = Servers::new(&config, pools, proxy.check_credentials());
    let options =
        Options { databases: Vec::new(), tables: Vec::new(), rate: config.verify_rate_limit, rows: LOGGED };
    let begun = Instant::now();
    let compared = match servers.commits_here() {
        true => verify(&servers, &proxy.commit_gate, &options, |_| {}).await,
        false => verify(&servers, &NoGate, &options, |_| {}).await,
    };
    let last = Last {
        ended: SystemTime::now(),
        took: begun.elapsed(),
        result: compared.map_err(|failure| failure.to_string()),
    };
    report(&last);
    if let (Ok(report), OnDivergence::Detach) = (&last.result, config.on_divergence)
        && report.outcome() == Outcome::Differs
    {
        detach(proxy, report);
    }
    proxy.verification.note(last);
}

/// Those that differ from the others are not used any more.
fn detach(proxy: &Proxy, report: &Report) {
    for server in report.minority() {
        if !proxy.cluster.detach(server, "it differs from the others (on_divergence)") {
            tracing::error!(backend = server, "it differs, and stays in use: it cannot be detached");
        }
    }
}

fn report(last: &Last) {
    let report = match &last.result {
        Ok(report) => report,
        Err(why) => return tracing::warn!("the servers could not be compared: {why}"),
    };
    let (took, tables) = (last.took, report.tables());
    let lines = report.lines();
    match report.outcome() {
        Outcome::Equal => tracing::info!(tables, ?took, "the servers are equal"),
        Outcome::Incomplete => tracing::warn!(tables, ?took, "not everything could be compared"),
        Outcome::Differs => tracing::error!(tables, ?took, "the servers differ"),
    }
    for line in lines.iter().take(LOGGED) {
        tracing::error!("{line}");
    }
    if lines.len() > LOGGED {
        tracing::error!("and {} more: waypool verify tells all of them", lines.len() - LOGGED);
    }
}
