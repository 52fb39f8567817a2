//! Native replication: real, independent servers, which the proxy keeps equal.
#![allow(clippy::unwrap_used)]

mod extended;
mod failures;
mod isolation;
mod soak;
mod statements;
mod values;

use std::sync::atomic::{AtomicUsize, Ordering};

use waypool_sandbox::{Cluster, Server};
use waypool_tests::{Builder, Proxy};

/// Servers that know nothing of each other, and a proxy that knows them.
struct Twins {
    proxy: Proxy,
    cluster: Cluster,
}

impl Twins {
    fn new(servers: usize) -> Twins {
        Twins::with(servers, |builder| builder)
    }

    fn with(servers: usize, change: impl FnOnce(Builder) -> Builder) -> Twins {
        Twins::in_mode("native_replication", servers, change)
    }

    fn in_mode(mode: &str, servers: usize, change: impl FnOnce(Builder) -> Builder) -> Twins {
        let cluster = Cluster::builder()
            .independent(servers)
            .setting("log_statement", "all")
            .setting("deadlock_timeout", "200ms")
            .start()
            .unwrap();
        let proxy = change(replicating(&cluster, mode)).start();
        Twins { proxy, cluster }
    }

    fn servers(&self) -> &[Server] {
        self.cluster.servers()
    }

    /// The same answer of every server, asked directly.
    #[track_caller]
    fn everywhere(&self, sql: &str) -> String {
        let answers: Vec<String> = self.servers().iter().map(|server| server.psql(sql).unwrap()).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{sql}: servers differ: {answers:?}");
        answers[0].clone()
    }

    /// Which servers' logs have this text.
    fn seen_by(&self, text: &str) -> Vec<usize> {
        let seen = self.servers().iter().filter(|server| server.log_text().contains(text));
        seen.map(Server::id).collect()
    }

    fn nodes(&self) -> String {
        nodes(&self.proxy)
    }
}

/// The columns `status` and `role` of every server.
fn nodes(proxy: &Proxy) -> String {
    let nodes = waypool_tests::psql(proxy, "SHOW pool_nodes");
    let told = nodes.lines().map(|row| {
        let columns: Vec<&str> = row.split('|').collect();
        format!("{} {}", columns[3], columns[6])
    });
    told.collect::<Vec<_>>().join(", ")
}

fn replicating(cluster: &Cluster, mode: &str) -> Builder {
    Proxy::builder(cluster).top(&format!(
        "backend_clustering_mode = \"{mode}\"\nhealth_check_period = \"200ms\"\nsr_check_period = \"1s\"",
    ))
}

/// A comment that finds a statement in the logs.
fn mark(what: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("/*{what} {}x*/", NEXT.fetch_add(1, Ordering::Relaxed))
}
