//! The addresses, and what is done there.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::caller::{self, Caller};
use super::leases::Leases;
use super::refusal::Refusal;
use super::{commits, describe, lifetime, push};
use crate::admin::api::{Change, Done, List, Order, Plugin, Pushed, SIGNATURE_HEADER};
use crate::plugin::{By, PluginError, PluginHost};
use crate::proxy::{self, Proxy};

/// Interpreters compiled to Wasm have tens of megabytes.
const LARGEST_PLUGIN: usize = 256 << 20;

type Answer<T> = Result<Json<T>, Refusal>;

#[derive(Clone)]
pub(super) struct Desk {
    pub proxy: Arc<Proxy>,
    /// One order at a time, so that what was checked is what is done.
    orders: Arc<Mutex<()>>,
    /// Of commits that are kept back.
    pub leases: Leases,
}

pub(super) fn router(proxy: Arc<Proxy>) -> Router {
    let desk = Desk { proxy: Arc::clone(&proxy), orders: Arc::default(), leases: Leases::default() };
    Router::new()
        .route("/v1/plugins", get(list))
        .route("/v1/plugins/{name}", post(take_file))
        .route("/v1/plugins/{name}/stats", get(stats))
        .route("/v1/plugins/{name}/swap", post(swap))
        .route("/v1/plugins/{name}/shadow", post(shadow).delete(end_shadow))
        .route("/v1/plugins/{name}/rollback", post(rollback))
        .route("/v1/plugins/{name}/disable", post(disable))
        .route("/v1/plugins/{name}/enable", post(enable))
        .route("/v1/history", get(history))
        .route("/v1/shutdown", post(lifetime::shutdown))
        .route("/v1/takeover", post(lifetime::takeover))
        .route("/v1/commits/hold", post(commits::hold))
        .route("/v1/commits/release", post(commits::release))
        .fallback(no_such_address)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_PLUGIN))
        .layer(from_fn_with_state(proxy, caller::authenticate))
        .with_state(desk)
}

async fn no_such_address(uri: Uri) -> Refusal {
    let hint =
        "there are /v1/plugins, /v1/plugins/NAME/stats and /v1/history; for the rest see docs/plugins.md";
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()), hint)
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let error = format!("{method} cannot be done with {}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error, "what asks is GET, what changes is POST")
}

// === questions ===

async fn list(State(desk): State<Desk>) -> Answer<List> {
    desk.ask(|proxy| {
        let generation = proxy.plugins.generation();
        let mut plugins: Vec<Plugin> = proxy.plugins.plugins().into_iter().map(describe::plugin).collect();
        for shadow in plugins.iter_mut().filter_map(|plugin| plugin.shadow.as_mut()) {
            // They are for `stats`.
            shadow.examples.clear();
        }
        Ok(List { generation, plugins })
    })
    .await
}

async fn stats(State(desk): State<Desk>, Path(name): Path<String>) -> Answer<Plugin> {
    desk.ask(move |proxy| {
        let found = proxy.plugins.plugins().into_iter().find(|info| info.source.name() == name);
        found.map(describe::plugin).ok_or_else(|| PluginError::NoSuchPlugin(name).into())
    })
    .await
}

async fn history(State(desk): State<Desk>) -> Answer<Vec<Change>> {
    desk.ask(|proxy| Ok(proxy.plugins.history().into_iter().map(describe::change).collect())).await
}

// === orders ===

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    #[serde(default)]
    why: String,
}

async fn take_file(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(Why { why }): Query<Why>,
    headers: HeaderMap,
    wasm: Bytes,
) -> Answer<Pushed> {
    let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let _turn = desk.orders.lock().await;
    desk.ask(move |proxy| {
        let pushed = push::push(proxy, &name, &wasm, signature.as_deref());
        match &pushed {
            Ok(pushed) => {
                let sha256 = &pushed.sha256;
                tracing::info!(target: "waypool::plugin", plugin = name, sha256, who = %caller, "pushed: {why}");
            }
            Err(refusal) => {
                tracing::warn!(target: "waypool::plugin", plugin = name, who = %caller, "push refused: {refusal}");
            }
        }
        pushed
    })
    .await
}

