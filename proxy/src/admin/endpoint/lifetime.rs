//! Orders about the proxy itself: its end, and who comes after it.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::caller::Caller;
use super::refusal::Refusal;
use super::routes::Desk;
use crate::admin::api::{Shutdown, Stopping};
use crate::handover::{PROTOCOL, give};
use crate::life::Giving;

/// As long as any other limit may be.
const LONGEST: u64 = 366 * 24 * 60 * 60;

pub(super) async fn shutdown(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Json<Stopping>, Refusal> {
    let order: Shutdown = serde_json::from_slice(&body).map_err(|error| {
        let hint = "write {\"mode\": \"smart\"}, or \"fast\" or \"immediate\"; smart takes seconds as well";
        Refusal::new(StatusCode::BAD_REQUEST, format!("the order cannot be read: {error}"), hint)
    })?;
    tracing::info!(%caller, "the proxy is to end");
    let proxy = desk.proxy;
    tokio::spawn(async move {
        // The answer goes first.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let limit = order.seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST)));
        proxy.shutdown_within(order.mode, limit);
    });
    Ok(Json(Stopping { pid: std::process::id() }))
}

/// The connection becomes a channel to the process that takes over.
pub(super) async fn takeover(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    mut request: Request,
) -> Result<Response, Refusal> {
    if !matches!(caller, Caller::Unix { .. }) {
        let hint = "name the Unix socket: waypool run --takeover does, if [admin] has one";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "sockets cannot be sent that way", hint));
    }
    let asked = request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == PROTOCOL);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asked);
    let Some(upgrade) = upgrade else {
        let error = format!("this needs an upgrade to {PROTOCOL}");
        let hint = "is the new program of another version? stop the proxy, and start the new one";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, error, hint));
    };
    let Some(giving) = Giving::begin(&desk.proxy) else {
        let hint = "wait until that is over";
        let error = "another process takes over, or the proxy is about to end";
        return Err(Refusal::new(StatusCode::CONFLICT, error, hint));
    };
    tokio::spawn(async move {
        let stream = upgrade.await.ok().and_then(|it| it.downcast::<TokioIo<UnixStream>>().ok());
        if let Some(parts) = stream {
            give::give(desk.proxy, giving, parts.io.into_inner()).await;
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}
