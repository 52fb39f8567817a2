//! Throwaway PostgreSQL clusters: real servers, started in a temporary folder
//! and gone when the [`Cluster`] is dropped.
//!
//! `waypool demo`, the end-to-end tests and the benchmark use it.
//!
//! ```no_run
//! use waypool_sandbox::{Cluster, Mode};
//!
//! let cluster = Cluster::builder()
//!     .standbys(1)
//!     .setting("log_statement", "all")
//!     .start()?;
//! let (primary, standby) = (cluster.primary(), cluster.server(1));
//! primary.psql("create table t as select 1 as n")?;
//! standby.wait_replay(primary)?;
//! assert_eq!(standby.psql("select n from t")?, "1");
//! primary.stop(Mode::Fast)?;
//! standby.promote()?;
//! # Ok::<(), waypool_sandbox::Error>(())
//! ```
//!
//! Everything blocks: call it from a test's own thread, or through
//! `spawn_blocking` where an async runtime has other work to do meanwhile.
//!
//! Nothing stays behind. Dropping the cluster kills its servers and removes its
//! folder; when the owning process dies in any other way, a guardian process
//! does the same (see `guardian.sh`).

mod account;
mod backup;
mod builder;
mod cluster;
mod error;
mod folder;
mod installation;
mod ports;
mod process;
mod server;
mod wait;
mod workshop;

pub use builder::{Auth, Builder, TlsFiles};
pub use cluster::Cluster;
pub use error::Error;
pub use installation::Installation;
pub use ports::Port;
pub use server::{Mode, Server};
pub use wait::wait_until;

/// The superuser of every sandbox server.
pub const SUPERUSER: &str = "postgres";
/// The password of [`SUPERUSER`]; set under every [`Auth`], asked for by all but `Trust`.
pub const PASSWORD: &str = "sandbox-secret";

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;
