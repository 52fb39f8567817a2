//! Waypool: a PostgreSQL routing proxy that people extend with WebAssembly.
//!
//! Start with [`session`], which is the way of a query; `docs/architecture.md`
//! has the whole house. Arrows run one way: `cli` → `listen` → `session` →
//! `routing`, `pool` → `cluster`, `plugin` → `protocol`, `config`.

pub mod admin;
pub mod auth;
pub mod census;
pub mod children;
pub mod cli;
pub mod cluster;
pub mod commit;
pub mod config;
pub mod doors;
pub mod fanout;
pub mod handover;
pub mod life;
pub mod listen;
pub mod logging;
pub mod net;
pub mod notify;
pub mod orders;
pub mod plugin;
pub mod pool;
pub mod protocol;
pub mod proxy;
pub mod routing;
pub mod session;
pub mod tls;
pub mod verify;
pub mod wal;
pub mod worker;
