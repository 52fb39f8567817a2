//! `pool_mode = "transaction"` and `"statement"`: clients share server
//! connections, and none of them notices.
#![allow(clippy::unwrap_used)]

mod console;
mod crowd;
mod notify;
mod pins;
mod prepared;
mod settings;
mod sharing;
mod thrift;

use waypool_tests::{Builder, Proxy, primary_and_standby};

/// One server connection for all, so that whatever a client leaves there is in
/// the way of the next one. All on the primary.
fn one_connection() -> Builder {
    connections(1).weights(&[1.0, 0.0])
}

fn connections(count: usize) -> Builder {
    let top =
        format!("pool_mode = \"transaction\"\ndefault_pool_size = {count}\nquery_wait_timeout = \"2s\"");
    Proxy::builder(primary_and_standby()).top(&top)
}
