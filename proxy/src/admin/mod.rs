//! What operators ask the proxy itself.
//!
//! - [`show`], [`route`]: what any client may ask, in SQL (`SHOW pool_nodes`).
//! - [`console`]: the admin database `waypool`, in the words of PgBouncer.
//! - [`endpoint`]: orders about plugins, over HTTP on a socket of its own.
//! - [`api`]: the JSON that it speaks, for the command line too.

pub mod api;
pub mod console;
pub mod endpoint;
pub mod route;
pub mod show;
