//! Observers are told what has happened, gates decide who comes in: with the
//! plugin examples/witness, in front of real servers.
#![allow(clippy::unwrap_used)]

mod gates;
mod observers;

use waypool_tests::plugins::{WITNESS, Witness};
use waypool_tests::{Builder, Proxy, primary_and_standby};

/// Reads go to the standby, and the witness tells the log what it is told.
fn builder(witness: &Witness) -> Builder {
    let builder = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]);
    witness.in_use(builder).plugin(WITNESS, "log = true")
}
