//! The long form: a minute of load with all that an operator does, and how long
//! statements take meanwhile.

use std::thread::sleep;
use std::time::{Duration, Instant};

use waypool_tests::load::{Done, Load, Timed, now};
use waypool_tests::plugins::Witness;

use crate::load::{CLIENTS, EVERY, Operator, SWAPS, builder, check_decisions};

const LENGTH: Duration = Duration::from_secs(60);
/// Swaps are so far apart.
const PAUSE: Duration = Duration::from_millis(LENGTH.as_millis() as u64 / (SWAPS as u64 + 1));
/// Worker threads take a new version over with their next statement.
const TAKING_OVER: u64 = 20_000;
/// What a swap may add to the largest latency.
const ALLOWED: Duration = Duration::from_millis(5);
/// Measurements, whose medians count.
const ROUNDS: usize = 5;

/// From and to, in microseconds since 1970.
type Window = (u64, u64);

/// What was done when.
#[derive(Default)]
struct Windows {
    /// Swaps and rollbacks.
    swaps: Vec<Window>,
    pushes: Vec<Window>,
    /// As long as the swaps, with nothing happening.
    controls: Vec<Window>,
}

/// Everything that an operator does, for a minute; compiled code is kept nowhere.
fn minute(options: &str) -> (Done, Vec<Timed>, Windows) {
    let witness = Witness::default();
    let nowhere = tempfile::tempdir().unwrap();
    let proxy =
        builder(&witness).environment("XDG_CACHE_HOME", &nowhere.path().display().to_string()).start();
    let mut operator = Operator::new(&proxy, &witness);
    let load = Load::mixed(&proxy, &format!("-c {CLIENTS} -l {options}"));
    let mut windows = Windows::default();
    let began = Instant::now();
    for number in 1..=SWAPS {
        let digest = timed(&mut windows.pushes, || operator.push(number));
        // Apart from what the push has left to do.
        sleep(PAUSE / 8);
        timed(&mut windows.swaps, || operator.swap(number, &digest));
        windows.control();
        if number % EVERY == 0 {
            timed(&mut windows.pushes, || operator.push_broken(number));
            sleep(PAUSE / 8);
            timed(&mut windows.swaps, || operator.rollback(number));
            windows.control();
        }
        sleep((PAUSE * number).saturating_sub(began.elapsed()));
    }
    sleep(LENGTH.saturating_sub(began.elapsed()));
    let (done, transactions) = load.stop();
    check_decisions(&proxy, &done, 0);
    operator.check_history();
    proxy.stop();
    (done, transactions, windows)
}

impl Windows {
    /// After a swap: as long again, when it is over.
    fn control(&mut self) {
        sleep(PAUSE / 8);
        let (from, to) = self.swaps[self.swaps.len() - 1];
        let now = now();
        self.controls.push((now, now + to - from));
        sleep(PAUSE / 8);
    }
}

fn timed<T>(windows: &mut Vec<Window>, act: impl FnOnce() -> T) -> T {
    let from = now();
    let done = act();
    windows.push((from, now() + TAKING_OVER));
    done
}

/// The largest latency of a transaction that was under way in this window.
fn largest(transactions: &[Timed], (from, to): Window) -> Duration {
    let within = |timed: &&Timed| timed.began <= to && timed.ended >= from;
    transactions.iter().filter(within).map(Timed::took).max().unwrap_or_default()
}

/// The value below which this share of them lies.
fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    values[((values.len() - 1) as f64 * share) as usize]
}

#[test]
#[ignore = "takes six minutes: make soak"]
fn soak_plugin_swap() {
    let (done, _, _) = minute("-M simple");
    eprintln!("as fast as it goes: {} transactions, {} statements", done.transactions(), done.statements());
    // Latencies are measured at half of that: with the processors busy all the
    // time they only tell in which order the clients are served.
    let rate = done.transactions() / LENGTH.as_secs() / 2;
    let mut all: [Vec<Duration>; 3] = Default::default();
    for round in 1..=ROUNDS {
        let (done, transactions, windows) = minute(&format!("-M simple -R {rate}"));
        let kinds = [windows.swaps, windows.controls, windows.pushes];
        let these = kinds.map(|windows| -> Vec<Duration> {
            windows.into_iter().map(|window| largest(&transactions, window)).collect()
        });
        eprintln!("round {round}: {} transactions, {}", done.transactions(), told(&mut these.clone(), 1.0));
        for (all, these) in all.iter_mut().zip(these) {
            all.extend(these);
        }
    }
    for (name, share) in [("half of them", 0.5), ("nine of ten", 0.9), ("all", 1.0)] {
        eprintln!("the largest latency is at most, in {name}: {}", told(&mut all, share));
    }
    let [swaps, controls, _] = &mut all;
    for share in [0.5, 0.9] {
        let (swaps, controls) = (quantile(swaps, share), quantile(controls, share));
        assert!(swaps <= controls + ALLOWED, "{share}: {swaps:?} in a swap, {controls:?} without");
    }
}

fn told(all: &mut [Vec<Duration>; 3], share: f64) -> String {
    let [swaps, controls, pushes] = all.each_mut().map(|values| quantile(values, share));
    format!("{swaps:?} in a swap, {controls:?} without, {pushes:?} while a pushed plugin is compiled")
}
