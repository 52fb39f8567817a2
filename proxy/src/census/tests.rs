#![allow(clippy::unwrap_used)]
use super::client::Client;
use super::signal::Signal;
use super::traffic::{Counter, Totals, Traffic};
use super::{Clients, Meter, Server, Servers, State, stamp};
use crate::net::Ends;
use crate::protocol::backend::TransactionStatus;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

fn client(database: &str) -> Client {
    Client::new("alice".into(), database.into(), "psql", Ends::default())
}

fn server(database: &str) -> Server {
    Server::new("alice".into(), database.into(), 0)
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_client_is_there_as_long_as_its_member() {
    let clients = Arc::new(Clients::default());
    let member = clients.enter(client("shop"));
    let other = clients.enter(client("shop"));
    assert_eq!(clients.list().iter().map(|client| client.id).collect::<Vec<_>>(), [member.id, other.id]);
    let id = member.id;
    drop(member);
    assert!(clients.get(id).is_none());
    assert!(clients.get(other.id).is_some());
}

#[test]
fn who_waits_for_clients_to_go_hears_of_the_last() {
    let clients = Arc::new(Clients::default());
    let (one, two) = (clients.enter(client("shop")), clients.enter(client("shop")));
    let mut gone = pin!(clients.wait_gone(|client| *client.database == *"shop"));
    assert!(poll(gone.as_mut()).is_pending());
    drop(one);
    assert!(poll(gone.as_mut()).is_pending());
    drop(two);
    assert!(poll(gone.as_mut()).is_ready());
}

#[test]
fn a_client_waits_until_it_has_a_connection_or_gives_up() {
    let client = client("shop");
    let mut wait = client.may_wait(1);
    assert_eq!((client.waiting_since(), wait.time()), (None, Duration::ZERO));
    wait.begin();
    let began = client.waiting_since().unwrap();
    wait.begin();
    assert_eq!(client.waiting_since(), Some(began));
    assert_eq!(client.backend(), Some(1));
    drop(wait);
    assert_eq!(client.waiting_since(), None);
}

#[test]
fn a_signal_is_heard_before_and_after_one_waits() {
    let signal = Signal::default();
    let mut wait = pin!(signal.wait());
    assert!(poll(wait.as_mut()).is_pending());
    signal.raise();
    assert!(poll(wait.as_mut()).is_ready());
    assert!(poll(pin!(signal.wait())).is_ready());
}

#[test]
fn a_cycle_in_a_transaction_is_counted_with_its_time() {
    let server = Arc::new(server("shop"));
    let mut meter = Meter::new(server.clone());
    let client = client("shop");
    meter.lend(&client, Duration::from_millis(5));
    assert_eq!(
        (server.state(), server.link(), client.link()),
        (State::Active, Some(client.id), Some(server.id))
    );
    meter.sent(&client);
    meter.answered(TransactionStatus::Open, false, 10, 20);
    meter.sent(&client);
    meter.answered(TransactionStatus::Idle, false, 1, 2);
    let totals = server.traffic.totals();
    let counted = |counter| totals.get(counter);
    assert_eq!(
        (counted(Counter::Queries), counted(Counter::Xacts), counted(Counter::Assignments)),
        (2, 1, 1)
    );
    assert_eq!((counted(Counter::Received), counted(Counter::Sent)), (11, 22));
    assert_eq!(counted(Counter::WaitTime), 5000);
    assert!(counted(Counter::XactTime) >= counted(Counter::QueryTime));
}

#[test]
fn what_a_closed_connection_counted_is_kept_if_it_was_of_use() {
    let servers = Servers::default();
    let (used, unused) = (servers.enter(server("shop")), servers.enter(server("nowhere")));
    used.traffic.add(Counter::Assignments, 1);
    used.traffic.add(Counter::Queries, 7);
    servers.leave(&unused);
    servers.leave(&used);
    let stats = servers.stats();
    assert_eq!(stats.len(), 1);
    assert_eq!((&*stats[0].database, stats[0].now.get(Counter::Queries)), ("shop", 7));
}

#[test]
fn averages_begin_with_the_period_before() {
    let servers = Servers::default();
    let server = servers.enter(server("shop"));
    server.traffic.add(Counter::Assignments, 1);
    for expected in [0, 0, 10] {
        let before = servers.stats()[0].before.get(Counter::Queries);
        assert_eq!(before, expected);
        server.traffic.add(Counter::Queries, 10);
        servers.next_period();
    }
}

#[test]
fn averages_are_by_second_and_times_by_what_took_them() {
    let (before, traffic) = (Totals::default(), Traffic::default());
    traffic.add(Counter::Queries, 20);
    traffic.add(Counter::QueryTime, 1000);
    let averages = traffic.totals().averages(&before, 10.0);
    assert_eq!((averages.get(Counter::Queries), averages.get(Counter::QueryTime)), (2, 50));
    assert_eq!(averages.get(Counter::XactTime), 0);
    assert_eq!(traffic.totals().averages(&before, 0.0).get(Counter::Queries), 0);
}

#[test]
fn retired_connections_are_those_named() {
    let servers = Servers::default();
    let (shop, other) = (servers.enter(server("shop")), servers.enter(server("other")));
    servers.retire(|server| *server.database == *"shop");
    assert!(shop.is_retired() && !other.is_retired());
    let mut closed = pin!(servers.wait_closed(Server::is_retired));
    assert!(poll(closed.as_mut()).is_pending());
    servers.leave(&shop);
    assert!(poll(closed.as_mut()).is_ready());
}

#[test]
fn no_moment_is_zero() {
    assert!(stamp(Instant::now()) > 0);
    assert_eq!(super::since(0), Duration::ZERO);
}
