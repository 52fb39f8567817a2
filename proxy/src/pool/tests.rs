#![allow(clippy::unwrap_used)]
use super::connect::Parts;
use super::queue::{Grant, Limits, Pool, Slot};
use super::*;
use crate::census;
use crate::config::Config;
use crate::net::{Ends, Inbox, Stream, stream::Plain};
use crate::protocol::backend::TransactionStatus;
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::net::UnixStream;
use tokio::task::unconstrained;

fn pool(per_group: usize, in_all: usize) -> Arc<Pool> {
    pool_with(&format!("default_pool_size = {per_group}"), "", in_all)
}

/// `top` and `tables` are lines of the configuration.
fn pool_with(top: &str, tables: &str, in_all: usize) -> Arc<Pool> {
    let config = config(top, tables);
    let backend = Arc::new(Backend::new(0, config.backends[0].clone()));
    Pool::new(Target { backend, connector: None }, Limits { config, in_all, ..limits() })
}

fn config(top: &str, tables: &str) -> Arc<Config> {
    let servers = "sr_check_user = \"postgres\"\n[[backend]]\nhostname = \"127.0.0.1\"\n";
    Arc::new(Config::parse(&format!("{top}\n{servers}{tables}"), Path::new("waypool.toml")).unwrap())
}

fn limits() -> Limits {
    Limits {
        config: config("default_pool_size = 10", ""),
        in_all: 10,
        queue_timeout: Some(Duration::from_secs(60)),
        connect_timeout: Duration::from_secs(10),
        keep: true,
        life_time: None,
        reserve_timeout: Duration::from_secs(5),
        ends: false,
        most_age: None,
        most_uses: None,
    }
}

fn identity(user: &str) -> Arc<Identity> {
    Arc::new(Identity { user: user.into(), database: "db".into(), parameters: Vec::new() })
}

