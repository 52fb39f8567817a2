//! Looking after the servers: which is the primary, which are up, how far
//! behind the standbys are.
//!
//! Each server has a task of its own, so that one which hangs delays no other.
//! It looks every `sr_check_period`; every `health_check_period` while the
//! server is down; and at once when a session reports a failure. The standbys
//! look right after the primary did, so that their WAL positions compare.

use super::backend::{Replication, Role, Status};
use super::delay::Delay;
use super::{Backend, Cluster, Timing};
use crate::auth::server::Credentials;
use crate::config::{ClusteringMode, Config};
use crate::pool::{Identity, Pool, ServerConn};
use crate::wal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What one look at a server costs: role, and how far its WAL is.
const LOOK: &str = "SELECT pg_catalog.pg_is_in_recovery()::text, CASE WHEN pg_catalog.pg_is_in_recovery() \
    THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END::text";
/// What the primary knows of its standbys. Needs the role pg_monitor.
const STANDBYS: &str = "SELECT application_name, state, sync_state, \
    (EXTRACT(EPOCH FROM replay_lag) * 1000000)::bigint::text FROM pg_catalog.pg_stat_replication";

/// One server's monitor.
pub struct Monitor {
    cluster: Arc<Cluster>,
    backend: Arc<Backend>,
    pool: Arc<Pool>,
    identity: Arc<Identity>,
    credentials: Credentials,
    /// Kept between looks.
    conn: Option<Box<ServerConn>>,
    /// Where the primary's WAL was when it was last looked at.
    primary_lsn: Arc<AtomicU64>,
    /// `replication_delay_source_cmd` is running.
    asking: Arc<AtomicBool>,
}

/// One monitor for each server.
pub fn monitors(
    cluster: &Arc<Cluster>,
    pools: &[Arc<Pool>],
    config: &Config,
    credentials: &Credentials,
) -> Vec<Monitor> {
    let primary_lsn = Arc::new(AtomicU64::new(0));
    let user = if config.sr_check_user.is_empty() { "postgres" } else { &config.sr_check_user };
    let identity = Arc::new(Identity {
        user: user.into(),
        database: config.sr_check_database.as_str().into(),
        parameters: vec![("application_name".into(), "waypool monitor".into())],
    });
    let of = |(backend, pool): (&Arc<Backend>, &Arc<Pool>)| Monitor {
        cluster: cluster.clone(),
        backend: backend.clone(),
        pool: pool.clone(),
        identity: identity.clone(),
        credentials: credentials.clone(),
        conn: None,
        primary_lsn: primary_lsn.clone(),
        asking: Arc::default(),
    };
    cluster.backends.iter().zip(pools).map(of).collect()
}

/// What a server said of itself.
struct Seen {
    in_recovery: bool,
    lsn: u64,
}

impl Monitor {
    /// Looks for ever.
    pub async fn run(mut self) {
        loop {
            let up = self.look().await;
            let timing = self.cluster.timing();
            let pause = match up {
                // Whom the primary's monitor wakes has no need to wake before.
                true if self.backend.role() == Role::Standby => timing.period.mul_f64(1.5),
                true => timing.period,
                false => timing.retry,
            };
            if up && self.leads() {
                self.ask_source(&timing);
            }
            self.pool.close_expired();
            if up {
                self.pool.open_minimum();
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.backend.look.notified() => {}
            }
        }
    }

    /// One look at the server; whether it is up.
    pub async fn look(&mut self) -> bool {
        match tokio::time::timeout(self.cluster.timing().timeout, self.ask()).await {
            Ok(Ok(seen)) => {
                self.found_up(&seen);
                true
            }
            Ok(Err(why)) => self.found_down(&why),
            Err(_) => self.found_down("no answer within connect_timeout"),
        }
    }

    async fn ask(&mut self) -> Result<Seen, String> {
        // Taken out: after an error, or a time-out, it is closed.
        if let Some(mut conn) = self.conn.take()
            && let Ok(seen) = look_through(&mut conn, &self.cluster, &self.backend).await
        {
            self.conn = Some(conn);
            return Ok(seen);
        }
        self.backend.forget_replayed();
        let connected = self.pool.connect(&self.identity, &self.credentials).await;
        let mut conn = connected.map_err(|error| error.to_string())?;
        let seen = look_through(&mut conn, &self.cluster, &self.backend).await?;
        self.conn = Some(conn);
        Ok(seen)
    }

