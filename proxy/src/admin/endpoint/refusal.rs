//! Errors as answers.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::admin::api::Failure;
use crate::plugin::PluginError;

/// An order that is not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    failure: Failure,
}

impl Refusal {
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { status, failure: Failure { error: error.into(), hint: Some(hint.into()) } }
    }

    /// For messages that say themselves what to do.
    pub fn plain(status: StatusCode, error: impl Into<String>) -> Self {
        Refusal { status, failure: Failure { error: error.into(), hint: None } }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.failure.error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.failure)).into_response()
    }
}

impl From<PluginError> for Refusal {
    fn from(error: PluginError) -> Self {
        Refusal::plain(status(&error), error.to_string())
    }
}

fn status(error: &PluginError) -> StatusCode {
    match error {
        PluginError::NoSuchPlugin(_) => StatusCode::NOT_FOUND,
        // It is in the wrong state for that.
        PluginError::NoCandidate(_)
        | PluginError::NothingEarlier(_)
        | PluginError::NothingToCompare(_)
        | PluginError::NotDisabled(_)
        | PluginError::Indispensable { .. }
        | PluginError::Missing(_)
        | PluginError::TooMany { .. }
        | PluginError::TwoOfAName(_) => StatusCode::CONFLICT,
        PluginError::Share(_) => StatusCode::BAD_REQUEST,
        PluginError::Untrusted { .. } => StatusCode::FORBIDDEN,
        // The file is not good enough.
        PluginError::Form { .. }
        | PluginError::NoRole { .. }
        | PluginError::Version { .. }
        | PluginError::NotGranted { .. }
        | PluginError::Contract { .. }
        | PluginError::Configuration { .. }
        | PluginError::Probe { .. }
        | PluginError::SelfTest { .. }
        | PluginError::Recent { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        PluginError::Read { .. } | PluginError::Ticker(_) | PluginError::Engine(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
