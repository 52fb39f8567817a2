#![allow(clippy::unwrap_used)]

use super::client::split;
use super::screen::{Look, Screen, grouped, told};
use super::stop::Stop;
use std::time::Duration;

#[test]
fn numbers_are_grouped_by_thousands() {
    for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), text);
    }
}

#[test]
fn durations_have_the_unit_that_fits() {
    for (micros, text) in [(420, "0.42 ms"), (17_300, "17 ms"), (999_700, "1.0 s"), (1_340_000, "1.3 s")] {
        assert_eq!(told(Duration::from_micros(micros)), text);
    }
}

#[test]
fn without_a_terminal_there_are_no_colours() {
    assert_eq!(Screen::plain().paint(Look::Title, "text"), "text");
}

#[test]
fn answers_of_psql_are_told_apart() {
    assert_eq!(split("BEGIN\n-- next --\n n \n---\n 1\n\n-- next --\n"), ["BEGIN", " n \n---\n 1"]);
}

#[test]
fn a_wish_to_stop_ends_every_pause() {
    let stop = Stop::default();
    assert!(stop.check().is_ok());
    stop.want();
    stop.wait();
    assert!(stop.check().is_err());
    assert!(stop.pause(Duration::from_secs(3600)).is_err());
}
