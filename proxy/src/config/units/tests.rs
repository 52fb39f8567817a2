#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::{Bare, duration, show_duration, show_size, size};

#[test]
fn durations() {
    for (text, micros) in [
        ("1us", 1),
        ("200ms", 200_000),
        ("10s", 10_000_000),
        (" 10 s ", 10_000_000),
        ("1min", 60_000_000),
        ("1MIN", 60_000_000),
        ("2h", 7_200_000_000),
        ("1d", 86_400_000_000),
        ("0", 0),
        ("7", 7_000_000),
    ] {
        assert_eq!(duration(text, Bare::Seconds).unwrap(), Duration::from_micros(micros), "{text}");
    }
    assert_eq!(duration("7", Bare::Milliseconds).unwrap(), Duration::from_millis(7));
}

#[test]
fn wrong_durations() {
    for text in ["", "s", "ten s", "1 fortnight", "-1s", "1.5s", "367d", "99999999999999999999s", "1+1"] {
        assert!(duration(text, Bare::Seconds).is_err(), "{text}");
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [("5", 5), ("64kB", 65536), ("16mb", 16 << 20), ("1 GB", 1 << 30), ("1TB", 1 << 40)]
    {
        assert_eq!(size(text).unwrap(), bytes, "{text}");
    }
    assert!(size("99999999999TB").is_err());
}

#[test]
fn shown_as_a_person_would_write() {
    assert_eq!(show_duration(Duration::from_secs(10)), "10s");
    assert_eq!(show_duration(Duration::from_secs(120)), "2min");
    assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
    assert_eq!(show_duration(Duration::ZERO), "0s");
    assert_eq!(show_size(64 << 20), "64MB");
    assert_eq!(show_size(1000), "1000B");
}
