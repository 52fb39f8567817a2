//! A base backup without `pg_basebackup`, where an installation lacks it: by the
//! functions that it uses itself, and by `tar`.

use std::fs;

use crate::server::Server;
use crate::workshop::run;
use crate::{Error, Result};

impl Server {
    /// Fills the data directory with a copy of `primary`'s, set up to stream from
    /// it. What was written meanwhile it gets by streaming.
    pub(crate) fn copy_by_hand(&self, primary: &Server, conninfo: &str) -> Result<()> {
        let workshop = self.workshop();
        let script = self.socket_dir().join("backup.sql");
        workshop.write_private(&script, self.script(primary).as_bytes())?;
        let psql =
            ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-h", "127.0.0.1", "-U", crate::SUPERUSER];
        let mut command = workshop.server_program("psql");
        run(command.args(psql).args(["-p", &primary.port().to_string(), "-f"]).arg(&script))?;
        let data = self.data_dir();
        // psql does not tell how a command of the shell has ended.
        let version = data.join("PG_VERSION");
        fs::metadata(&version).map_err(Error::io("find", &version))?;
        let settings = data.join("postgresql.auto.conf");
        let streams = format!("primary_conninfo = '{conninfo}'\n");
        workshop.write_private(&settings, streams.as_bytes())?;
        workshop.write_private(&data.join("standby.signal"), b"")
    }

    /// One session from the backup's start to its end, or the server gives it up.
    fn script(&self, primary: &Server) -> String {
        let (from, to) = (primary.data_dir(), self.data_dir());
        let (from, to) = (from.display(), to.display());
        let excluded =
            ["./postmaster.pid", "./postmaster.opts", "./pg_wal/*", "./pg_replslot/*", "./pg_stat_tmp/*"];
        let exclude: String = excluded.iter().map(|path| format!(" --exclude='{path}'")).collect();
        format!(
            "SELECT FROM pg_backup_start('sandbox', true);\n\
             \\! mkdir -m 700 '{to}' && tar -C '{from}'{exclude} -cf - . | tar -C '{to}' -xf -\n\
             \\o '{to}/backup_label'\n\
             SELECT labelfile FROM pg_backup_stop(false);\n"
        )
    }
}
