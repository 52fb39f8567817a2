//! Two-phase commit on two real servers, without sessions: what a crash leaves
//! behind at each moment, and how it is resolved.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};
use waypool::commit::resolve::{Resolved, Server as Resolvable, resolve};
use waypool::commit::two_phase::{Ended, Participants, commit};
use waypool::commit::{CommitGate, Decisions, join_all};
use waypool::pool::QueryError;
use waypool::pool::connection::Rows;
use waypool_sandbox::{Cluster, Server};
use waypool_tests::{run_async, wait_until};

/// Shared by all tests of this program, but for one that kills a server; each
/// has a database of its own.
fn servers() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::builder().independent(2).start().unwrap())
}

fn create(cluster: &Cluster, database: &str) {
    for server in cluster.servers() {
        server.psql(&format!("CREATE DATABASE {database}")).unwrap();
        server.psql_in(database, "CREATE TABLE t (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)").unwrap();
    }
}

fn ports(cluster: &Cluster) -> Vec<u16> {
    cluster.servers().iter().map(Server::port).collect()
}

/// What a table holds on both servers, and what is prepared there.
fn state(cluster: &Cluster, database: &str) -> [String; 2] {
    [0, 1].map(|id| {
        let sql = "SELECT COALESCE(string_agg(n::text, ',' ORDER BY n), '-') FROM t";
        let rows = cluster.server(id).psql_in(database, sql).unwrap();
        let prepared = format!("SELECT count(*) FROM pg_prepared_xacts WHERE database = '{database}'");
        format!("{rows} {}", cluster.server(id).psql(&prepared).unwrap())
    })
}

fn failure(error: &tokio_postgres::Error) -> QueryError {
    match error.as_db_error() {
        // It goes, and so does its connection.
        Some(last) if last.code() == &SqlState::ADMIN_SHUTDOWN => {
            QueryError::Io(std::io::Error::other(last.message().to_owned()))
        }
        Some(error) => QueryError::Server {
            sqlstate: error.code().code().to_owned(),
            message: error.message().to_owned(),
        },
        None => QueryError::Io(std::io::Error::other(error.to_string())),
    }
}

// === a transaction on both servers ===

/// What happens ahead of a step, by its first word.
type Interrupt<'a> = Box<dyn FnMut(&str) + 'a>;

struct Direct<'a> {
    clients: Vec<Client>,
    ports: Vec<u16>,
    interrupt: Interrupt<'a>,
    /// Only one server hears of the decision.
    half: bool,
}

impl<'a> Direct<'a> {
    async fn connect(ports: &[u16], database: &str) -> Direct<'a> {
        let mut clients = Vec::new();
        for port in ports {
            clients.push(connect(conninfo(*port, database)).await);
        }
        Direct { clients, ports: ports.to_vec(), interrupt: Box::new(|_| {}), half: false }
    }

    async fn begin(&self, sql: &str) {
        for client in &self.clients {
            client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        }
    }
}

async fn connect(conninfo: String) -> Client {
    let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn conninfo(port: u16, database: &str) -> String {
    format!("host=127.0.0.1 port={port} user=postgres dbname={database}")
}

impl Participants for Direct<'_> {
    fn count(&self) -> usize {
        self.clients.len()
    }

    fn name(&self, place: usize) -> String {
        format!("127.0.0.1:{}", self.ports[place])
    }

    async fn run(&mut self, places: &[usize], sql: &str) -> Vec<Result<(), QueryError>> {
        if self.half && sql.starts_with("COMMIT PREPARED") {
            self.clients[0].batch_execute(sql).await.unwrap();
            (self.interrupt)("HALF");
        }
        (self.interrupt)(sql);
        let answers = places.iter().map(|place| self.clients[*place].batch_execute(sql));
        let answers = join_all(answers).await;
        (self.interrupt)(&format!("after {sql}"));
        answers.into_iter().map(|answer| answer.map_err(|error| failure(&error))).collect()
    }
}

// === the resolver's side ===

struct Resolver {
    port: u16,
    name: String,
}

