#![allow(clippy::unwrap_used)]
use super::connect::Parts;
use super::queue::{Grant, Limits, Pool, Slot};
use super::*;
use crate::config::Config;
use crate::net::{Inbox, Stream, stream::Plain};
use crate::protocol::backend::TransactionStatus;
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::net::UnixStream;
use tokio::task::unconstrained;

fn pool(per_group: usize, in_all: usize) -> Arc<Pool> {
    let text = "sr_check_user = \"postgres\"\n[[backend]]\nhostname = \"127.0.0.1\"\n";
    let config = Config::parse(text, Path::new("waypool.toml")).unwrap();
    let backend = Arc::new(Backend::new(0, config.backends[0].clone()));
    Pool::new(Target { backend, connector: None }, Limits { per_group, in_all, ..limits() })
}

fn limits() -> Limits {
    Limits {
        per_group: 10,
        in_all: 10,
        queue_timeout: Some(Duration::from_secs(60)),
        connect_timeout: Duration::from_secs(10),
        keep: true,
        life_time: None,
        reserve: 0,
        reserve_timeout: Duration::from_secs(5),
        least: 0,
        most_age: None,
        most_uses: None,
    }
}

fn identity(user: &str) -> Arc<Identity> {
    Arc::new(Identity { user: user.into(), database: "db".into(), parameters: Vec::new() })
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    // However often: tokio would have a task that is ready all the time take turns.
    pin!(unconstrained(future)).poll(&mut Context::from_waker(Waker::noop()))
}

fn slot(answer: Poll<Result<Grant, CheckoutError>>) -> Slot {
    match answer {
        Poll::Ready(Ok(Grant::Slot(slot))) => slot,
        other => panic!("no slot: {other:?}"),
    }
}

/// A connection in this place, to a server that says nothing.
fn conn(slot: Slot, identity: &Arc<Identity>) -> (ServerConn, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    let parts = Parts {
        stream: Stream::Plain(Plain::Unix(here)),
        inbox: Inbox::default(),
        pid: 1,
        key: Vec::new(),
        parameters: Vec::new(),
        status: TransactionStatus::Idle,
    };
    (ServerConn::new(parts, identity.clone(), slot), there)
}

fn kept(answer: Poll<Result<Grant, CheckoutError>>) -> ServerConn {
    match answer {
        Poll::Ready(Ok(Grant::Kept(conn))) => *conn,
        other => panic!("no connection: {other:?}"),
    }
}

#[tokio::test]
async fn who_waits_longest_is_served_first() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let first = slot(Poll::Ready(pool.acquire(&alice).await));
    let (mut second, mut third) = (pin!(pool.acquire(&alice)), pin!(pool.acquire(&alice)));
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(third.as_mut()).is_pending());
    assert_eq!(pool.usage(), (1, 0, 2));
    drop(first);
    assert!(poll(third.as_mut()).is_pending());
    let second = slot(poll(second.as_mut()));
    drop(second);
    drop(slot(poll(third.as_mut())));
    assert_eq!(pool.usage(), (0, 0, 0));
}

#[tokio::test]
async fn groups_have_limits_of_their_own_and_one_in_common() {
    let (pool, alice, bob) = (pool(1, 2), identity("alice"), identity("bob"));
    let alices = slot(Poll::Ready(pool.acquire(&alice).await));
    let _bobs = slot(Poll::Ready(pool.acquire(&bob).await));
    let mut carols = pin!(pool.acquire(&alice));
    assert!(poll(carols.as_mut()).is_pending());
    drop(alices);
    slot(poll(carols.as_mut()));
}

