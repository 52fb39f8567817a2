//! A list of conversations in the protocol, played to PostgreSQL directly and
//! through the proxy: a client has to hear the same, byte for byte.
//!
//! `WAYPOOL_PG_BIN` says which PostgreSQL it is.
//!
//! What differs from session to session is not compared: process ids, cancel
//! keys, object identifiers of new tables. Another conversation is a name and a
//! list of steps in one of the files here.
#![allow(clippy::unwrap_used)]

mod copying;
mod errors;
mod extended;
mod parts;
mod pipelines;
mod simple;
mod suspended;
mod transactions;
mod values;
mod versions;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use waypool_sandbox::Cluster;
use waypool_tests::conversation::{Conversation, difference};
use waypool_tests::{Builder, Proxy, primary_and_standby};

fn play_list() -> Vec<Conversation> {
    [
        simple::list(),
        extended::list(),
        values::list(),
        suspended::list(),
        pipelines::list(),
        transactions::list(),
        copying::list(),
        errors::list(),
        versions::list(),
    ]
    .concat()
}

/// What all conversations find in their database.
const SETUP: &str = include_str!("setup.sql");

/// Some conversations name things that all databases of a cluster share.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Plays these to two databases that are the same, directly and through the
/// proxy, and tells all that differ.
#[track_caller]
fn compare(name: &str, builder: Builder, list: &[Conversation]) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = primary_and_standby();
    let (direct, through) = (format!("{name}_direct"), format!("{name}_through"));
    databases(cluster, &[&direct, &through]);
    let proxy = builder.start();
    let mut told = String::new();
    let version = cluster.installation().major_version();
    for conversation in list.iter().filter(|it| it.since <= version) {
        let heard = conversation.play(cluster.primary().port(), &direct, cluster);
        assert!(!heard.ends_in_silence(), "PostgreSQL has nothing to say: {}", conversation.name);
        let heard_through = conversation.play(proxy.port(), &through, cluster);
        let difference = difference(&heard, &heard_through);
        match (conversation.differs, difference.is_empty()) {
            (None, true) | (Some(_), false) => {}
            (None, false) => told.push_str(&format!("{}\n{difference}", conversation.name)),
            (Some(why), true) => {
                told.push_str(&format!("{} does not differ any more: {why}\n", conversation.name))
            }
        }
    }
    assert!(told.is_empty(), "heard otherwise through waypool:\n{told}");
    proxy.stop();
}

/// Makes databases with the same content, object identifiers too.
fn databases(cluster: &Cluster, names: &[&str]) {
    let primary = cluster.primary();
    let (first, others) = names.split_first().unwrap();
    primary.psql(&format!("CREATE DATABASE {first}")).unwrap();
    primary.psql_in(first, SETUP).unwrap();
    for name in others {
        primary.psql(&format!("CREATE DATABASE {name} TEMPLATE {first}")).unwrap();
    }
    for standby in &cluster.servers()[1..] {
        standby.wait_replay(primary).unwrap();
    }
}

#[test]
fn names_are_unique() {
    let list = play_list();
    let names: HashSet<&str> = list.iter().map(|conversation| conversation.name).collect();
    assert_eq!(names.len(), list.len());
}

#[test]
fn one_server() {
    let builder = Proxy::builder(primary_and_standby()).first_backends(1);
    compare("one_server", builder, &play_list());
}

#[test]
fn reads_on_a_standby() {
    let builder = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]);
    let list: Vec<Conversation> = play_list().into_iter().filter(|it| !it.needs_one_server).collect();
    compare("reads_on_a_standby", builder, &list);
}

#[test]
fn one_connection_shared_between_transactions() {
    let top = "pool_mode = \"transaction\"\ndefault_pool_size = 1";
    let builder = Proxy::builder(primary_and_standby()).first_backends(1).top(top);
    let list: Vec<Conversation> = play_list().into_iter().filter(|it| !it.needs_session).collect();
    compare("shared", builder, &list);
}