    fn found_up(&self, seen: &Seen) {
        let role = match (self.cluster.mode, seen.in_recovery) {
            _ if self.backend.config.flag.always_primary => Role::Primary,
            (ClusteringMode::StreamingReplication, true) => Role::Standby,
            _ => Role::Primary,
        };
        self.measure_delay(role, seen);
        let was = self.backend.status();
        let changed = self.backend.set(Status::Up, role);
        if role == Role::Standby {
            self.backend.saw_replayed(seen.lsn);
        }
        if was != Status::Up {
            tracing::info!(backend = self.backend.id, address = %self.backend.address(), %role, "server is up");
        }
        if changed {
            self.cluster.publish();
        }
        if self.leads() {
            self.primary_lsn.store(seen.lsn, Ordering::Relaxed);
            self.wake_standbys();
        }
    }

    /// Before the server counts as up: one that comes back may be far behind.
    fn measure_delay(&self, role: Role, seen: &Seen) {
        if role != Role::Standby {
            *self.backend.delay() = Delay::default();
            return;
        }
        let primary = self.primary_lsn.load(Ordering::Relaxed);
        self.backend.delay().saw(seen.lsn, primary, Instant::now());
        self.cluster.judge_delay(&self.backend);
    }

    /// Whether standbys follow this server.
    fn leads(&self) -> bool {
        let streaming = self.cluster.mode == ClusteringMode::StreamingReplication;
        streaming && self.cluster.is_primary(self.backend.id)
    }

    /// They look while the primary's position is fresh.
    fn wake_standbys(&self) {
        for other in &self.cluster.backends {
            if other.id != self.backend.id && other.is_up() {
                other.look.notify_one();
            }
        }
    }

    /// Runs `replication_delay_source_cmd`, aside: it may take its time.
    fn ask_source(&self, timing: &Timing) {
        let Some(source) = timing.source.clone() else {
            return;
        };
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (cluster, asking, primary) = (self.cluster.clone(), self.asking.clone(), self.backend.id);
        tokio::spawn(async move {
            source.run(&cluster, primary).await;
            for standby in cluster.backends.iter().filter(|backend| backend.id != primary) {
                cluster.judge_delay(standby);
            }
            asking.store(false, Ordering::Release);
        });
    }

    fn found_down(&mut self, why: &str) -> bool {
        self.conn = None;
        let was = self.backend.status();
        if !self.backend.config.flag.allow_to_failover && was == Status::Up {
            tracing::warn!(
                backend = self.backend.id,
                "server does not answer, and stays in use (DISALLOW_TO_FAILOVER): {why}"
            );
            return false;
        }
        let changed = self.backend.set(Status::Down, Role::Unknown);
        if was != Status::Down {
            tracing::warn!(backend = self.backend.id, address = %self.backend.address(), "server is down: {why}");
            self.pool.close_idle();
        }
        if changed {
            self.cluster.publish();
        }
        false
    }
}

async fn look_through(conn: &mut ServerConn, cluster: &Cluster, backend: &Backend) -> Result<Seen, String> {
    let rows = conn.simple_query(LOOK).await.map_err(|error| error.to_string())?;
    let Some([Some(recovery), lsn]) = rows.first().map(Vec::as_slice) else {
        return Err("pg_is_in_recovery() gave no row".to_owned());
    };
    let seen =
        Seen { in_recovery: recovery == "true", lsn: lsn.as_deref().and_then(wal::parse).unwrap_or(0) };
    if !seen.in_recovery && cluster.is_primary(backend.id) {
        // Without the right to see it, the columns stay empty.
        let rows = conn.simple_query(STANDBYS).await.unwrap_or_default();
        let asked_here = cluster.timing().source.is_none();
        for standby in &cluster.backends {
            let replication = replication_of(standby, &rows);
            if asked_here {
                standby.report_delay(replication.as_ref().and_then(|replication| replication.replay_lag));
            }
            standby.set_replication(replication);
        }
    }
    Ok(seen)
}

fn replication_of(standby: &Backend, rows: &[Vec<Option<String>>]) -> Option<Replication> {
    let name = standby.config.application_name.as_ref()?;
    let row = rows.iter().find(|row| row.first().and_then(Option::as_ref) == Some(name))?;
    let column = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    // Nothing, too, where it has replayed all there is.
    let replay_lag = column(3).parse().ok().map(Duration::from_micros);
    Some(Replication { state: column(1), sync_state: column(2), replay_lag })
}
