//! What the demo shows, step by step.

use super::client::{psql, psql_program};
use super::load::{Counts, Load};
use super::screen::{Look, Screen, grouped, told};
use super::stage::Stage;
use super::stop::Stop;
use crate::config::{Config, Plugin};
use crate::plugin::{By, Origin, PluginSource};
use crate::proxy::embedded;
use anyhow::{anyhow, bail};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waypool_sandbox::Server;

/// Clients that read while plugins are swapped.
const CLIENTS: usize = 4;
/// For how long each plugin is shown at least.
const SHOWN: Duration = Duration::from_secs(1);

pub fn tour(stage: &Stage, screen: &Screen, stop: &Stop) -> anyhow::Result<()> {
    picture(stage, screen)?;
    let tour = Tour { stage, screen, stop };
    tour.writes()?;
    tour.reads()?;
    tour.transaction()?;
    tour.statistics()?;
    tour.swap()
}

/// What is connected to what.
fn picture(stage: &Stage, screen: &Screen) -> io::Result<()> {
    let (waypool, primary, standby) = (stage.port.number(), stage.primary().port(), stage.standby().port());
    screen.line(format_args!(
        "
                                             +--> primary, port {primary}
      clients  -->  waypool, port {waypool:<5}  --+
                                             +--> standby, port {standby}"
    ))?;
    if stage.port.is_unusual() {
        screen.line(format_args!("\n  (Port 9999 is taken, so it is {waypool}; --port chooses another.)"))?;
    }
    Ok(())
}

struct Tour<'a> {
    stage: &'a Stage,
    screen: &'a Screen,
    stop: &'a Stop,
}

impl Tour<'_> {
    fn writes(&self) -> anyhow::Result<()> {
        self.screen.heading("1. Writes go to the primary")?;
        self.run(&["create table boats (id int primary key, name text)"])?;
        let answers =
            self.run(&["insert into boats values (1, 'Argo') returning name, inet_server_port()"])?;
        self.tell_where("the insert", &answers[0], self.stage.primary())
    }

    fn reads(&self) -> anyhow::Result<()> {
        self.stage.standby().wait_replay(self.stage.primary())?;
        self.screen.heading("2. Reads go to the standby")?;
        let answers = self.run(&["select name, inet_server_port() from boats"])?;
        self.tell_where("the select", &answers[0], self.stage.standby())
    }

    fn transaction(&self) -> anyhow::Result<()> {
        self.screen.heading("3. A transaction that has written sees its own writes")?;
        let answers = self.run(&[
            "begin",
            "insert into boats values (2, 'Beagle')",
            "select count(*), inet_server_port() from boats",
            "commit",
        ])?;
        self.tell_where("this select", &answers[2], self.stage.primary())
    }

    fn statistics(&self) -> anyhow::Result<()> {
        self.screen.heading("4. Waypool keeps count, and answers as Pgpool-II does")?;
        self.run(&["show pool_backend_stats"])?;
        Ok(())
    }

    fn swap(&self) -> anyhow::Result<()> {
        let Tour { stage, screen, stop } = self;
        stop.check()?;
        screen.heading("5. A plugin is swapped while queries run")?;
        screen.line(format_args!(
            "  A plugin, the balancer, decides where a statement goes. {CLIENTS} clients go on\n  \
             reading while another takes its place, which sends everything to the primary.\n"
        ))?;
        screen.line(screen.paint(
            Look::Aside,
            format!(
                "  {:<28}{:>10}{:>14}{:>14}{:>10}",
                "balancer", "queries", "on primary", "on standby", "errors"
            ),
        ))?;
        let plugins = &stage.proxy().plugins;
        let load = Load::start(&stage.conninfo(), stage.primary().port(), CLIENTS)?;
        let mut total = Total::default();
        let mut shown = |name: &str, during: bool| -> anyhow::Result<()> {
            if !during {
                stop.pause(SHOWN)?;
                load.wait_for_queries(1)?;
            }
            let counts = load.next_part()?;
            screen.line(row(screen, name, &counts, during))?;
            total.add(counts)
        };
        shown("balance (built in)", false)?;
        let began = Instant::now();
        let by = By::new("waypool demo", "to show it");
        plugins.candidate(primary_only(&stage.proxy().config())?)?;
        plugins.swap("balance", &by)?;
        let swapped = began.elapsed();
        shown(&format!("  swapped in {}", told(swapped)), true)?;
        shown("primary_only", false)?;
        let began = Instant::now();
        plugins.rollback("balance", &by)?;
        let rolled_back = began.elapsed();
        shown(&format!("  rolled back in {}", told(rolled_back)), true)?;
        shown("balance (built in)", false)?;
        load.end()?;
        total.tell(screen)
    }

    /// Shows statements and their answers, of one session.
    fn run(&self, statements: &[&str]) -> anyhow::Result<Vec<String>> {
        self.stop.check()?;
        let answers = psql(self.stage, statements)?;
        for (statement, answer) in statements.iter().zip(&answers) {
            let statement = self.screen.paint(Look::Typed, format!("{statement};"));
            self.screen.line(format_args!("  => {statement}"))?;
            for line in answer.lines() {
                self.screen.line(format_args!("  {line}").to_string().trim_end())?;
            }
        }
        Ok(answers)
    }

    /// Reads out of an answer which server gave it.
    fn tell_where(&self, what: &str, answer: &str, expected: &Server) -> anyhow::Result<()> {
        let (primary, standby) = (self.stage.primary(), self.stage.standby());
        let gave = |server: &Server| answer.contains(&server.port().to_string());
        let (name, server) = match (gave(primary), gave(standby)) {
            (true, false) => ("primary", primary),
            (false, true) => ("standby", standby),
            _ => bail!("{what} does not tell which server ran it:\n{answer}"),
        };
        let told = self.screen.paint(Look::Point, format!("{what} ran on the {name}"));
        self.screen.line(format_args!("  --> {told}, port {}", server.port()))?;
        if server.id() != expected.id() {
            bail!("{what} ran on the {name}: it should not have");
        }
        Ok(())
    }
}

