//! The servers of a sandbox together.

use std::path::Path;
use std::sync::Arc;

use crate::builder::Builder;
use crate::folder::Folder;
use crate::server::{Mode, Server};
use crate::workshop::{Workshop, run};
use crate::{Error, Installation, Result, SUPERUSER};

/// Running servers and their folder; dropping it ends them and removes it.
#[derive(Debug)]
pub struct Cluster {
    // Fields drop in this order: first the servers die, then their folder goes.
    servers: Vec<Server>,
    workshop: Arc<Workshop>,
    folder: Folder,
}

impl Cluster {
    /// Starts with one primary, trust authentication and the newest PostgreSQL.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(servers: Vec<Server>, workshop: Arc<Workshop>, folder: Folder) -> Cluster {
        Cluster { servers, workshop, folder }
    }

    /// All servers in the order of their ids.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server with this id.
    ///
    /// # Panics
    /// When the builder was not asked for that many, like an index into a slice.
    pub fn server(&self, id: usize) -> &Server {
        &self.servers[id]
    }

    /// Server 0, which was the primary to begin with.
    pub fn primary(&self) -> &Server {
        self.server(0)
    }

    /// Which PostgreSQL this is, and where its programs lie.
    pub fn installation(&self) -> &Installation {
        &self.workshop.installation
    }

    /// The folder that holds everything and goes with the cluster; room for a
    /// caller's own temporary files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Throws a server's data away and makes it a standby of `primary`: how an old
    /// primary comes back after a failover, or a standby follows a new one.
    pub fn rebuild_as_standby(&self, id: usize, primary: usize) -> Result<()> {
        let (server, source) = (self.server(id), self.server(primary));
        server.stop(Mode::Immediate)?;
        let data_dir = server.data_dir();
        std::fs::remove_dir_all(&data_dir).map_err(Error::io("remove", &data_dir))?;
        server.copy_from(source)?;
        server.start()?;
        source.wait_streamed_by(id)
    }
}

impl Server {
    /// Fills the data directory with a base backup of `primary`, set up to stream from it.
    pub(crate) fn copy_from(&self, primary: &Server) -> Result<()> {
        let conninfo = format!(
            "host=127.0.0.1 port={} user={SUPERUSER} application_name=server{}",
            primary.port(),
            self.id()
        );
        if !self.workshop().installation.has_base_backup() {
            return self.copy_by_hand(primary, &conninfo);
        }
        run(self
            .workshop()
            .server_program("pg_basebackup")
            .args(["-R", "-X", "stream", "-c", "fast", "--no-sync"])
            .arg("-D")
            .arg(self.data_dir())
            .args(["-d", &conninfo]))?;
        Ok(())
    }
}
