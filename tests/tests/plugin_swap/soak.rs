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
        if number % EVERY == 0 {
            timed(&mut windows.pushes, || operator.push_broken(number));
            sleep(PAUSE / 8);
            timed(&mut windows.swaps, || operator.rollback(number));
        }
        sleep(PAUSE / 8);
        let like = windows.swaps[windows.swaps.len() - 1];
        let from = now();
        windows.controls.push((from, from + like.1 - like.0));
        sleep((PAUSE * number).saturating_sub(began.elapsed()));
    }
    sleep(LENGTH.saturating_sub(began.elapsed()));
    let (done, transactions) = load.stop();
    check_decisions(&proxy, &done, 0);
    operator.check_history();
    proxy.stop();
    (done, transactions, windows)
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

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
#[ignore = "takes six minutes: make soak"]
fn soak_plugin_swap() {
    let (done, _, _) = minute("-M simple");
    eprintln!("as fast as it goes: {} transactions, {} statements", done.transactions(), done.statements());
    let rate = done.transactions() / LENGTH.as_secs() / 2;
    // Latencies are measured at half of that: with the processors busy all the
    // time they only tell in which order the clients are served.
    let mut rounds: [Vec<Duration>; 3] = Default::default();
    let mut each: [Vec<Duration>; 3] = Default::default();
    for round in 1..=ROUNDS {
        let (done, transactions, windows) = minute(&format!("-M simple -R {rate}"));
        let kinds = [windows.swaps, windows.controls, windows.pushes];
        let largest = kinds.map(|windows| -> Vec<Duration> {
            windows.into_iter().map(|window| largest(&transactions, window)).collect()
        });
        let [swaps, controls, pushes] =
            [0, 1, 2].map(|kind| largest[kind].iter().max().copied().unwrap_or_default());
        eprintln!(
            "round {round}: {} transactions; largest latency {swaps:?} during swaps, {controls:?} without, \
             {pushes:?} while a pushed plugin is compiled",
            done.transactions()
        );
        for (kind, worst) in [swaps, controls, pushes].into_iter().enumerate() {
            rounds[kind].push(worst);
        }
        for (all, these) in each.iter_mut().zip(largest) {
            all.extend(these);
        }
    }
    let [swaps, controls, pushes] = rounds.map(median);
    let [one_swap, one_control, one_push] = each.map(median);
    eprintln!(
        "largest of a minute, medians: {swaps:?} during swaps, {controls:?} without, {pushes:?} in pushes"
    );
    eprintln!(
        "largest of one, medians: {one_swap:?} in a swap, {one_control:?} without, {one_push:?} in a push"
    );
    assert!(one_swap <= one_control + ALLOWED, "{one_swap:?} in a swap, {one_control:?} without");
    assert!(swaps <= controls + ALLOWED, "{swaps:?} during swaps, {controls:?} without");
}
