#![allow(clippy::unwrap_used)]
use super::queue::{Grant, Limits, Pool, Slot};
use super::*;
use crate::census;
use crate::config::Config;
use crate::net::Ends;
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

fn pool(per_group: usize, in_all: usize) -> Arc<Pool> {
    let text = "sr_check_user = \"postgres\"\n[[backend]]\nhostname = \"127.0.0.1\"\n";
    let config = Config::parse(text, Path::new("waypool.toml")).unwrap();
    let backend = Arc::new(Backend::new(0, config.backends[0].clone()));
    let limits = Limits {
        per_group,
        in_all,
        queue_timeout: Some(Duration::from_secs(60)),
        connect_timeout: Duration::from_secs(10),
        keep: true,
        life_time: None,
    };
    Pool::new(Target { backend, connector: None }, limits)
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
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn slot(answer: Poll<Result<Grant, CheckoutError>>) -> Slot {
    match answer {
        Poll::Ready(Ok(Grant::Slot(slot))) => slot,
        other => panic!("no slot: {other:?}"),
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
    assert!(told.hint.unwrap().contains("query_wait_timeout"));
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
