//! `SHOW STATS` and its kin: a row for each database, as PgBouncer has it; `SHOW
//! BACKEND_STATS` has one for each user and server besides.

use super::super::table::{Column, Table, Value, numeric, text};
use super::numbers;
use crate::census::Totals;
use crate::census::server::Stats;
use crate::proxy::Proxy;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const TOTAL: [&str; 12] = [
    "total_server_assignment_count",
    "total_xact_count",
    "total_query_count",
    "total_received",
    "total_sent",
    "total_xact_time",
    "total_query_time",
    "total_wait_time",
    "total_client_parse_count",
    "total_server_parse_count",
    "total_bind_count",
    "total_client_login_count",
];

const AVERAGE: [&str; 12] = [
    "avg_server_assignment_count",
    "avg_xact_count",
    "avg_query_count",
    "avg_recv",
    "avg_sent",
    "avg_xact_time",
    "avg_query_time",
    "avg_wait_time",
    "avg_client_parse_count",
    "avg_server_parse_count",
    "avg_bind_count",
    "avg_client_login_count",
];

/// `SHOW STATS_TOTALS`
const TOTALS: [&str; 12] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "bytes_received",
    "bytes_sent",
    "xact_time",
    "query_time",
    "wait_time",
    "client_parse_count",
    "server_parse_count",
    "bind_count",
    "client_login_count",
];

/// `SHOW STATS_AVERAGES`: PgBouncer names the last ones otherwise.
const AVERAGES: [&str; 12] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "bytes_received",
    "bytes_sent",
    "xact_time",
    "query_time",
    "wait_time",
    "avg_client_parse_count",
    "avg_server_parse_count",
    "avg_bind_count",
    "avg_client_login_count",
];

/// `SHOW TOTALS`, as rows.
const OF_ALL: [&str; 12] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "ps_client_parse_count",
    "ps_server_parse_count",
    "ps_bind_count",
    "client_login_count",
];

/// The sum of what some connections counted.
#[derive(Debug, Default)]
struct Sum {
    now: Totals,
    before: Totals,
    backends: BTreeSet<usize>,
}

impl Sum {
    fn add(&mut self, backend: usize, stats: &Stats) {
        self.now = self.now.plus(&stats.now);
        self.before = self.before.plus(&stats.before);
        self.backends.insert(backend);
    }

    fn averages(&self, proxy: &Proxy) -> Totals {
        self.now.averages(&self.before, proxy.census.averaged().as_secs_f64())
    }
}

fn all(proxy: &Proxy) -> impl Iterator<Item = (usize, Stats)> {
    proxy.pools.iter().flat_map(|pool| {
        let backend = pool.target.backend.id;
        pool.servers.stats().into_iter().map(move |stats| (backend, stats))
    })
}

fn by_database(proxy: &Proxy) -> BTreeMap<Arc<str>, Sum> {
    let mut sums: BTreeMap<Arc<str>, Sum> = BTreeMap::new();
    for (backend, stats) in all(proxy) {
        sums.entry(stats.database.clone()).or_default().add(backend, &stats);
    }
    sums
}

fn values(totals: &Totals) -> impl Iterator<Item = Value> {
    totals.0.into_iter().map(Value::from)
}

/// `database`, these columns, `backend`.
fn columns(counters: &[&'static str]) -> Vec<Column> {
    let counters = counters.iter().map(|name| numeric(name));
    [text("database")].into_iter().chain(counters).chain([text("backend")]).collect()
}

fn of_databases(proxy: &Proxy, counters: &[&'static str], row: impl Fn(&Sum) -> Vec<Value>) -> Table {
    let mut table = Table::new(&columns(counters));
    for (database, sum) in by_database(proxy) {
        let mut values = vec![(&*database).into()];
        values.extend(row(&sum));
        values.push(numbers(sum.backends).into());
        table.rows.push(values);
    }
    table
}

pub(super) fn stats(proxy: &Proxy) -> Table {
    of_databases(proxy, &[TOTAL, AVERAGE].concat(), |sum| {
        values(&sum.now).chain(values(&sum.averages(proxy))).collect()
    })
}

pub(super) fn totals(proxy: &Proxy) -> Table {
    of_databases(proxy, &TOTALS, |sum| values(&sum.now).collect())
}

pub(super) fn averages(proxy: &Proxy) -> Table {
    of_databases(proxy, &AVERAGES, |sum| values(&sum.averages(proxy)).collect())
}

pub(super) fn by_backend(proxy: &Proxy) -> Table {
    let mut sums: BTreeMap<(Arc<str>, Arc<str>, usize), Sum> = BTreeMap::new();
    for (backend, stats) in all(proxy) {
        let key = (stats.database.clone(), stats.user.clone(), backend);
        sums.entry(key).or_default().add(backend, &stats);
    }
    let mut header = columns(&[TOTAL, AVERAGE].concat());
    header.insert(1, text("user"));
    let mut table = Table::new(&header);
    for ((database, user, backend), sum) in sums {
        let mut row = vec![(&*database).into(), (&*user).into()];
        row.extend(values(&sum.now).chain(values(&sum.averages(proxy))));
        row.push(numbers([backend]).into());
        table.rows.push(row);
    }
    table
}

pub(super) fn of_all(proxy: &Proxy) -> Table {
    let mut sum = Sum::default();
    all(proxy).for_each(|(backend, stats)| sum.add(backend, &stats));
    let mut table = Table::new(&[text("name"), numeric("value")]);
    for (prefix, totals) in [("total", sum.now), ("avg", sum.averages(proxy))] {
        let rows = OF_ALL.iter().zip(values(&totals));
        table.rows.extend(rows.map(|(name, value)| vec![format!("{prefix}_{name}").into(), value]));
    }
    table
}