impl Resolvable for Resolver {
    fn name(&self) -> &str {
        &self.name
    }

    async fn ask(&mut self, database: Option<&str>, sql: &str) -> Result<Rows, QueryError> {
        let client = connect(conninfo(self.port, database.unwrap_or("postgres"))).await;
        let answer = client.simple_query(sql).await.map_err(|error| failure(&error))?;
        let row = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        };
        Ok(answer.into_iter().filter_map(row).collect())
    }
}

/// On both servers, one after the other.
fn resolve_all(decisions: &Decisions, ports: &[u16]) -> Vec<Resolved> {
    run_async(async {
        let mut all = Vec::new();
        for port in ports {
            all.push(
                resolve(decisions, &mut Resolver { port: *port, name: format!("127.0.0.1:{port}") })
                    .await
                    .unwrap(),
            );
        }
        all
    })
}

// === what is tested ===

#[test]
fn both_servers_commit_or_none_does() {
    let cluster = servers();
    create(cluster, "tp_both");
    let folder = tempfile::tempdir().unwrap();
    let decisions = Decisions::open(folder.path()).unwrap();
    let gate = CommitGate::default();
    run_async(async {
        let mut both = Direct::connect(&ports(cluster), "tp_both").await;
        both.begin("INSERT INTO t VALUES (1)").await;
        let ended = commit(&decisions, &gate, &mut both).await;
        assert!(matches!(&ended, Ended::Committed { late } if late.is_empty()), "{ended:?}");
        // A server finds a duplicate at the end, the other one does not.
        both.clients[1].batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
        both.begin("INSERT INTO t VALUES (2)").await;
        let ended = commit(&decisions, &gate, &mut both).await;
        let Ended::RolledBack { place: 1, error: QueryError::Server { sqlstate, .. } } = &ended else {
            panic!("{ended:?}");
        };
        assert_eq!(sqlstate, "23505");
        // What cannot be prepared at all.
        both.begin("CREATE TEMP TABLE scratch (n int); INSERT INTO t VALUES (3)").await;
        let ended = commit(&decisions, &gate, &mut both).await;
        assert!(
            matches!(&ended, Ended::RolledBack { error: QueryError::Server { sqlstate, .. }, .. } if sqlstate == "0A000")
        );
    });
    assert_eq!(state(cluster, "tp_both"), ["1 0", "1,2 0"]);
    assert_eq!(decisions.pending(), 0);
}

/// A server dies when it has prepared: the other one commits, and it does so
/// when it is back.
#[test]
fn a_server_that_dies_in_between_commits_when_it_is_back() {
    let cluster = Cluster::builder().independent(2).start().unwrap();
    create(&cluster, "tp_server");
    let folder = tempfile::tempdir().unwrap();
    let decisions = Decisions::open(folder.path()).unwrap();
    let dead = cluster.server(1);
    run_async(async {
        let mut both = Direct::connect(&ports(&cluster), "tp_server").await;
        both.begin("INSERT INTO t VALUES (1)").await;
        both.interrupt = Box::new(|step| {
            if step.starts_with("COMMIT") {
                dead.kill9().unwrap();
            }
        });
        let ended = commit(&decisions, &CommitGate::default(), &mut both).await;
        assert!(matches!(&ended, Ended::Committed { late } if *late == [1]), "{ended:?}");
    });
    assert_eq!(decisions.pending(), 1);
    dead.start().unwrap();
    assert_eq!(state(&cluster, "tp_server"), ["1 0", "- 1"]);
    let resolved = resolve_all(&decisions, &ports(&cluster));
    assert_eq!(resolved[1], Resolved { committed: 1, ..Resolved::default() });
    assert_eq!(state(&cluster, "tp_server"), ["1 0", "1 0"]);
    assert_eq!(decisions.pending(), 0);
}