#[tokio::test]
async fn one_who_gave_up_waiting_takes_no_place() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let first = slot(Poll::Ready(pool.acquire(&alice).await));
    {
        let mut gives_up = pin!(pool.acquire(&alice));
        assert!(poll(gives_up.as_mut()).is_pending());
    }
    let mut second = pin!(pool.acquire(&alice));
    assert!(poll(second.as_mut()).is_pending());
    drop(first);
    slot(poll(second.as_mut()));
    assert_eq!(pool.usage(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_query_wait_timeout() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let _first = pool.acquire(&alice).await.unwrap();
    let error = pool.acquire(&alice).await.unwrap_err();
    let told = error.to_client(&pool.target.backend);
    assert_eq!(told.sqlstate, "53300");
    assert!(told.message.contains("waited 1min"), "{told}");
    assert!(told.detail.unwrap().contains("1 connections for this user and database, all in use; 0 other"));
    assert!(told.hint.unwrap().contains("query_wait_timeout"));
}

#[tokio::test]
async fn a_connection_is_handed_on_in_the_order_of_coming() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let (conn, _server) = conn(slot(Poll::Ready(pool.acquire(&alice).await)), &alice);
    let mut waiting: Vec<_> = (0..50_000).map(|_| Box::pin(pool.acquire(&alice))).collect();
    assert!(waiting.iter_mut().all(|waiter| poll(waiter.as_mut()).is_pending()));
    let began = Instant::now();
    // Every tenth gives up.
    let mut at = 0;
    waiting.retain(|_| {
        at += 1;
        at % 10 != 0
    });
    pool.put_back(conn);
    for mut waiter in waiting {
        let conn = kept(poll(waiter.as_mut()));
        pool.put_back(conn);
    }
    assert_eq!(pool.usage(), (1, 1, 0));
    // It takes a tenth of a second. If each looked at all the others, a minute.
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn who_goes_when_it_is_its_turn_leaves_the_connection_to_the_next() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let (conn, _server) = conn(slot(Poll::Ready(pool.acquire(&alice).await)), &alice);
    let mut next = pin!(pool.acquire(&alice));
    {
        let mut goes = pin!(pool.acquire(&alice));
        assert!(poll(goes.as_mut()).is_pending());
        assert!(poll(next.as_mut()).is_pending());
        pool.put_back(conn);
    }
    pool.put_back(kept(poll(next.as_mut())));
    assert_eq!(pool.usage(), (1, 1, 0));
}

/// Clients of `busy` hand one connection on to each other, without an end, while `other` waits:
/// until it is served.
async fn is_not_passed_over_for_ever(pool: Arc<Pool>, busy: Arc<Identity>, other: Arc<Identity>) {
    let (mut conn, _server) = conn(slot(Poll::Ready(pool.acquire(&busy).await)), &busy);
    let mut waits_long = pin!(pool.acquire(&other));
    assert!(poll(waits_long.as_mut()).is_pending());
    let (began, mut handed_on) = (Instant::now(), 0);
    loop {
        let mut next = pin!(pool.acquire(&busy));
        assert!(poll(next.as_mut()).is_pending());
        pool.put_back(conn);
        if let Poll::Ready(served) = poll(waits_long.as_mut()) {
            // Those of the busy kind wait now, and get the place back.
            drop(slot(Poll::Ready(served)));
            slot(poll(next.as_mut()));
            break;
        }
        conn = kept(poll(next.as_mut()));
        handed_on += 1;
        assert!(began.elapsed() < Duration::from_secs(20), "it is never served");
    }
    assert!(handed_on > 10, "its connection is closed for each client");
}

#[tokio::test]
async fn a_group_does_not_keep_what_others_wait_for() {
    is_not_passed_over_for_ever(pool(10, 1), identity("alice"), identity("bob")).await;
}

#[tokio::test]
async fn a_kind_of_clients_does_not_keep_the_connections_of_its_group() {
    let parameters = vec![("application_name".to_owned(), "other".to_owned())];
    let other = Arc::new(Identity { user: "alice".into(), database: "db".into(), parameters });
    is_not_passed_over_for_ever(pool(1, 10), identity("alice"), other).await;
}