/// As a client that nobody else sees.
async fn acquire(pool: &Arc<Pool>, identity: &Arc<Identity>) -> Result<Grant, CheckoutError> {
    let client = census::Client::new("user".into(), "db".into(), "", Ends::default());
    pool.acquire(identity, &mut client.may_wait(0)).await
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
fn conn(slot: Slot, identity: &Arc<Identity>) -> (Box<ServerConn>, UnixStream) {
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

fn kept(answer: Poll<Result<Grant, CheckoutError>>) -> Box<ServerConn> {
    match answer {
        Poll::Ready(Ok(Grant::Kept(conn))) => conn,
        other => panic!("no connection: {other:?}"),
    }
}

#[tokio::test]
async fn who_waits_longest_is_served_first() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let first = slot(Poll::Ready(acquire(&pool, &alice).await));
    let (mut second, mut third) = (pin!(acquire(&pool, &alice)), pin!(acquire(&pool, &alice)));
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
    let alices = slot(Poll::Ready(acquire(&pool, &alice).await));
    let _bobs = slot(Poll::Ready(acquire(&pool, &bob).await));
    let mut carols = pin!(acquire(&pool, &alice));
    assert!(poll(carols.as_mut()).is_pending());
    drop(alices);
    slot(poll(carols.as_mut()));
}

#[tokio::test]
async fn one_who_gave_up_waiting_takes_no_place() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let first = slot(Poll::Ready(acquire(&pool, &alice).await));
    {
        let mut gives_up = pin!(acquire(&pool, &alice));
        assert!(poll(gives_up.as_mut()).is_pending());
    }
    let mut second = pin!(acquire(&pool, &alice));
    assert!(poll(second.as_mut()).is_pending());
    drop(first);
    slot(poll(second.as_mut()));
    assert_eq!(pool.usage(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_query_wait_timeout() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let _first = acquire(&pool, &alice).await.unwrap();
    let error = acquire(&pool, &alice).await.unwrap_err();
    let told = error.to_client(&pool.target.backend);
    assert_eq!(told.sqlstate, "53300");
    assert!(told.message.contains("waited 1min"), "{told}");
    assert!(told.detail.unwrap().contains("1 connections for this user and database, all in use; 0 other"));
    assert!(told.hint.unwrap().contains("query_wait_timeout"));
}

#[tokio::test]
async fn a_connection_is_handed_on_in_the_order_of_coming() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let (conn, _server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
    let mut waiting: Vec<_> = (0..50_000).map(|_| Box::pin(acquire(&pool, &alice))).collect();
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
    let (conn, _server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
    let mut next = pin!(acquire(&pool, &alice));
    {
        let mut goes = pin!(acquire(&pool, &alice));
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
    let (mut conn, _server) = conn(slot(Poll::Ready(acquire(&pool, &busy).await)), &busy);
    let mut waits_long = pin!(acquire(&pool, &other));
    assert!(poll(waits_long.as_mut()).is_pending());
    let (began, mut handed_on) = (Instant::now(), 0);
    loop {
        let mut next = pin!(acquire(&pool, &busy));
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
    let first = slot(Poll::Ready(acquire(&pool, &alice).await));
    let _second = slot(Poll::Ready(acquire(&pool, &alice).await));
    // Alice has no room even when one place is free.
    let mut bobs = pin!(acquire(&pool, &bob));
    let mut carols = pin!(acquire(&pool, &carol));
    let mut alices = pin!(acquire(&pool, &alice));
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
    let (one, _server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
    let two = slot(Poll::Ready(acquire(&pool, &alice).await));
    let mut waiting = pin!(acquire(&pool, &alice));
    assert!(poll(waiting.as_mut()).is_pending());
    pool.set_limits(Limits { config: config("default_pool_size = 1", ""), ..limits() });
    pool.put_back(one);
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(pool.usage(), (1, 0, 1));
    drop(two);
    slot(poll(waiting.as_mut()));
}

// === limits of databases and users ===

fn identity_in(user: &str, database: &str) -> Arc<Identity> {
    Arc::new(Identity { user: user.into(), database: database.into(), parameters: Vec::new() })
}

async fn open(pool: &Arc<Pool>, user: &str, database: &str) -> Slot {
    slot(Poll::Ready(acquire(pool, &identity_in(user, database)).await))
}

#[tokio::test]
async fn a_database_or_a_user_may_have_a_pool_size_of_its_own() {
    let tables = "[databases.shop]\npool_size = 2\n[users]\nalice = { pool_size = 3 }";
    for (user, database, size) in [("bob", "db", 1), ("bob", "shop", 2), ("alice", "shop", 3)] {
        let pool = pool_with("default_pool_size = 1", tables, 10);
        let mut open_ones = Vec::new();
        for _ in 0..size {
            open_ones.push(open(&pool, user, database).await);
        }
        let one_more = identity_in(user, database);
        assert!(poll(pin!(acquire(&pool, &one_more))).is_pending(), "{user} {database}");
    }
}

#[tokio::test]
async fn users_of_a_database_have_a_limit_in_common() {
    let pool = pool_with("", "[databases.shop]\nmax_db_connections = 2", 10);
    let alices = open(&pool, "alice", "shop").await;
    let _bobs = open(&pool, "bob", "shop").await;
    let (carol, dave) = (identity_in("carol", "shop"), identity_in("dave", "shop"));
    let (mut carols, mut daves) = (pin!(acquire(&pool, &carol)), pin!(acquire(&pool, &dave)));
    assert!(poll(carols.as_mut()).is_pending());
    assert!(poll(daves.as_mut()).is_pending());
    // Other databases have room, and make none.
    drop(open(&pool, "carol", "stock").await);
    assert!(poll(carols.as_mut()).is_pending());
    drop(alices);
    assert!(poll(daves.as_mut()).is_pending());
    drop(slot(poll(carols.as_mut())));
    slot(poll(daves.as_mut()));
}

#[tokio::test]
async fn databases_of_a_user_have_a_limit_in_common() {
    let pool = pool_with("max_user_connections = 1", "[users]\nbatch = { max_user_connections = 2 }", 10);
    let _alices = open(&pool, "alice", "shop").await;
    let (one, _two) = (open(&pool, "batch", "shop").await, open(&pool, "batch", "stock").await);
    for (user, database) in [("alice", "stock"), ("batch", "other")] {
        assert!(poll(pin!(acquire(&pool, &identity_in(user, database)))).is_pending(), "{user}");
    }
    drop(one);
    open(&pool, "batch", "other").await;
}

#[tokio::test]
async fn what_is_kept_for_another_user_of_a_full_database_makes_room() {
    let pool = pool_with("", "[databases.shop]\nmax_db_connections = 1", 10);
    let (alice, stock) = (identity_in("alice", "shop"), identity_in("alice", "stock"));
    let (kept_elsewhere, _server) = conn(open(&pool, "alice", "stock").await, &stock);
    pool.put_back(kept_elsewhere);
    let (kept_here, _server) = conn(open(&pool, "alice", "shop").await, &alice);
    pool.put_back(kept_here);
    let _bobs = open(&pool, "bob", "shop").await;
    // The one to the other database is still there.
    assert_eq!(pool.usage(), (2, 1, 0));
}

#[tokio::test]
async fn a_connection_is_not_kept_while_its_database_is_waited_for() {
    let pool = pool_with("", "[databases.shop]\nmax_db_connections = 1", 10);
    let alice = identity_in("alice", "shop");
    let bob = identity_in("bob", "shop");
    let (alices, _server) = conn(open(&pool, "alice", "shop").await, &alice);
    let mut bobs = pin!(acquire(&pool, &bob));
    assert!(poll(bobs.as_mut()).is_pending());
    pool.put_back(alices);
    slot(poll(bobs.as_mut()));
}

#[tokio::test(start_paused = true)]
async fn who_waited_in_vain_is_told_for_which_limit() {
    let tables = "[databases.shop]\nmax_db_connections = 1\n[users]\nbatch = { max_user_connections = 1 }";
    let pool = pool_with("default_pool_size = 3", tables, 3);
    let _open = (open(&pool, "alice", "shop").await, open(&pool, "batch", "stock").await);
    let _third = open(&pool, "alice", "other").await;
    for (user, database, whose, key) in [
        ("bob", "shop", "1 connections for this database", "max_db_connections"),
        ("batch", "other", "1 connections for this user", "max_user_connections"),
        ("bob", "other", "3 connections in all", "max_connections of this [[backend]]"),
    ] {
        let error = acquire(&pool, &identity_in(user, database)).await.unwrap_err();
        let told = error.to_client(&pool.target.backend);
        assert!(told.detail.as_ref().unwrap().contains(whose), "{told:?}");
        assert!(told.hint.as_ref().unwrap().contains(key), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_gets_one_of_the_reserve() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    pool.set_limits(Limits {
        config: config("default_pool_size = 1\nreserve_pool_size = 1", ""),
        ..limits()
    });
    let _first = slot(Poll::Ready(acquire(&pool, &alice).await));
    let began = tokio::time::Instant::now();
    let reserved = slot(Poll::Ready(acquire(&pool, &alice).await));
    assert_eq!(began.elapsed().as_secs(), 5);
    // There is one of them.
    let error = acquire(&pool, &alice).await.unwrap_err();
    assert!(error.to_client(&pool.target.backend).message.contains("waited 1min"));
    // While others wait it is handed on, else closed.
    let mut waiting = pin!(acquire(&pool, &alice));
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
    let (first, _server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
    first.release(&[]).await;
    kept(Poll::Ready(acquire(&pool, &alice).await)).release(&[]).await;
    assert_eq!(pool.usage(), (0, 0, 0));
}

#[tokio::test]
async fn an_old_connection_is_closed_and_the_least_are_kept() {
    let (pool, alice) = (pool(5, 10), identity("alice"));
    let mut servers = Vec::new();
    let mut conns = Vec::new();
    for _ in 0..3 {
        let (conn, server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
        servers.push(server);
        conns.push(conn);
    }
    conns.into_iter().for_each(|conn| pool.put_back(conn));
    let least = config("default_pool_size = 10\nmin_pool_size = 2", "");
    pool.set_limits(Limits { life_time: Some(Duration::ZERO), config: least.clone(), ..limits() });
    pool.close_expired();
    assert_eq!(pool.usage(), (2, 2, 0));
    pool.set_limits(Limits { most_age: Some(Duration::ZERO), config: least, ..limits() });
    pool.close_expired();
    assert_eq!(pool.usage(), (0, 0, 0));
}

#[tokio::test]
async fn places_of_the_minimum_are_those_that_nobody_needs() {
    let (pool, alice) = (pool_with("default_pool_size = 3\nmin_pool_size = 3", "", 3), identity("alice"));
    let key = queue::key_of(&alice);
    let of_client = slot(Poll::Ready(acquire(&pool, &alice).await));
    pool.pause(Some("db"));
    assert!(pool.place_of_minimum(&key).is_none(), "it is paused");
    pool.resume(Some("db"));
    let places = [pool.place_of_minimum(&key), pool.place_of_minimum(&key)].map(Option::unwrap);
    assert!(pool.place_of_minimum(&key).is_none(), "there are three");
    // Somebody else waits for a place, of all that the server has.
    let bob = identity("bob");
    let mut bobs = pin!(acquire(&pool, &bob));
    assert!(poll(bobs.as_mut()).is_pending());
    drop(of_client);
    let bobs = slot(poll(bobs.as_mut()));
    assert!(pool.place_of_minimum(&key).is_none(), "the server has no more");
    drop((places, bobs));
    assert_eq!(pool.usage(), (0, 0, 0));
    assert!(pool.place_of_minimum(&queue::key_of(&identity("carol"))).is_some());
    assert_eq!(pool.usage(), (0, 0, 0));
}

#[tokio::test]
async fn a_lost_connection_frees_its_place() {
    let (pool, alice) = (pool(5, 10), identity("alice"));
    let (one, server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
    let (two, _server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
    pool.put_back(one);
    pool.put_back(two);
    drop(server);
    // The runtime has to hear of it.
    tokio::task::yield_now().await;
    pool.drop_lost();
    assert_eq!(pool.usage(), (1, 1, 0));
}

// === PAUSE, RESUME, RECONNECT ===

#[tokio::test]
async fn who_waits_for_a_paused_database_is_served_after_resume() {
    let pool = pool(10, 1);
    let (alice, other) = (identity("alice"), identity_in("alice", "other"));
    let (conn, _server) = conn(open(&pool, "alice", "other").await, &other);
    pool.pause(Some("db"));
    let mut waits = pin!(acquire(&pool, &alice));
    assert!(poll(waits.as_mut()).is_pending());
    // Others go on, and keep what they have.
    pool.put_back(conn);
    assert_eq!(pool.usage(), (1, 1, 1));
    pool.put_back(kept(Poll::Ready(acquire(&pool, &other).await)));
    assert!(poll(waits.as_mut()).is_pending());
    pool.resume(Some("db"));
    drop(slot(poll(waits.as_mut())));
    assert_eq!(pool.usage(), (0, 0, 0));
}

#[tokio::test]
async fn a_connection_that_comes_back_from_a_paused_database_is_closed() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let (conn, _server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
    let mut waits = pin!(acquire(&pool, &alice));
    assert!(poll(waits.as_mut()).is_pending());
    pool.pause(None);
    pool.put_back(conn);
    assert!(poll(waits.as_mut()).is_pending());
    assert_eq!(pool.usage(), (0, 0, 1));
    pool.resume(None);
    slot(poll(waits.as_mut()));
}

#[tokio::test]
async fn what_is_retired_is_not_handed_on() {
    let (pool, alice) = (pool(1, 10), identity("alice"));
    let (conn, _server) = conn(slot(Poll::Ready(acquire(&pool, &alice).await)), &alice);
    pool.retire(Some("other"));
    let mut waits = pin!(acquire(&pool, &alice));
    assert!(poll(waits.as_mut()).is_pending());
    pool.put_back(conn);
    let conn = kept(poll(waits.as_mut()));
    pool.retire(Some("db"));
    let mut waits = pin!(acquire(&pool, &alice));
    assert!(poll(waits.as_mut()).is_pending());
    pool.put_back(conn);
    slot(poll(waits.as_mut()));
}

#[tokio::test]
async fn a_paused_database_gets_nothing_and_others_do() {
    let (pool, alice) = (pool(5, 10), identity("alice"));
    let elsewhere =
        Arc::new(Identity { user: "alice".into(), database: "other".into(), parameters: Vec::new() });
    pool.pause(Some("db"));
    let mut waiting = pin!(acquire(&pool, &alice));
    assert!(poll(waiting.as_mut()).is_pending());
    let other = slot(Poll::Ready(acquire(&pool, &elsewhere).await));
    drop(other);
    assert!(poll(waiting.as_mut()).is_pending(), "a free place went to a paused database");
    pool.resume(Some("db"));
    slot(poll(waiting.as_mut()));
    pool.pause(None);
    assert!(pool.is_paused("other"));
    let mut waiting = pin!(acquire(&pool, &elsewhere));
    assert!(poll(waiting.as_mut()).is_pending());
    // By another word than it was paused.
    pool.resume(Some("other"));
    assert!(poll(waiting.as_mut()).is_pending());
    pool.resume(None);
    slot(poll(waiting.as_mut()));
    assert_eq!(pool.servers.list().len(), 0);
}

#[tokio::test]
async fn what_is_open_when_a_pool_is_retired_is_marked_and_nothing_else() {
    let (pool, alice) = (pool(5, 10), identity("alice"));
    let before = slot(Poll::Ready(acquire(&pool, &alice).await));
    pool.retire(Some("other"));
    assert!(!before.server().is_retired());
    pool.retire(None);
    let after = slot(Poll::Ready(acquire(&pool, &alice).await));
    assert!(before.server().is_retired() && !after.server().is_retired());
}
