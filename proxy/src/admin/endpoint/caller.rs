//! Who gives an order, and whether they may.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::refusal::Refusal;
use crate::proxy::Proxy;

/// Shorter ones can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// As the kernel says.
    Unix { uid: u32 },
    /// Has to know the token.
    Tcp { address: IpAddr, encrypted: bool },
}

/// For the history.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Unix { uid } => match user_name(*uid) {
                Some(name) => f.write_str(&name),
                None => write!(f, "uid {uid}"),
            },
            Caller::Tcp { address, encrypted: true } => write!(f, "https:{address}"),
            Caller::Tcp { address, encrypted: false } => write!(f, "http:{address}"),
        }
    }
}

/// Comes before every route: nothing of a body is read for a stranger.
pub(super) async fn authenticate(
    State(proxy): State<Arc<Proxy>>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let allowed = match &caller {
        Caller::Unix { uid } => check_user(*uid),
        Caller::Tcp { .. } => check_token(&proxy, request.headers()),
    };
    match allowed {
        Ok(()) => Ok(next.run(request).await),
        Err(refusal) => {
            tracing::warn!(%caller, path = request.uri().path(), "an order refused: {refusal}");
            Err(refusal)
        }
    }
}

fn check_user(uid: u32) -> Result<(), Refusal> {
    let own = rustix::process::geteuid().as_raw();
    if uid == own || uid == 0 {
        return Ok(());
    }
    let own = user_name(own).unwrap_or_else(|| format!("uid {own}"));
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "this user may not give orders to the proxy",
        format!("run the command as {own}, as whom the proxy runs, or as root"),
    ))
}

fn check_token(proxy: &Proxy, headers: &HeaderMap) -> Result<(), Refusal> {
    let config = proxy.config();
    let Some(listen) = &config.admin.listen else {
        // It was removed and the configuration reloaded: that needs a restart.
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "listen is no longer in [admin]",
            "restart the proxy, or use its Unix socket",
        ));
    };
    let expected = token(&listen.token_file).map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error, "correct it where the proxy runs")
    })?;
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    match given {
        Some(given) if is_same(given, &expected) => Ok(()),
        Some(_) => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "the token is wrong",
            "take the one in token_file of the proxy's [admin]",
        )),
        None => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "there is no token",
            "send the header Authorization: Bearer TOKEN, or give the command --token-file FILE",
        )),
    }
}

/// The first line of `token_file`. It is read for each order, so that it can be
/// changed at any time.
pub(super) fn token(file: &Path) -> Result<String, String> {
    let path = file.display();
    let text =
        fs::read_to_string(file).map_err(|error| format!("token_file: cannot read {path}: {error}"))?;
    let token = text.lines().next().unwrap_or_default().trim();
    if token.len() < SHORTEST_TOKEN {
        return Err(format!(
            "token_file: the first line of {path} must have {SHORTEST_TOKEN} characters or more: \
             write one by openssl rand -hex 32"
        ));
    }
    Ok(token.to_owned())
}

/// Takes as long for any two tokens, whatever they have in common.
fn is_same(given: &str, expected: &str) -> bool {
    let digest = |token: &str| Sha256::digest(token.as_bytes());
    digest(given).ct_eq(&digest(expected)).into()
}

/// As `/etc/passwd` has it.
fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid).then(|| name.to_owned())
    })
}