/// The same before it has prepared: then nobody commits with it, and all that
/// is left goes on without.
#[test]
fn the_others_commit_without_a_server_that_is_lost() {
    let cluster = Cluster::builder().independent(2).start().unwrap();
    create(&cluster, "tp_lost");
    let folder = tempfile::tempdir().unwrap();
    let decisions = Decisions::open(folder.path()).unwrap();
    let dead = cluster.server(1);
    run_async(async {
        let mut both = Direct::connect(&ports(&cluster), "tp_lost").await;
        both.begin("INSERT INTO t VALUES (1)").await;
        dead.kill9().unwrap();
        let ended = commit(&decisions, &CommitGate::default(), &mut both).await;
        assert!(matches!(&ended, Ended::Committed { late } if *late == [1]), "{ended:?}");
    });
    dead.start().unwrap();
    assert_eq!(resolve_all(&decisions, &ports(&cluster)), [Resolved::default(); 2]);
    assert_eq!(state(&cluster, "tp_lost"), ["1 0", "- 0"]);
    assert_eq!(decisions.pending(), 0);
}

/// The process that commits is killed at this step; what is there before and
/// after the resolver has run.
#[track_caller]
fn killed(database: &str, at: &str, before: [&str; 2], after: [&str; 2]) {
    let cluster = servers();
    create(cluster, database);
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_commits_and_hangs", "--ignored", "--nocapture"])
        .env("WAYPOOL_TEST_FOLDER", folder.path())
        .env("WAYPOOL_TEST_DATABASE", database)
        .env("WAYPOOL_TEST_STEP", at)
        .env("WAYPOOL_TEST_PORTS", format!("{},{}", ports(cluster)[0], ports(cluster)[1]))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let hangs = folder.path().join("hangs");
    wait_until("the child hangs", || {
        assert!(child.try_wait().unwrap().is_none(), "the child has ended");
        hangs.exists()
    });
    // As long as it lives, nobody touches what it is at.
    let decisions = Decisions::open(&folder.path().join("log")).unwrap();
    for resolved in resolve_all(&decisions, &ports(cluster)) {
        assert_eq!((resolved.committed, resolved.rolled_back), (0, 0), "{resolved:?}");
    }
    assert_eq!(state(cluster, database), before);
    child.kill().unwrap();
    child.wait().unwrap();
    decisions.inherit().unwrap();
    resolve_all(&decisions, &ports(cluster));
    assert_eq!(state(cluster, database), after);
    assert_eq!(decisions.pending(), 0);
    // Once more: nothing is left.
    assert!(resolve_all(&decisions, &ports(cluster)).iter().all(|resolved| resolved.left == 0));
}

#[test]
fn killed_between_prepare_and_decision_nothing_is_committed() {
    killed("tp_prepared", "after PREPARE", ["- 1", "- 1"], ["- 0", "- 0"]);
}

#[test]
fn killed_between_decision_and_commit_all_is_committed() {
    killed("tp_decided", "COMMIT PREPARED", ["- 1", "- 1"], ["7 0", "7 0"]);
}

#[test]
fn killed_between_two_commits_the_other_is_committed_too() {
    killed("tp_half", "HALF", ["7 0", "- 1"], ["7 0", "7 0"]);
}

/// Another process: see [`killed`].
#[test]
#[ignore = "started by other tests, and killed by them"]
fn child_commits_and_hangs() {
    let variable = |name: &str| std::env::var(format!("WAYPOOL_TEST_{name}")).unwrap();
    let folder = variable("FOLDER");
    let (folder, step) = (Path::new(&folder), variable("STEP"));
    let ports: Vec<u16> = variable("PORTS").split(',').map(|port| port.parse().unwrap()).collect();
    let decisions = Decisions::open(&folder.join("log")).unwrap();
    run_async(async {
        let mut both = Direct::connect(&ports, &variable("DATABASE")).await;
        both.begin("INSERT INTO t VALUES (7)").await;
        both.half = step == "HALF";
        both.interrupt = Box::new(|now| {
            if now.starts_with(&step) {
                std::fs::write(folder.join("hangs"), "").unwrap();
                loop {
                    std::thread::park();
                }
            }
        });
        commit(&decisions, &CommitGate::default(), &mut both).await
    });
    panic!("it should hang");
}