#[tokio::test]
async fn groups_with_room_are_served_in_the_order_of_coming() {
    let pool = pool(2, 2);
    let (alice, bob, carol) = (identity("alice"), identity("bob"), identity("carol"));
    let first = slot(Poll::Ready(pool.acquire(&alice).await));
    let _second = slot(Poll::Ready(pool.acquire(&alice).await));
    // Alice has no room even when one place is free.
    let mut bobs = pin!(pool.acquire(&bob));
    let mut carols = pin!(pool.acquire(&carol));
    let mut alices = pin!(pool.acquire(&alice));
    assert!(poll(bobs.as_mut()).is_pending());
    assert!(poll(carols.as_mut()).is_pending());
    assert!(poll(alices.as_mut()).is_pending());
    drop(first);
    assert!(poll(carols.as_mut()).is_pending());
    drop(slot(poll(bobs.as_mut())));
    drop(slot(poll(carols.as_mut())));
    slot(poll(alices.as_mut()));
}

#[tokio::test]
async fn lowered_limits_hold_for_what_is_handed_on_too() {
    let (pool, alice) = (pool(2, 10), identity("alice"));
    let (one, _server) = conn(slot(Poll::Ready(pool.acquire(&alice).await)), &alice);
    let two = slot(Poll::Ready(pool.acquire(&alice).await));
    let mut waiting = pin!(pool.acquire(&alice));
    assert!(poll(waiting.as_mut()).is_pending());
    pool.set_limits(Limits { per_group: 1, ..limits() });
    pool.put_back(one);
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(pool.usage(), (1, 0, 1));
    drop(two);
    slot(poll(waiting.as_mut()));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_gets_one_of_the_reserve() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    pool.set_limits(Limits { per_group: 1, reserve: 1, ..limits() });
    let _first = slot(Poll::Ready(pool.acquire(&alice).await));
    let began = tokio::time::Instant::now();
    let reserved = slot(Poll::Ready(pool.acquire(&alice).await));
    assert_eq!(began.elapsed().as_secs(), 5);
    // There is one of them.
    let error = pool.acquire(&alice).await.unwrap_err();
    assert!(error.to_client(&pool.target.backend).message.contains("waited 1min"));
    // While others wait it is handed on, else closed.
    let mut waiting = pin!(pool.acquire(&alice));
    assert!(poll(waiting.as_mut()).is_pending());
    let (reserved, _server) = conn(reserved, &alice);
    pool.put_back(reserved);
    pool.put_back(kept(poll(waiting.as_mut())));
    assert_eq!(pool.usage(), (1, 0, 0));
}

#[tokio::test]
async fn a_connection_that_was_lent_often_enough_is_closed() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    pool.set_limits(Limits { most_uses: Some(2), ..limits() });
    let (first, _server) = conn(slot(Poll::Ready(pool.acquire(&alice).await)), &alice);
    first.release(&[]).await;
    kept(Poll::Ready(pool.acquire(&alice).await)).release(&[]).await;
    assert_eq!(pool.usage(), (0, 0, 0));
}

#[tokio::test]
async fn an_old_connection_is_closed_and_the_least_are_kept() {
    let (pool, alice) = (pool(5, 10), identity("alice"));
    let mut servers = Vec::new();
    let mut conns = Vec::new();
    for _ in 0..3 {
        let (conn, server) = conn(slot(Poll::Ready(pool.acquire(&alice).await)), &alice);
        servers.push(server);
        conns.push(conn);
    }
    conns.into_iter().for_each(|conn| pool.put_back(conn));
    pool.set_limits(Limits { life_time: Some(Duration::ZERO), least: 2, ..limits() });
    pool.close_expired();
    assert_eq!(pool.usage(), (2, 2, 0));
    pool.set_limits(Limits { most_age: Some(Duration::ZERO), least: 2, ..limits() });
    pool.close_expired();
    assert_eq!(pool.usage(), (0, 0, 0));
}
