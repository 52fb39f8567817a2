//! `waypool verify`: compares the servers, and prints a table.
//!
//! Exit status 0: they are equal; 1: they differ; 2: something could not be
//! compared.

use super::ConfigFile;
use super::plugin::client::{Client, Message};
use crate::admin::api::{Held, Hold, Release};
use crate::cluster::{Backend, Cluster};
use crate::config::Config;
use crate::proxy;
use crate::verify::{DatabaseReport, Gate, NoGate, Options as What, Outcome, Report, Servers, verify};
use anyhow::{Context, anyhow, bail};
use std::process::ExitCode;
use std::sync::Arc;

/// Clients wait no longer than this for their commits.
const HOLD: Hold = Hold { milliseconds: 2000 };

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Only this database; may be repeated. Without it, all that clients could use
    #[arg(short, long, value_name = "NAME")]
    database: Vec<String>,
    /// Only this table, as schema.table; may be repeated
    #[arg(short, long, value_name = "NAME")]
    table: Vec<String>,
    /// Only this server, by its number; may be repeated
    #[arg(short, long, value_name = "ID")]
    backend: Vec<usize>,
    /// Name so many of a table's rows that differ
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    rows: usize,
    /// Read without verify_rate_limit
    #[arg(long)]
    full_speed: bool,
    /// Do not ask the running proxy for a moment between commits
    #[arg(long)]
    no_proxy: bool,
    /// Print only what differs
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(options: &Options) -> ExitCode {
    match compare(options) {
        Ok(Outcome::Equal) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => ExitCode::from(1),
        Ok(Outcome::Incomplete) => ExitCode::from(2),
        Err(error) => {
            eprintln!("waypool: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn compare(options: &Options) -> anyhow::Result<Outcome> {
    let config = Config::load(&options.file.config)
        .map_err(|errors| anyhow!("the configuration has mistakes\n{errors}"))?;
    let config = Arc::new(config);
    let servers = servers(&config, &options.backend)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let what = What {
        databases: options.database.clone(),
        tables: options.table.clone(),
        rate: config.verify_rate_limit.filter(|_| !options.full_speed),
        rows: options.rows,
    };
    let running = match servers.commits_here() && !options.no_proxy {
        true => AdminGate::of_running(&config),
        false => None,
    };
    let ids = servers.ids();
    let each = |database: &DatabaseReport| print(database, &ids, options.quiet);
    let compared = match &running {
        Some(gate) => runtime.block_on(verify(&servers, gate, &what, each)),
        None => runtime.block_on(verify(&servers, &NoGate, &what, each)),
    };
    let report = compared?;
    conclude(&report, running.is_some());
    Ok(report.outcome())
}

fn servers(config: &Arc<Config>, wanted: &[usize]) -> anyhow::Result<Servers> {
    let cluster = Cluster::new(config);
    if let Some(unknown) = wanted.iter().find(|id| **id >= cluster.backends.len()) {
        bail!("there is no backend {unknown}: the configuration has {}", cluster.backends.len());
    }
    let is_wanted = |backend: &&Arc<Backend>| wanted.is_empty() || wanted.contains(&backend.id);
    let pools: Result<Vec<_>, _> = cluster
        .backends
        .iter()
        .filter(is_wanted)
        .map(|backend| Ok((backend.id, proxy::pool(config, backend)?)))
        .collect();
    let pools = pools.map_err(|error: proxy::SetupError| anyhow!(error))?;
    if pools.len() < 2 {
        bail!("there is nothing to compare: fewer than two servers");
    }
    Ok(Servers::new(config, pools, proxy::check_credentials(config)?))
}

// === what is printed ===

fn print(database: &DatabaseReport, servers: &[usize], quiet: bool) {
    let mut rows = vec![heading(&database.name, servers)];
    for table in &database.tables {
        if quiet && database.outcome() == Outcome::Equal {
            continue;
        }
        let mut row = vec![table.name.clone()];
        let counts = |at: usize| table.counts.get(at).map_or("-".to_owned(), u64::to_string);
        row.extend((0..servers.len()).map(counts));
        row.push(table.verdict.to_string());
        rows.push(row);
    }
    if rows.len() > 1 {
        for line in aligned(&rows) {
            println!("{line}");
        }
    }
    for line in database.lines(servers) {
        println!("  {line}");
    }
}

fn heading(database: &str, servers: &[usize]) -> Vec<String> {
    let mut heading = vec![format!("database {database}")];
    heading.extend(servers.iter().map(|id| format!("rows on {id}")));
    heading.push("result".to_owned());
    heading
}

fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            0 => format!("{cell:width$}"),
            _ if at + 1 == columns => cell.clone(),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

fn conclude(report: &Report, at_one_moment: bool) {
    for difference in &report.differences {
        println!("{}", difference.line(&report.servers));
    }
    let how = match at_one_moment {
        true => "compared at moments between commits, which the running proxy has given",
        false => "compared without a running proxy's help",
    };
    let verdict = match report.outcome() {
        Outcome::Equal => "equal",
        Outcome::Differs => "different",
        Outcome::Incomplete => "not known to be equal: something could not be compared",
    };
    println!("{} tables in {} databases, {how}", report.tables(), report.databases.len());
    println!("The servers are {verdict}.");
}

// === the running proxy ===

/// Has the running proxy keep its commits back.
struct AdminGate(Arc<Client>);

impl AdminGate {
    /// `None`: there is no running proxy, or it takes no orders.
    fn of_running(config: &Config) -> Option<Self> {
        let client = Client::of(config).ok()?;
        let gate = AdminGate(Arc::new(client));
        match gate.order::<Held>("hold", &HOLD).and_then(|held| gate.order::<Release>("release", &held)) {
            Ok(_) => Some(gate),
            Err(error) => {
                eprintln!("No moment between commits can be had: {error:#}");
                None
            }
        }
    }

    fn order<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        order: &impl serde::Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(order).context("an order")?.into();
        self.0.post(&format!("/v1/commits/{what}"), Message { headers: Vec::new(), body })
    }
}

impl Gate for AdminGate {
    type Hold = Held;
    const EXACT: bool = true;

    async fn close(&self) -> Result<Held, String> {
        let gate = AdminGate(self.0.clone());
        let asked = tokio::task::spawn_blocking(move || gate.order("hold", &HOLD)).await;
        asked.map_err(|error| error.to_string())?.map_err(|error| format!("{error:#}"))
    }

    async fn open(&self, hold: Held) -> bool {
        let gate = AdminGate(self.0.clone());
        let asked = tokio::task::spawn_blocking(move || gate.order::<Release>("release", &hold)).await;
        matches!(asked, Ok(Ok(Release { in_time: true })))
    }
}
