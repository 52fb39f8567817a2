//! The clients that most tests use: psql and tokio-postgres.

use std::future::{Future, poll_fn};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls};

use crate::program::{Finished, program, run};
use crate::{PATIENCE, Proxy};

/// Runs SQL through the proxy in the database `postgres` and returns the rows:
/// one a line, columns parted by `|`. Each statement is a message of its own,
/// in one session.
#[track_caller]
pub fn psql(proxy: &Proxy, sql: &str) -> String {
    psql_in(proxy, "postgres", sql)
}

/// [`psql`] in another database.
#[track_caller]
pub fn psql_in(proxy: &Proxy, database: &str, sql: &str) -> String {
    finished(proxy, database, sql).ok().trim_end().to_owned()
}

/// What psql says of SQL that has to fail: `SQLSTATE: message`, after `ERROR:`.
#[track_caller]
pub fn psql_error(proxy: &Proxy, database: &str, sql: &str) -> String {
    finished(proxy, database, sql).error()
}

fn finished(proxy: &Proxy, database: &str, sql: &str) -> Finished {
    let mut command = program(proxy, "psql");
    let options = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"];
    command.args(options).args(["-d", database, "-f", "-"]);
    run(&mut command, sql)
}

/// A tokio-postgres client of the proxy, in the database `postgres`.
pub async fn client(proxy: &Proxy) -> Client {
    client_with_messages(proxy, "").await.0
}

/// The same with further words of a connection string (`dbname=…`); what the
/// server sends unasked comes out of the channel.
pub async fn client_with_messages(proxy: &Proxy, options: &str) -> (Client, UnboundedReceiver<AsyncMessage>) {
    connect(proxy, options).await.unwrap_or_else(|error| panic!("cannot connect to waypool: {error:?}"))
}

/// [`client_with_messages`] where the login may fail.
pub async fn connect(
    proxy: &Proxy,
    options: &str,
) -> Result<(Client, UnboundedReceiver<AsyncMessage>), Error> {
    // The later of two equal words wins, except for hosts and ports.
    let config: Config = format!("{} {options}", proxy.conninfo()).parse()?;
    let (client, mut connection) = config.connect(NoTls).await?;
    let (sender, messages) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            // Most tests do not listen.
            let _ = sender.send(message);
        }
    });
    Ok((client, messages))
}

/// Runs an asynchronous test to its end; panics when it hangs.
#[track_caller]
pub fn run_async<T>(test: impl Future<Output = T>) -> T {
    const LONGEST: Duration = Duration::from_secs(3 * PATIENCE.as_secs());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let result = runtime.block_on(async { tokio::time::timeout(LONGEST, test).await });
    result.unwrap_or_else(|_| panic!("the test hung for {LONGEST:?}"))
}
