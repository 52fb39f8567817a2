//! Asking a server directly, past any proxy, as its superuser.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::{PATIENCE, Server};
use crate::workshop::finish;
use crate::{Error, PASSWORD, Result, SUPERUSER, wait_until};

impl Server {
    /// Runs SQL in the database `postgres` and returns the rows: one a line,
    /// columns parted by `|`. Ends at the first error. Each statement is a
    /// transaction of its own.
    pub fn psql(&self, sql: &str) -> Result<String> {
        self.psql_in("postgres", sql)
    }

    /// [`Server::psql`] in another database.
    pub fn psql_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = self.workshop().client_program("psql");
        command
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER])
            .arg("-h")
            .arg(self.socket_dir())
            .args(["-p", &self.port().to_string(), "-d", database, "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = PathBuf::from(command.get_program());
        let mut child = command.spawn().map_err(Error::io("start", &program))?;
        // On another thread: psql may answer at length before it has read it all.
        let stdin = child.stdin.take();
        let sql = sql.to_owned();
        let writer = std::thread::spawn(move || {
            // psql may end before it has read everything; its status tells then.
            stdin.map(|mut pipe| pipe.write_all(sql.as_bytes()))
        });
        let output = child.wait_with_output();
        let _ = writer.join();
        finish(&program, output.map_err(Error::io("run", &program))?)
    }

    /// A libpq connection string for the superuser over TCP.
    pub fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user={SUPERUSER} password={PASSWORD} dbname=postgres", self.port())
    }

    pub fn is_in_recovery(&self) -> Result<bool> {
        Ok(self.psql("select pg_is_in_recovery()")? == "t")
    }

    /// Makes a standby the primary; returns when it takes writes.
    pub fn promote(&self) -> Result<()> {
        let seconds = PATIENCE.as_secs();
        let promoted = self.psql(&format!("select pg_promote(true, {seconds})"))?;
        if promoted == "t" {
            return Ok(());
        }
        Err(self.timed_out("it is promoted", PATIENCE))
    }

    /// Waits until this standby has replayed all that `primary` has committed by now.
    pub fn wait_replay(&self, primary: &Server) -> Result<()> {
        let position = primary.psql("select pg_current_wal_lsn()")?;
        let question = format!("select pg_last_wal_replay_lsn() >= '{position}'::pg_lsn");
        self.wait_for("it has replayed what its primary wrote", PATIENCE, &question)
    }

    /// Waits until the server `standby_id` streams from this one.
    pub fn wait_streamed_by(&self, standby_id: usize) -> Result<()> {
        let question = format!(
            "select exists (select from pg_stat_replication \
             where application_name = 'server{standby_id}' and state = 'streaming')"
        );
        self.wait_for("its standby streams", PATIENCE, &question)
    }

    /// Changes a setting of the running server and waits until new sessions see
    /// it; one that needs a restart waits for the restart.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        let value = value.replace('\'', "''");
        let before = self.psql("select pg_conf_load_time()")?;
        self.psql(&format!("alter system set {name} = '{value}'"))?;
        self.psql("select pg_reload_conf()")?;
        let question = format!("select pg_conf_load_time() > '{before}'");
        self.wait_for("it has reloaded its configuration", PATIENCE, &question)
    }

    /// Waits until a query answers `t`.
    pub fn wait_for(&self, condition: &'static str, timeout: Duration, sql: &str) -> Result<()> {
        let mut failure = None;
        let held = wait_until(timeout, || match self.psql(sql) {
            Ok(answer) => answer == "t",
            Err(error) => {
                failure = Some(error);
                true
            }
        });
        match (failure, held) {
            (Some(error), _) => Err(error),
            (None, true) => Ok(()),
            (None, false) => Err(self.timed_out(condition, timeout)),
        }
    }
}
