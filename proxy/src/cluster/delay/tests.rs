#![allow(clippy::unwrap_used)]
use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_threshold_in_bytes() {
    let (mut delay, now) = (Delay::default(), Instant::now());
    let limit = Threshold::Bytes(1000);
    delay.saw(1000, 2000, now);
    assert!(!delay.judge(limit, now) && !delay.is_delayed());
    delay.saw(1000, 2001, now);
    assert!(delay.judge(limit, now) && delay.is_delayed());
    assert!(!delay.judge(limit, now) && delay.is_delayed());
    assert!(delay.judge(Threshold::None, now) && !delay.is_delayed());
}

#[test]
fn a_threshold_in_time_goes_by_the_report() {
    let (mut delay, now) = (Delay::default(), Instant::now());
    let limit = Threshold::Time(SECOND);
    delay.saw(0, 1 << 40, now);
    assert!(!delay.judge(limit, now));
    delay.report(Some(2 * SECOND));
    assert!(delay.judge(limit, now) && delay.is_delayed());
    delay.report(Some(SECOND));
    assert!(delay.judge(limit, now) && !delay.is_delayed());
}

#[test]
fn without_a_report_it_is_as_long_as_it_is_seen_behind() {
    let (mut delay, start) = (Delay::default(), Instant::now());
    let after = |seconds: u32| start + seconds * SECOND;
    delay.saw(100, 100, start);
    assert_eq!(delay.time(after(9)), Duration::ZERO);
    delay.saw(100, 200, after(10));
    assert_eq!(delay.time(after(10)), Duration::from_micros(1));
    // Some progress, but not up to where the primary was then
    delay.saw(150, 300, after(20));
    assert_eq!(delay.time(after(20)), 10 * SECOND);
    // Beyond that, but not all
    delay.saw(250, 300, after(30));
    assert_eq!(delay.time(after(31)), SECOND);
    delay.saw(300, 300, after(40));
    assert_eq!(delay.time(after(50)), Duration::ZERO);
}

#[test]
fn small_changes_are_no_news() {
    let (mut delay, now) = (Delay::default(), Instant::now());
    delay.report(Some(Duration::from_millis(9)));
    delay.saw(0, 8000, now);
    assert!(!delay.is_news(now));
    delay.saw(0, 100_000, now);
    assert!(delay.is_news(now) && !delay.is_news(now));
    delay.saw(0, 110_000, now);
    assert!(!delay.is_news(now));
    delay.report(Some(SECOND));
    assert!(delay.is_news(now));
    delay.saw(110_000, 110_000, now);
    assert!(delay.is_news(now));
}

#[test]
fn the_log_has_pgpools_words() {
    let (mut delay, now) = (Delay::default(), Instant::now());
    delay.saw(0, 500, now);
    delay.report(Some(Duration::from_millis(1500)));
    let line = |threshold, log| delay.line(1, 0, threshold, log, now);
    use LogStandbyDelay::{Always, IfOverThreshold, None as Never};
    let bytes = "Replication of node: 1 is behind 500 bytes from the primary server (node: 0)";
    let time = "Replication of node: 1 is behind 1.500000 second(s) from the primary server (node: 0)";
    assert_eq!(line(Threshold::Bytes(499), IfOverThreshold).unwrap(), bytes);
    assert_eq!(line(Threshold::None, Always).unwrap(), bytes);
    assert_eq!(line(Threshold::Time(SECOND), IfOverThreshold).unwrap(), time);
    assert_eq!(line(Threshold::Time(2 * SECOND), Always).unwrap(), time);
    for (threshold, log) in [
        (Threshold::Bytes(499), Never),
        (Threshold::Bytes(500), IfOverThreshold),
        (Threshold::None, IfOverThreshold),
        (Threshold::Time(2 * SECOND), IfOverThreshold),
    ] {
        assert_eq!(line(threshold, log), None);
    }
}
