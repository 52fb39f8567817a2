//! A moment between commits, for who compares the servers from outside.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use tokio::sync::oneshot;

use super::caller::Caller;
use super::refusal::Refusal;
use super::routes::Desk;
use crate::admin::api::{Held, Hold, Release};

/// Clients wait meanwhile.
const LONGEST: Duration = Duration::from_secs(5);
/// A commit that takes longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps commits back until it is told to let them go, or its time is over.
pub(super) async fn hold(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Json<Held>, Refusal> {
    let order: Hold = serde_json::from_slice(&body).map_err(|error| {
        let hint = "write {\"milliseconds\": 1000}";
        Refusal::new(StatusCode::BAD_REQUEST, format!("the order cannot be read: {error}"), hint)
    })?;
    let limit = Duration::from_millis(order.milliseconds).min(LONGEST);
    let Some(closed) = desk.proxy.commit_gate.close(PATIENCE).await else {
        let hint = "look at what commits now: SHOW CLIENTS on the console; and try again";
        let error = format!("a commit takes longer than {PATIENCE:?}");
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, hint));
    };
    tracing::debug!(%caller, ?limit, "commits are kept back");
    let (release, released) = oneshot::channel();
    let lease = desk.leases.add(release);
    tokio::spawn(async move {
        let _closed = closed;
        let in_time = tokio::time::timeout(limit, released).await.is_ok();
        if !in_time {
            desk.leases.take(lease);
        }
    });
    Ok(Json(Held { lease }))
}

/// Says whether they were kept back until now.
pub(super) async fn release(State(desk): State<Desk>, body: Bytes) -> Result<Json<Release>, Refusal> {
    let order: Held = serde_json::from_slice(&body).map_err(|error| {
        let hint = "write {\"lease\": …}, what hold has answered";
        Refusal::new(StatusCode::BAD_REQUEST, format!("the order cannot be read: {error}"), hint)
    })?;
    let in_time = desk.leases.take(order.lease).is_some_and(|release| release.send(()).is_ok());
    Ok(Json(Release { in_time }))
}