async fn swap(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Done> {
    let order = read(&body)?;
    desk.change(caller, order, move |proxy, order, by| {
        let sha256 = waiting(proxy, &name)?;
        if let Some(expected) = order.sha256.as_deref().filter(|expected| *expected != sha256) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                format!("the version of {name} that waits is {sha256}, not {expected}"),
                "somebody else may have pushed: look at waypool plugin list, and push again",
            ));
        }
        Ok(proxy.plugins.swap(&name, by)?)
    })
    .await
}

/// The digest of the version that a swap would bring: the candidate, else the
/// configured file, which is loaded now.
fn waiting(proxy: &Proxy, name: &str) -> Result<String, Refusal> {
    let info = proxy.plugins.plugins().into_iter().find(|info| info.source.name() == name);
    if let Some(candidate) = info.and_then(|info| info.candidate) {
        return Ok(candidate);
    }
    let sources = proxy::sources(&proxy.config());
    match sources.into_iter().find(|source| source.name() == name) {
        Some(source) => Ok(proxy.plugins.candidate(source)?.1),
        None => Err(PluginError::NoCandidate(name.to_owned()).into()),
    }
}

async fn shadow(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Done> {
    let order = read(&body)?;
    desk.change(caller, order, move |proxy, order, by| {
        let share = order.share.ok_or_else(|| {
            let hint = "for example {\"share\": 0.1}, a tenth of the calls";
            Refusal::new(StatusCode::BAD_REQUEST, "there is no share", hint)
        })?;
        waiting(proxy, &name)?;
        Ok(proxy.plugins.shadow(&name, share, by)?)
    })
    .await
}

async fn end_shadow(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Done> {
    desk.simple(caller, &body, move |host, by| host.end_shadow(&name, by)).await
}

async fn rollback(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Done> {
    desk.simple(caller, &body, move |host, by| host.rollback(&name, by)).await
}

async fn disable(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Done> {
    desk.simple(caller, &body, move |host, by| host.disable(&name, by)).await
}

async fn enable(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Done> {
    desk.simple(caller, &body, move |host, by| host.enable(&name, by)).await
}

/// An empty body is an order without further words.
fn read(body: &Bytes) -> Result<Order, Refusal> {
    if body.trim_ascii().is_empty() {
        return Ok(Order::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        let hint = "write {\"why\": \"…\"}; swap takes sha256 as well, shadow share";
        Refusal::new(StatusCode::BAD_REQUEST, format!("the order cannot be read: {error}"), hint)
    })
}

// === impl Desk ===

impl Desk {
    /// On a thread on which it may take its time.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Proxy) -> Result<T, Refusal> + Send + 'static,
    ) -> Answer<T> {
        let proxy = Arc::clone(&self.proxy);
        match tokio::task::spawn_blocking(move || question(&proxy)).await {
            Ok(answer) => answer.map(Json),
            Err(_) => Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the proxy stumbled over this order",
                "its log has more; what was in use still is",
            )),
        }
    }

    async fn change(
        &self,
        caller: Caller,
        order: Order,
        change: impl FnOnce(&Proxy, &Order, &By) -> Result<u64, Refusal> + Send + 'static,
    ) -> Answer<Done> {
        let _turn = self.orders.lock().await;
        self.ask(move |proxy| {
            let by = By::new(caller.to_string(), order.why.clone());
            change(proxy, &order, &by).map(|generation| Done { generation })
        })
        .await
    }

    /// An order that the host carries out as it is.
    async fn simple(
        &self,
        caller: Caller,
        body: &Bytes,
        change: impl FnOnce(&PluginHost, &By) -> Result<u64, PluginError> + Send + 'static,
    ) -> Answer<Done> {
        let order = read(body)?;
        self.change(caller, order, move |proxy, _, by| Ok(change(&proxy.plugins, by)?)).await
    }
}
