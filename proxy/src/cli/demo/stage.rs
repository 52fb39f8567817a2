//! What the demo shows: two servers and the proxy, in one temporary folder.

use super::screen::{Screen, Step};
use super::stop::Stop;
use crate::config::Config;
use crate::listen::Running;
use crate::proxy::Proxy;
use anyhow::{Context, anyhow, bail};
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use waypool_sandbox::{Cluster, Installation, Port, SUPERUSER, Server};

/// Pgpool-II's.
const USUAL_PORT: u16 = 9999;

/// Everything that runs. Dropped in whatever way, it takes all of it along:
/// first the proxy, then the servers and their folder.
pub struct Stage {
    running: Running,
    cluster: Cluster,
    config: ConfigFile,
    pub port: ListenPort,
}

/// Waypool's configuration, removed at the end.
struct ConfigFile(PathBuf);

/// Where Waypool listens.
pub enum ListenPort {
    Wanted(u16),
    /// Nobody asked for one: the usual one, or another if that is taken. Kept
    /// from other demos, for the servers are started before it is bound.
    Reserved(Port),
}

impl Stage {
    /// Starts everything, and tells of each step.
    pub fn build(
        port: Option<u16>,
        config: Option<&Path>,
        screen: &Screen,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        // What cannot work should fail before the slow steps, not after them.
        let installation = Installation::find()?;
        let port = ListenPort::choose(port)?;
        if let Some(file) = config.filter(|file| file.exists()) {
            bail!("{} is there already: move it away, or give --config another name", file.display());
        }
        screen.heading("Waypool demo: a primary, a streaming standby, and Waypool in front")?;
        let cluster = start_servers(installation, screen, stop)?;
        stop.check()?;

        let step = screen.step(format!("waypool: starting on port {}", port.number()))?;
        let config = ConfigFile::write(config, &cluster, port.number())?;
        let loaded = Config::load(&config.0).map_err(|errors| anyhow!("{errors}"))?;
        let running = Running::start(Proxy::new(loaded)?)?;
        step.done()?;
        Ok(Stage { running, cluster, config, port })
    }

    pub fn primary(&self) -> &Server {
        self.cluster.primary()
    }

    pub fn standby(&self) -> &Server {
        self.cluster.server(1)
    }

    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.running.proxy
    }

    pub fn installation(&self) -> &Installation {
        self.cluster.installation()
    }

    /// Its configuration, for people to look at.
    pub fn config(&self) -> &Path {
        &self.config.0
    }

    /// How to connect to Waypool.
    pub fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user={SUPERUSER} dbname=postgres", self.port.number())
    }

    /// Ends everything, and makes sure that nothing is left.
    pub fn clear(self, screen: &Screen) -> anyhow::Result<()> {
        let folder = self.cluster.folder().to_owned();
        screen.line("")?;
        let step = screen.step(format!("stopping, and removing {}", folder.display()))?;
        let Stage { running, cluster, config, .. } = self;
        running.stop();
        drop((config, cluster));
        if folder.exists() {
            bail!("{} could not be removed; please do", folder.display());
        }
        step.done()?;
        screen.line("  everything removed")?;
        Ok(())
    }
}

// === impl ConfigFile ===

impl ConfigFile {
    fn write(wanted: Option<&Path>, cluster: &Cluster, port: u16) -> anyhow::Result<Self> {
        let path = wanted.map_or_else(|| cluster.folder().join("waypool.toml"), Path::to_owned);
        let mut file = File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let config = ConfigFile(path);
        file.write_all(configuration(cluster, port).as_bytes())
            .with_context(|| format!("cannot write {}", config.0.display()))?;
        Ok(config)
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        // It may stand outside of the cluster's folder.
        let _ = fs::remove_file(&self.0);
    }
}

// === impl ListenPort ===

impl ListenPort {
    fn choose(wanted: Option<u16>) -> anyhow::Result<Self> {
        let Some(port) = wanted else {
            let port = Port::claim(USUAL_PORT).map_or_else(Port::reserve, Ok)?;
            return Ok(ListenPort::Reserved(port));
        };
        // Only a try: Waypool binds it when the servers are up.
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => Ok(ListenPort::Wanted(port)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                bail!(
                    "port {port} is taken by another program; choose another, or leave --port out for a free one"
                )
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                bail!(
                    "port {port} needs root's rights; choose one above 1023, or leave --port out for a free one"
                )
            }
            Err(error) => bail!("cannot listen on port {port} of 127.0.0.1: {error}"),
        }
    }

    pub fn number(&self) -> u16 {
        match self {
            ListenPort::Wanted(port) => *port,
            ListenPort::Reserved(port) => port.number(),
        }
    }

    pub fn is_unusual(&self) -> bool {
        matches!(self, ListenPort::Reserved(port) if port.number() != USUAL_PORT)
    }
}

// === the parts ===

fn start_servers(installation: Installation, screen: &Screen, stop: &Stop) -> anyhow::Result<Cluster> {
    let current: Rc<RefCell<Option<Step>>> = Rc::default();
    let progress = {
        let (current, screen, stop) = (current.clone(), *screen, stop.clone());
        let ending = Cell::new(false);
        // A step that cannot be shown is no reason to stop: the next line of
        // the tour, which can fail, will.
        move |text: &str| {
            if ending.get() {
                return;
            }
            let _ = current.take().map(Step::done);
            // The sandbox cannot be stopped half-way, but there is no need to
            // tell of each step that nobody waits for any more.
            ending.set(stop.check().is_err());
            let text = if ending.get() { "interrupted: stopping".to_owned() } else { named(text) };
            *current.borrow_mut() = screen.step(text).ok();
        }
    };
    let cluster = Cluster::builder().standbys(1).installation(installation).on_progress(progress).start();
    let last = current.take();
    let cluster = cluster?;
    last.map(Step::done).transpose()?;
    Ok(cluster)
}

/// The sandbox numbers its servers; here each has one job.
fn named(step: &str) -> String {
    step.replace("server0", "primary").replace("server1", "standby")
}

/// Reads go to the standby alone, so that the tour can say where one went.
fn configuration(cluster: &Cluster, port: u16) -> String {
    let (primary, standby) = (cluster.primary().port(), cluster.server(1).port());
    let (socket, pushed) = (cluster.folder().join("waypool.admin"), cluster.folder().join("plugins.pushed"));
    format!(
        "# The configuration of `waypool demo`.\n\
         port = {port}\n\
         listen_addresses = [\"127.0.0.1\"]\n\
         unix_socket_directories = []\n\
         hba = [\"host all all 127.0.0.1/32 trust\"]\n\
         sr_check_user = \"{SUPERUSER}\"\n\
         sr_check_period = \"1s\"\n\
         # A machine that is busy with other things has no server down.\n\
         connect_timeout = \"60s\"\n\
         \n\
         # The primary: no reads as long as there is a standby.\n\
         [[backend]]\n\
         hostname = \"127.0.0.1\"\n\
         port = {primary}\n\
         weight = 0\n\
         \n\
         # The standby\n\
         [[backend]]\n\
         hostname = \"127.0.0.1\"\n\
         port = {standby}\n\
         weight = 1\n\
         application_name = \"server1\"\n\
         \n\
         # For `waypool plugin list` and its like\n\
         [admin]\n\
         socket = {socket:?}\n\
         \n\
         [plugins]\n\
         push_directory = {pushed:?}\n"
    )
}
