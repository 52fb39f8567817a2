//! Servers that tests may kill.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use waypool_sandbox::Cluster;

use crate::{Builder, Proxy};

/// A primary and a standby that one test at a time may break; both run when a
/// test gets them. The sandbox's guardian removes them when the program ends.
///
/// The function `wait_for(lock bigint)` reads, as far as a proxy can tell, and
/// waits for a session's advisory lock: only on the server that it runs on, since
/// each server has locks of its own. It answers `done`.
pub fn breakable() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let cluster = Cluster::builder().standbys(1).start().unwrap_or_else(|error| panic!("{error}"));
        let made = cluster.primary().psql(
            "CREATE FUNCTION wait_for(lock bigint) RETURNS text STABLE LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_advisory_lock(lock); RETURN ''done''; END'",
        );
        made.unwrap_or_else(|error| panic!("{error}"));
        Mutex::new(cluster)
    });
    let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    mend(&cluster);
    cluster
}

/// Has every server run and stream, whatever the test before has done to it.
fn mend(cluster: &Cluster) {
    for server in cluster.servers() {
        server.resume();
        server.start().unwrap_or_else(|error| panic!("{error}"));
    }
    let primary = cluster.primary();
    for standby in &cluster.servers()[1..] {
        primary.wait_streamed_by(standby.id()).unwrap_or_else(|error| panic!("{error}"));
        standby.wait_replay(primary).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A proxy that notices quickly when a server comes back. Reads go to the standby.
pub fn watchful(cluster: &Cluster) -> Builder {
    Proxy::builder(cluster)
        .weights(&[0.0, 1.0])
        .top("health_check_period = \"200ms\"\nsr_check_period = \"1s\"")
}
