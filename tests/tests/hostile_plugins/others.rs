//! Other sessions, on the same thread, with the same plugin in their chains.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use waypool_tests::load::{Load, quiet_servers};
use waypool_tests::raw::Raw;

use super::*;

/// Everything there is to do, in hooks that see statements.
const ORDERS: [&str; 24] = [
    "classify trap",
    "classify loop",
    "classify hog",
    "classify recurse",
    "classify garbage",
    "classify flood",
    "refine trap",
    "refine loop",
    "refine invalid_utf8",
    "rewrite trap",
    "rewrite hog",
    "rewrite garbage",
    "rewrite bad_sqlstate",
    "route trap",
    "route loop",
    "route hog",
    "route recurse",
    "route garbage",
    "route flood",
    "ended trap",
    "ended loop",
    "observe trap",
    "observe loop",
    "observe hog",
];

/// How long the victims go on.
const LONG: Duration = Duration::from_secs(5);

/// Orders one deed after the other, by statements and by logging in.
fn suffer(proxy: &Proxy, over: &AtomicBool) -> u32 {
    let mut session = Raw::login(proxy);
    let mut deeds = 0;
    while !over.load(Ordering::Relaxed) {
        for order in ORDERS {
            assert_eq!(session.value(&format!("SELECT 42 /* {order} */")), "42", "{order}");
            deeds += 1;
        }
        for order in ["session_start trap", "session_start loop", "plan_session hog", "plan_session recurse"]
        {
            let mut other = Raw::login_with(proxy, &[("application_name", order)]);
            assert_eq!(other.value("SELECT 42"), "42", "{order}");
            deeds += 1;
        }
    }
    deeds
}

#[test]
fn other_sessions_are_unharmed() {
    let proxy = modest_within("20ms", Proxy::builder(quiet_servers()))
        .top("worker_threads = 1\ndefault_pool_size = 100")
        .start();
    // Panics at the first transaction that fails.
    let load = Load::mixed(&proxy, "-c 8 -j 1 -l -M prepared");
    let over = AtomicBool::new(false);
    let deeds: u32 = std::thread::scope(|scope| {
        let victims = [(); 2].map(|()| scope.spawn(|| suffer(&proxy, &over)));
        let began = Instant::now();
        while began.elapsed() < LONG && victims.iter().all(|victim| !victim.is_finished()) {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        victims.map(|victim| victim.join().unwrap()).into_iter().sum()
    });
    let (done, timed) = load.stop();
    let stats = stats(&proxy);
    assert!(deeds >= 100, "only {deeds} deeds were done");
    for fault in ["trap", "deadline", "memory", "malformed answer"] {
        assert!(failures(&stats, fault) > 0, "{fault}");
    }
    let mut took: Vec<Duration> = timed.iter().map(waypool_tests::load::Timed::took).collect();
    took.sort_unstable();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{deeds} deeds; {} transactions, median {median:?}, longest {longest:?}", done.transactions());
    assert!(done.transactions() > 500, "{}", done.said);
    // A transaction meets a few deeds at most, each of which takes 20 ms or less
    // of the thread; the rest is this machine.
    assert!(median < Duration::from_millis(100), "{median:?}");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}