/// The example plugin of that name.
fn primary_only(config: &Config) -> anyhow::Result<PluginSource> {
    let (wasm, precompiled) = embedded::PRIMARY_ONLY;
    let entry = Plugin::named("balance").map_err(|wrong| anyhow!(wrong))?;
    let rules = Arc::new(config.plugins.clone());
    Ok(PluginSource { entry, origin: Origin::Embedded { wasm, precompiled }, rules })
}

fn row(screen: &Screen, name: &str, counts: &Counts, during: bool) -> String {
    let numbers = [counts.queries(), counts.primary, counts.standby, counts.errors].map(grouped);
    let [queries, primary, standby, errors] = numbers;
    let row = format!("  {name:<28}{queries:>10}{primary:>14}{standby:>14}{errors:>10}");
    if during { screen.paint(Look::Aside, row) } else { row }
}

#[derive(Default)]
struct Total {
    queries: u64,
    errors: u64,
    first_error: Option<String>,
}

impl Total {
    fn add(&mut self, counts: Counts) -> anyhow::Result<()> {
        self.queries += counts.queries();
        self.errors += counts.errors;
        self.first_error = self.first_error.take().or(counts.first_error);
        Ok(())
    }

    fn tell(&self, screen: &Screen) -> anyhow::Result<()> {
        let Some(error) = &self.first_error else {
            let told = screen.paint(Look::Point, format!("{} queries, 0 errors", grouped(self.queries)));
            screen.line(format_args!("\n  --> {told}: no client noticed"))?;
            return Ok(());
        };
        bail!("{} of {} queries failed; the first: {error}", self.errors, self.queries)
    }
}

/// How to go on, while everything runs.
pub fn what_next(stage: &Stage, screen: &Screen) -> io::Result<()> {
    let typed = |text: String| screen.paint(Look::Typed, text);
    let connect = typed(format!("{} \"{}\"", psql_program(stage), stage.conninfo()));
    screen.heading("Now you")?;
    screen.line(format_args!("  {connect}\n"))?;
    for (statement, about) in [
        ("show pool_nodes;", "the servers: role, lag, reads so far"),
        ("select inet_server_port();", "which server answers"),
    ] {
        screen.line(format_args!("  {}  {about}", typed(format!("{statement:<27}"))))?;
    }
    screen.line(format_args!(
        "\n  The configuration:  {}\n  The plugin:         examples/plugins/primary_only, 40 lines of Rust to change\n  \
         All plugins:        waypool plugin list -c {}\n",
        stage.config().display(),
        stage.config().display()
    ))?;
    screen.line("  Ctrl-C ends the demo and removes everything.")
}
