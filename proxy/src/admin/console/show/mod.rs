//! `SHOW`: one file for each kind of rows. Columns have PgBouncer's names,
//! order and types, and what is Waypool's stands behind them.

mod config;
mod databases;
mod lists;
mod pools;
mod sockets;
mod stats;
mod users;

use super::Answer;
use super::command::Show;
use super::table::{Table, Value, text};
use crate::admin::show;
use crate::census::wall_clock;
use crate::proxy::Proxy;

const HELP: &str = "
\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION
\tSHOW BACKEND_POOLS|BACKEND_STATS
\tSHOW SOCKETS|LISTS|MEM|STATE
\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS
\tSHOW POOL_NODES|POOL_VERSION|POOL_BACKEND_STATS
\tRELOAD
\tPAUSE [<db>]
\tRESUME [<db>]
\tDISABLE <db>
\tENABLE <db>
\tRECONNECT [<db>]
\tKILL [<db>]
\tKILL_CLIENT <client_id>
\tSHUTDOWN
\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS
\tWAIT_CLOSE [<db>]";

pub(super) fn answer(what: Show, proxy: &Proxy) -> Answer {
    let table = match what {
        Show::Help => {
            return Answer { notice: Some(format!("Console usage{HELP}")), table: None, tag: "SHOW" };
        }
        Show::Clients => sockets::clients(proxy),
        Show::Servers => sockets::servers(proxy),
        Show::Sockets => sockets::both(proxy),
        Show::Pools => pools::pools(proxy),
        Show::BackendPools => pools::by_backend(proxy),
        Show::Stats => stats::stats(proxy),
        Show::StatsTotals => stats::totals(proxy),
        Show::StatsAverages => stats::averages(proxy),
        Show::BackendStats => stats::by_backend(proxy),
        Show::Totals => stats::of_all(proxy),
        Show::Databases => databases::databases(proxy),
        Show::Users => users::users(proxy),
        Show::Lists => lists::lists(proxy),
        Show::Config => config::config(proxy),
        Show::Mem => lists::mem(proxy),
        Show::State => lists::state(proxy),
        Show::Version => one("version", concat!("Waypool ", env!("CARGO_PKG_VERSION"))),
        Show::Pool(pool) => {
            // No session, so no load balance node.
            let (columns, rows) = show::table(pool, proxy, usize::MAX);
            Table::of_text(columns, rows)
        }
        Show::Parameter(name, value) => one(name, value),
    };
    Answer { notice: None, table: Some(table), tag: "SHOW" }
}

fn one(name: &'static str, value: &str) -> Table {
    Table { columns: vec![text(name)], rows: vec![vec![Value::from(value)]] }
}

/// `2026-01-31 12:00:00 UTC`, as PgBouncer has it with the time zone UTC.
fn moment(stamp: u64) -> Value {
    let moment = humantime::format_rfc3339_seconds(wall_clock(stamp)).to_string();
    Value::Text(moment.replace('T', " ").replace('Z', " UTC"))
}

/// `0,2`
fn numbers(ids: impl IntoIterator<Item = usize>) -> String {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    ids.join(",")
}
