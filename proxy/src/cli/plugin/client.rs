//! One request to a running proxy: over its Unix socket, or over HTTPS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::admin::api::{Done, Failure, Order};
use crate::config::{Config, Secret};
use crate::tls::{Connector, RootCertificates, SslMode};

/// A large plugin takes its time to be compiled.
const PATIENCE: Duration = Duration::from_secs(300);
const PATIENCE_TO_CONNECT: Duration = Duration::from_secs(10);

/// Which proxy, and how to speak to it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The configuration of the proxy, which says where it takes orders
    #[arg(short, long, value_name = "FILE", default_value = "waypool.toml")]
    config: PathBuf,
    /// Where it takes orders: unix:/path or https://host:port
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// For https: a file whose first line is the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// For https: the certificates to trust, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Knows where the proxy is.
#[derive(Debug)]
pub struct Client {
    place: Place,
    token: Option<Secret>,
    roots: RootCertificates,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Unix(PathBuf),
    Tcp { host: String, port: u16, tls: bool },
}

/// What is sent besides an address.
#[derive(Debug, Default)]
pub struct Message {
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

// === impl Options ===

impl Options {
    pub fn client(&self) -> anyhow::Result<Client> {
        let (place, token_file) = match &self.admin {
            Some(address) => (Place::parse(address)?, self.token_file.clone()),
            None => {
                let (place, token_file) = self.place_in_configuration()?;
                (place, self.token_file.clone().or(token_file))
            }
        };
        let token = match (&place, token_file) {
            (Place::Unix(_), _) => None,
            (Place::Tcp { .. }, Some(file)) => Some(read_token(&file)?),
            (Place::Tcp { .. }, None) => bail!("{place} wants a token: add --token-file FILE"),
        };
        let roots = match &self.ca_file {
            Some(file) => {
                std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                RootCertificates::File(file.clone())
            }
            None => RootCertificates::System,
        };
        Ok(Client { place, token, roots })
    }

    fn place_in_configuration(&self) -> anyhow::Result<(Place, Option<PathBuf>)> {
        let path = self.config.display();
        if !self.config.exists() {
            bail!("there is no {path}: name the proxy's configuration by -c FILE, or --admin unix:/path");
        }
        let config = Config::load(&self.config)
            .map_err(|errors| anyhow!("{errors}\nor name the proxy's address: --admin unix:/path"))?;
        if let Some(socket) = config.admin_socket() {
            return Ok((Place::Unix(socket), None));
        }
        match config.admin.listen {
            Some(listen) => {
                let tls = config.ssl.is_some();
                Ok((Place::Tcp { host: listen.host, port: listen.port, tls }, Some(listen.token_file)))
            }
            None => bail!(
                "the proxy of {path} takes no orders: write socket = \"waypool.admin\" into [admin] of it, and \
                 restart the proxy"
            ),
        }
    }
}

fn read_token(file: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default().trim()))
}

// === impl Place ===

impl Place {
    fn parse(address: &str) -> anyhow::Result<Self> {
        if let Some(path) = address.strip_prefix("unix:") {
            return Ok(Place::Unix(path.into()));
        }
        let (tls, rest) = match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => bail!("--admin {address}: write unix:/path or https://host:port"),
        };
        let rest = rest.trim_end_matches('/');
        let parts = rest.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = parts else {
            bail!("--admin {address}: write the port too, as in https://db1:9998");
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !tls && !matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") {
            bail!("--admin {address}: the token would be readable on its way: write https://{rest}");
        }
        Ok(Place::Tcp { host, port, tls })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Tcp { host, port, tls } => {
                write!(f, "http{}://{host}:{port}", if *tls { "s" } else { "" })
            }
        }
    }
}

// === impl Client ===

impl Client {
    /// By the Unix socket of this configuration.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let socket = config.admin_socket().context("the proxy has no Unix socket for orders")?;
        Ok(Client { place: Place::Unix(socket), token: None, roots: RootCertificates::System })
    }

    /// The proxy is on this machine for sure.
    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Unix(_))
    }

    pub fn get<T: DeserializeOwned>(&self, address: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, address, Message::default())
    }

    pub fn post<T: DeserializeOwned>(&self, address: &str, message: Message) -> anyhow::Result<T> {
        self.ask(Method::POST, address, message)
    }

    /// What is done with one plugin.
    pub fn order(&self, name: &str, what: &str, order: &Order) -> anyhow::Result<Done> {
        self.post(&format!("/v1/plugins/{name}/{what}"), Message::of(order)?)
    }

    pub fn delete(&self, name: &str, what: &str, order: &Order) -> anyhow::Result<Done> {
        self.ask(Method::DELETE, &format!("/v1/plugins/{name}/{what}"), Message::of(order)?)
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, address: &str, message: Message) -> anyhow::Result<T> {
        let mut request = Request::builder().method(method).uri(address);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let host = match &self.place {
            Place::Unix(_) => "localhost",
            Place::Tcp { host, .. } => host,
        };
        let request = request.header(HOST, host).body(Full::new(message.body))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let place = &self.place;
        let answered = runtime.block_on(async { timeout(PATIENCE, self.connect_and_send(request)).await });
        let (status, body) = answered.map_err(|_| anyhow!("{place} does not answer"))??;
        if status.is_success() {
            return serde_json::from_slice(&body).with_context(|| {
                format!("{place} answers in another way than expected: is it of another version of Waypool?")
            });
        }
        match serde_json::from_slice::<Failure>(&body) {
            Ok(Failure { error, hint: None }) => bail!("{error}"),
            Ok(Failure { error, hint: Some(hint) }) => bail!("{error}: {hint}"),
            Err(_) => bail!("{place} answers {status}: {}", String::from_utf8_lossy(&body)),
        }
    }

    async fn connect_and_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(hyper::StatusCode, Bytes)> {
        let nobody =
            || format!("nobody takes orders at {}: does the proxy run, with this configuration?", self.place);
        match &self.place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await.with_context(nobody)?;
                send(stream, request).await
            }
            Place::Tcp { host, port, tls } => {
                let connecting = TcpStream::connect((host.as_str(), *port));
                let connected = timeout(PATIENCE_TO_CONNECT, connecting).await.with_context(nobody)?;
                let stream = connected.with_context(nobody)?;
                let connector = match tls {
                    true => Connector::new(SslMode::VerifyFull, &self.roots)?,
                    false => None,
                };
                match connector {
                    Some(connector) => {
                        let connected = connector.connect(stream, host).await;
                        let stream = connected.map_err(|error| {
                            anyhow!("{error}. If its certificate is of your own authority: --ca-file FILE")
                        })?;
                        send(stream, request).await
                    }
                    None => send(stream, request).await,
                }
            }
        }
    }
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> anyhow::Result<(hyper::StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer: Response<_> = sender.send_request(request).await.context("the proxy hung up")?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("the proxy hung up")?.to_bytes();
    connection.abort();
    Ok((status, body))
}

// === impl Message ===

impl Message {
    fn of(order: &Order) -> anyhow::Result<Self> {
        Ok(Message { headers: Vec::new(), body: serde_json::to_vec(order)?.into() })
    }
}

#[cfg(test)]
mod tests;
