//! What kind of cluster is wanted, and how it is made.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::account::Account;
use crate::cluster::Cluster;
use crate::folder::Folder;
use crate::server::Server;
use crate::workshop::{Workshop, run};
use crate::{Error, Installation, PASSWORD, Result, SUPERUSER};

/// How clients prove who they are; the names are `pg_hba.conf`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    #[default]
    Trust,
    Password,
    Md5,
    ScramSha256,
}

impl Auth {
    /// The method as `pg_hba.conf` spells it.
    pub fn method(self) -> &'static str {
        match self {
            Auth::Trust => "trust",
            Auth::Password => "password",
            Auth::Md5 => "md5",
            Auth::ScramSha256 => "scram-sha-256",
        }
    }
}

/// PEM files that switch TLS on; they are copied into the sandbox.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who signs client certificates, where `pg_hba.conf` asks for them.
    pub client_ca: Option<PathBuf>,
}

/// How the servers belong together.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// Server 0 is the primary, the others stream from it.
    Streaming { standbys: usize },
    /// Servers that know nothing of each other but began with the same data.
    Independent { servers: usize },
}

type Progress = Box<dyn Fn(&str)>;

/// Settings of a cluster to be; see [`Cluster::builder`].
pub struct Builder {
    layout: Layout,
    auth: Auth,
    hba: Vec<String>,
    settings: Vec<(String, String)>,
    first_port: Option<u16>,
    tls: Option<TlsFiles>,
    installation: Option<Installation>,
    progress: Progress,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("layout", &self.layout)
            .field("auth", &self.auth)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What every server gets; a later line, from [`Builder::setting`], wins.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("max_connections", "300"),
    ("max_prepared_transactions", "100"),
    // Throwaway data need not survive a crash of the machine.
    ("fsync", "off"),
    ("full_page_writes", "off"),
    // Replication, quick to notice what happens.
    ("wal_level", "replica"),
    ("max_wal_senders", "10"),
    ("hot_standby", "on"),
    ("wal_keep_size", "256MB"),
    ("wal_retrieve_retry_interval", "200ms"),
    ("wal_receiver_status_interval", "1s"),
    // Files in the data directory, not in /dev/shm where a kill would leave them.
    ("dynamic_shared_memory_type", "mmap"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_line_prefix", "%m [%p] user=%u db=%d app=%a "),
];

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            layout: Layout::Streaming { standbys: 0 },
            auth: Auth::default(),
            hba: Vec::new(),
            settings: Vec::new(),
            first_port: None,
            tls: None,
            installation: None,
            progress: Box::new(|_| {}),
        }
    }

    /// A primary and this many standbys that stream from it. The default is none.
    pub fn standbys(mut self, standbys: usize) -> Builder {
        self.layout = Layout::Streaming { standbys };
        self
    }

    /// This many servers without replication, with the same data to begin with:
    /// what Pgpool-II's native replication mode works on.
    pub fn independent(mut self, servers: usize) -> Builder {
        self.layout = Layout::Independent { servers };
        self
    }

    /// A line of postgresql.conf for all servers.
    pub fn setting(mut self, name: &str, value: &str) -> Builder {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The port of server 0; the others have those behind it. The default is whichever are free.
    pub fn first_port(mut self, port: u16) -> Builder {
        self.first_port = Some(port);
        self
    }

    /// How clients authenticate. The default is `Trust`.
    pub fn auth(mut self, auth: Auth) -> Builder {
        self.auth = auth;
        self
    }

    /// A line of pg_hba.conf, ahead of those that [`Builder::auth`] writes.
    pub fn hba(mut self, line: &str) -> Builder {
        self.hba.push(line.to_owned());
        self
    }

    /// Switches TLS on; whether clients must use it is up to [`Builder::hba`].
    pub fn tls(mut self, files: TlsFiles) -> Builder {
        self.tls = Some(files);
        self
    }

    /// Which PostgreSQL to use instead of the newest.
    pub fn installation(mut self, installation: Installation) -> Builder {
        self.installation = Some(installation);
        self
    }

    /// Called with a short text ahead of each step that takes a while.
    pub fn on_progress(mut self, report: impl Fn(&str) + 'static) -> Builder {
        self.progress = Box::new(report);
        self
    }

    /// Makes the servers and returns when all of them accept clients and the
    /// standbys stream. A failure leaves nothing behind.
    pub fn start(self) -> Result<Cluster> {
        let installation = match &self.installation {
            Some(installation) => installation.clone(),
            None => Installation::find()?,
        };
        let account = Account::choose()?;
        let folder = Folder::create(&account)?;
        let workshop = Arc::new(Workshop {
            installation,
            account,
            folder: folder.path().to_path_buf(),
            first_port: self.first_port,
        });
        self.say(&format!(
            "PostgreSQL {} in {}",
            workshop.installation.major_version(),
            workshop.folder.display()
        ));
        let servers = match self.layout {
            Layout::Streaming { standbys } => self.make_streaming(&workshop, standbys)?,
            Layout::Independent { servers } => self.make_independent(&workshop, servers)?,
        };
        Ok(Cluster::new(servers, workshop, folder))
    }

    fn make_streaming(&self, workshop: &Arc<Workshop>, standbys: usize) -> Result<Vec<Server>> {
        let mut primary = self.initialise(workshop)?;
        self.start_server(&mut primary)?;
        let mut servers = vec![primary];
        for id in 1..=standbys {
            self.say(&format!("server{id}: base backup of server0"));
            let mut standby = Server::prepare(id, Arc::clone(workshop))?;
            standby.copy_from(&servers[0])?;
            self.start_server(&mut standby)?;
            servers[0].wait_streamed_by(id)?;
            servers.push(standby);
        }
        Ok(servers)
    }

    fn make_independent(&self, workshop: &Arc<Workshop>, count: usize) -> Result<Vec<Server>> {
        let first = self.initialise(workshop)?;
        let mut servers = Vec::new();
        for id in 1..count {
            let server = Server::prepare(id, Arc::clone(workshop))?;
            let mut copy = std::process::Command::new("cp");
            copy.arg("-R").arg(first.data_dir()).arg(server.data_dir());
            workshop.account.apply(&mut copy);
            run(copy.current_dir(&workshop.folder))?;
            servers.push(server);
        }
        servers.insert(0, first);
        for server in &mut servers {
            self.start_server(server)?;
        }
        Ok(servers)
    }

    /// Server 0 with a fresh data directory and its configuration, not yet started.
    fn initialise(&self, workshop: &Arc<Workshop>) -> Result<Server> {
        self.say("server0: initdb");
        let server = Server::prepare(0, Arc::clone(workshop))?;
        let password_file = workshop.folder.join("password");
        workshop.write_private(&password_file, PASSWORD.as_bytes())?;
        run(workshop
            .server_program("initdb")
            .arg("-D")
            .arg(server.data_dir())
            .args(["-U", SUPERUSER, "-A", self.auth.method()])
            .args(["-E", "UTF8", "--locale=C", "--no-sync"])
            .arg("--pwfile")
            .arg(&password_file))?;
        let tls = self.install_tls(workshop)?;
        let conf = server.data_dir().join("postgresql.conf");
        workshop.write_private(&conf, self.configuration(&tls).as_bytes())?;
        let hba = server.data_dir().join("pg_hba.conf");
        workshop.write_private(&hba, self.host_based_rules().as_bytes())?;
        Ok(server)
    }

    fn configuration(&self, tls: &[(String, String)]) -> String {
        let fixed = SETTINGS.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        fixed
            .chain(tls.iter().cloned())
            .chain(self.settings.iter().cloned())
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
            .collect()
    }

    fn host_based_rules(&self) -> String {
        let method = self.auth.method();
        let ours = ["local all", "local replication", "host all", "host replication"].map(|start| {
            let address = if start.starts_with("host") { "all " } else { "" };
            format!("{start} all {address}{method}")
        });
        self.hba.iter().chain(&ours).map(|line| format!("{line}\n")).collect()
    }

    /// Copies the TLS files to where the servers may read them; PostgreSQL
    /// insists that the key belongs to its user and is private.
    fn install_tls(&self, workshop: &Workshop) -> Result<Vec<(String, String)>> {
        let Some(files) = &self.tls else {
            return Ok(Vec::new());
        };
        let named = [
            ("ssl_cert_file", Some(&files.certificate)),
            ("ssl_key_file", Some(&files.key)),
            ("ssl_ca_file", files.client_ca.as_ref()),
        ];
        let mut settings = vec![("ssl".to_owned(), "on".to_owned())];
        for (setting, source) in named {
            let Some(source) = source else { continue };
            let content = std::fs::read(source).map_err(Error::io("read", source))?;
            let copy = workshop.folder.join(setting).with_extension("pem");
            workshop.write_private(&copy, &content)?;
            settings.push((setting.to_owned(), copy.display().to_string()));
        }
        Ok(settings)
    }

    fn start_server(&self, server: &mut Server) -> Result<()> {
        self.say(&format!("server{}: starting", server.id()));
        server.start_on_a_free_port()
    }

    fn say(&self, step: &str) {
        (self.progress)(step);
    }
}
