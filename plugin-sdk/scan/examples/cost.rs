//! What the scanner costs on this machine:
//! `cargo run --release -p waypool-scan --example cost`

use std::hint::black_box;
use std::time::Instant;
use waypool_scan::{Tokens, shape};

const TEXTS: [(&str, &str); 3] = [
    ("pgbench SELECT", "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;"),
    (
        "join",
        "SELECT o.id, o.total, c.name, count(i.id) FROM orders o JOIN customers c ON c.id = o.customer_id \
         LEFT JOIN items i ON i.order_id = o.id WHERE o.created_at > '2024-01-01' AND c.region = 'north' \
         GROUP BY 1, 2, 3",
    ),
    ("pgbench UPDATE", "UPDATE pgbench_tellers SET tbalance = tbalance + -1234 WHERE tid = 10;"),
];

fn main() {
    for (name, text) in TEXTS {
        let mut key = Vec::with_capacity(1024);
        let shape_cost = nanoseconds(|| {
            black_box(shape(black_box(text.as_bytes()), true, &mut key));
        });
        let scan_cost = nanoseconds(|| {
            black_box(Tokens::new(black_box(text)).fold(0, |sum, token| sum + token.kind as usize));
        });
        println!("{name}, {} bytes: shape {shape_cost:.0} ns, tokens {scan_cost:.0} ns", text.len());
    }
}

/// The best of some rounds: what the code costs where nothing disturbs it.
fn nanoseconds(mut run: impl FnMut()) -> f64 {
    const CALLS: u32 = 100_000;
    let mut best = f64::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        (0..CALLS).for_each(|_| run());
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    best
}
