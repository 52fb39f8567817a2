//! What the end-to-end tests share: a real proxy in front of real servers, and
//! ways to talk to it.
//!
//! ```no_run
//! use waypool_tests::{Proxy, psql, primary_and_standby};
//!
//! let cluster = primary_and_standby();
//! let proxy = Proxy::builder(cluster)
//!     .weights(&[0.0, 1.0])
//!     .plugin("balance", "statement_level_load_balance = true")
//!     .start();
//! assert_eq!(psql(&proxy, "SELECT 1"), "1");
//! proxy.stop();
//! ```
//!
//! The program is `$WAYPOOL_BIN`, else `target/release/waypool`. Everything here
//! panics with a clear text when it fails, as only tests use it; a proxy which is
//! dropped by a panic prints its log.

mod builder;
pub mod certificates;
mod clients;
pub mod console;
pub mod conversation;
mod database;
pub mod load;
pub mod outage;
pub mod plugins;
mod program;
mod proxy;
pub mod raw;
pub mod smith;
pub mod traffic;
pub mod twins;
mod wait;
pub mod wire;

pub use builder::{Builder, waypool};
pub use clients::{client, client_with_messages, connect, psql, psql_error, psql_in, run_async};
pub use database::{Database, primary_and_standby};
pub use program::{Finished, program, program_at, python, python_at, run};
pub use proxy::{Former, Proxy};
pub use wait::{PATIENCE, rss_kib, wait_until};
