#![allow(clippy::unwrap_used)]
use super::ear::MOST;
use super::subscriptions::{Subscriptions, channel_of};
use super::{Channels, Ear};
use crate::protocol::PgError;
use crate::protocol::backend::message;
use std::sync::Arc;

fn channels(names: &[&str]) -> Channels {
    names.iter().map(|name| name.as_bytes().into()).collect()
}

fn notification(channel: &str, payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, b'A', |body| {
        body.extend([0, 0, 0, 7]);
        for part in [channel, payload] {
            body.extend_from_slice(part.as_bytes());
            body.push(0);
        }
    });
    out
}

fn order(all: &mut Subscriptions) -> String {
    String::from_utf8(all.order().unwrap_or_default()).unwrap()
}

fn heard(ear: &Ear) -> usize {
    std::iter::from_fn(|| ear.take()?.ok()).count()
}

#[test]
fn a_client_hears_what_comes_behind_the_acknowledgement() {
    let (mut all, one, two) = (Subscriptions::default(), Arc::<Ear>::default(), Arc::<Ear>::default());
    all.listen(1, &one, &channels(&["a", "x\"y"]));
    assert!(!one.is_settled());
    assert_eq!(order(&mut all), "LISTEN \"a\";LISTEN \"x\"\"y\";");
    all.heard(&notification("a", "too early"));
    all.acknowledged();
    assert!(one.is_settled());
    all.heard(&notification("a", "now"));
    all.heard(&notification("b", "nobody's"));
    assert_eq!(heard(&one), 1);
    // The second listener of a channel has the server asked again.
    all.listen(2, &two, &channels(&["a"]));
    assert_eq!(order(&mut all), "LISTEN \"a\";");
    all.heard(&notification("a", "for the first"));
    all.acknowledged();
    all.heard(&notification("a", "for both"));
    assert_eq!((heard(&one), heard(&two)), (2, 1));
}

#[test]
fn the_last_one_takes_the_channel_along() {
    let (mut all, one, two) = (Subscriptions::default(), Arc::<Ear>::default(), Arc::<Ear>::default());
    all.listen(1, &one, &channels(&["a", "b"]));
    all.listen(2, &two, &channels(&["a"]));
    order(&mut all);
    all.acknowledged();
    all.leave(2);
    assert_eq!(order(&mut all), "");
    all.listen(1, &one, &channels(&["b"]));
    assert!(one.is_settled(), "there is nothing to wait for");
    assert_eq!(order(&mut all), "UNLISTEN \"a\";");
    all.leave(1);
    assert_eq!((order(&mut all).as_str(), all.clients()), ("UNLISTEN \"b\";", 0));
}

#[test]
fn who_goes_and_comes_back_waits_for_an_acknowledgement_of_its_own() {
    let (mut all, one) = (Subscriptions::default(), Arc::<Ear>::default());
    all.listen(1, &one, &channels(&["a", "b"]));
    order(&mut all);
    all.listen(1, &one, &channels(&["b"]));
    all.listen(1, &one, &channels(&["a", "b"]));
    all.acknowledged();
    assert!(!one.is_settled());
    all.heard(&notification("a", "of before"));
    assert_eq!(heard(&one), 0);
    assert_eq!(order(&mut all), "LISTEN \"a\";");
    all.acknowledged();
    assert!(one.is_settled());
}

#[test]
fn a_lost_connection_is_told_behind_what_came_before() {
    let (mut all, one) = (Subscriptions::default(), Arc::<Ear>::default());
    all.listen(1, &one, &channels(&["a"]));
    order(&mut all);
    all.acknowledged();
    all.heard(&notification("a", ""));
    all.fail(&PgError::fatal("57P01", "gone"));
    assert_eq!(all.clients(), 0);
    assert!(one.take().unwrap().is_ok());
    assert_eq!(one.take().unwrap().unwrap_err().sqlstate, "57P01");
    assert!(one.overflow().is_none());
}

#[test]
fn what_waits_for_one_client_is_limited() {
    let ear = Ear::default();
    let long: Arc<[u8]> = notification("a", &"x".repeat(7000)).into();
    for _ in 0..=MOST / 7000 {
        ear.hear(&long);
    }
    assert_eq!(ear.overflow().unwrap().sqlstate, "54000");
    assert!(heard(&ear) * long.len() <= MOST);
}

#[test]
fn the_channel_of_a_notification() {
    assert_eq!(channel_of(&notification("news", "x")), Some(&b"news"[..]));
    for cut in [&b"A\0\0\0\x04"[..], b"A\0\0\0\x0a\0\0\0\x01no", b""] {
        assert_eq!(channel_of(cut), None);
    }
}
