//! The packets which open a connection. They have no type byte.

use super::PgError;

/// The longest startup packet PostgreSQL accepts (`MAX_STARTUP_PACKET_LENGTH`).
const MAX_STARTUP_PACKET: usize = 10_000;
const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;

/// The newest minor version of protocol 3 that we speak.
pub const NEWEST_MINOR: u16 = 2;

/// The first packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Ssl,
    GssEnc,
    Cancel { pid: u32, key: Vec<u8> },
    Startup(Startup),
}

/// A StartupMessage of protocol 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// The minor version asked for; may be newer than ours.
    pub minor: u16,
    pub user: String,
    pub database: String,
    /// `None`: an ordinary session.
    pub replication: Option<Replication>,
    /// Everything else in the order sent, without `user`, `database`,
    /// `replication` and the `_pq_.` options.
    pub parameters: Vec<(String, String)>,
    /// `_pq_.` options: protocol extensions, none of which we know.
    pub protocol_options: Vec<String>,
}

/// What kind of replication connection a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Of the whole server: no database is meant.
    Physical,
    /// Logical, of one database.
    Database,
}

/// Why a packet cannot open a connection. `Display` is PostgreSQL's wording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    #[error("invalid length of startup packet")]
    Length,
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    Version { major: u16, minor: u16 },
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    #[error("invalid startup packet: \"{0}\" is not valid UTF-8")]
    Encoding(&'static str),
    #[error("invalid value for parameter \"replication\": \"{0}\"")]
    Replication(String),
}

impl StartupError {
    pub fn sqlstate(&self) -> &'static str {
        match self {
            StartupError::Version { .. } => "0A000",
            StartupError::Replication(_) => "22023",
            StartupError::NoUser => "28000",
            _ => "08P01",
        }
    }

    pub fn to_client(&self) -> PgError {
        let error = PgError::fatal(self.sqlstate(), self.to_string());
        match self {
            StartupError::Replication(_) => {
                error.with_hint("Valid values are: \"false\", 0, \"true\", 1, \"database\".")
            }
            _ => error,
        }
    }
}

impl Startup {
    /// The database that is meant; `None`: none, but all of the server.
    pub fn wanted(&self) -> Option<&str> {
        (self.replication != Some(Replication::Physical)).then_some(&*self.database)
    }
}

impl Replication {
    /// As in the startup packet.
    pub fn value(self) -> &'static str {
        match self {
            Replication::Physical => "true",
            Replication::Database => "database",
        }
    }

    /// `None` for what is neither `database` nor a boolean to PostgreSQL, which
    /// takes beginnings of the words.
    fn parse(value: &str) -> Option<Option<Self>> {
        let lower = value.to_ascii_lowercase();
        let begins = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
        if value == "database" {
            Some(Some(Replication::Database))
        } else if begins("true", 1) || begins("yes", 1) || begins("on", 2) || lower == "1" {
            Some(Some(Replication::Physical))
        } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || lower == "0" {
            Some(None)
        } else {
            None
        }
    }
}

/// Reads the packet at the head of `bytes`: the request and the packet's
/// length; `None` while it is incomplete. At most 10,000 bytes are awaited.
pub fn read(bytes: &[u8]) -> Result<Option<(Request, usize)>, StartupError> {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(*len) as usize;
    if !(8..=MAX_STARTUP_PACKET).contains(&len) {
        return Err(StartupError::Length);
    }
    let Some(body) = rest.get(..len - 4) else {
        return Ok(None);
    };
    request(body).map(|request| Some((request, len)))
}

fn request(body: &[u8]) -> Result<Request, StartupError> {
    let (code, rest) = body.split_first_chunk::<4>().ok_or(StartupError::Length)?;
    match u32::from_be_bytes(*code) {
        SSL_REQUEST => Ok(Request::Ssl),
        GSSENC_REQUEST => Ok(Request::GssEnc),
        CANCEL_REQUEST => {
            let (pid, key) = rest.split_first_chunk::<4>().ok_or(StartupError::Length)?;
            Ok(Request::Cancel { pid: u32::from_be_bytes(*pid), key: key.to_vec() })
        }
        version if version >> 16 == 3 => parameters(version as u16, rest).map(Request::Startup),
        version => Err(StartupError::Version { major: (version >> 16) as u16, minor: version as u16 }),
    }
}

fn parameters(minor: u16, mut rest: &[u8]) -> Result<Startup, StartupError> {
    let mut startup = Startup {
        minor,
        user: String::new(),
        database: String::new(),
        replication: None,
        parameters: Vec::new(),
        protocol_options: Vec::new(),
    };
    loop {
        let (name, tail) = super::backend::split_text(rest).ok_or(StartupError::Layout)?;
        if name.is_empty() {
            if !tail.is_empty() {
                return Err(StartupError::Layout);
            }
            break;
        }
        let (value, tail) = super::backend::split_text(tail).ok_or(StartupError::Layout)?;
        rest = tail;
        let name = utf8(name, "a parameter's name")?;
        let value = utf8(value, "a parameter's value")?;
        match name.as_str() {
            "user" => startup.user = value,
            "database" => startup.database = value,
            "replication" => {
                startup.replication = Replication::parse(&value).ok_or(StartupError::Replication(value))?;
            }
            _ if name.starts_with("_pq_.") => startup.protocol_options.push(name),
            _ => startup.parameters.push((name, value)),
        }
    }
    if startup.user.is_empty() {
        return Err(StartupError::NoUser);
    }
    if startup.database.is_empty() {
        startup.database.clone_from(&startup.user);
    }
    Ok(startup)
}

fn utf8(bytes: &[u8], what: &'static str) -> Result<String, StartupError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| StartupError::Encoding(what))
}

/// Appends the StartupMessage (protocol 3.0) which opens a connection to a server.
pub fn write_startup<'a>(out: &mut Vec<u8>, parameters: impl Iterator<Item = (&'a str, &'a str)>) {
    let at = out.len();
    out.extend([0; 4]);
    out.extend((3u32 << 16).to_be_bytes());
    for (name, value) in parameters {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value.as_bytes());
        out.push(0);
    }
    out.push(0);
    let len = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

pub fn write_ssl_request(out: &mut Vec<u8>) {
    out.extend(8u32.to_be_bytes());
    out.extend(SSL_REQUEST.to_be_bytes());
}

pub fn write_cancel_request(out: &mut Vec<u8>, pid: u32, key: &[u8]) {
    out.extend((12 + key.len() as u32).to_be_bytes());
    out.extend(CANCEL_REQUEST.to_be_bytes());
    out.extend(pid.to_be_bytes());
    out.extend_from_slice(key);
}
