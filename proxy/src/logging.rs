//! Waypool's own log: lines on stderr, for people or for machines.
//!
//! What appears is `log_min_messages`, or the environment's `RUST_LOG` where
//! it is set (`RUST_LOG=waypool=trace`). Both settings can change on reload,
//! through the [`Logging`] that [`start`] returns.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogLevel};

type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Output = Box<dyn Layer<Filtered> + Send + Sync>;

/// The running log, to change it.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    output: reload::Handle<Output, Filtered>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("RUST_LOG is not a log filter: {0}. Write RUST_LOG=debug, or unset it")]
    RustLog(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the log is already set up: {0}")]
    AlreadyStarted(#[from] tracing_subscriber::util::TryInitError),
    #[error("the log cannot be changed: {0}")]
    Change(#[from] reload::Error),
}

/// Starts the log of this process. To be called once, before the first line.
pub fn start(level: LogLevel, format: LogFormat) -> Result<Logging, LoggingError> {
    let (subscriber, logging) = build(filter(level)?, output(format, std::io::stderr));
    subscriber.try_init()?;
    Ok(logging)
}

impl Logging {
    /// Applies changed settings.
    pub fn change(&self, level: LogLevel, format: LogFormat) -> Result<(), LoggingError> {
        self.filter.reload(filter(level)?)?;
        self.output.reload(output(format, std::io::stderr))?;
        Ok(())
    }
}

fn build(filter: EnvFilter, output: Output) -> (impl Subscriber + Send + Sync, Logging) {
    let (filter, filter_handle) = reload::Layer::new(filter);
    let (output, output_handle) = reload::Layer::new(output);
    let subscriber = tracing_subscriber::registry().with(filter).with(output);
    (subscriber, Logging { filter: filter_handle, output: output_handle })
}

fn filter(level: LogLevel) -> Result<EnvFilter, LoggingError> {
    let wanted = match std::env::var("RUST_LOG") {
        Ok(wanted) if !wanted.trim().is_empty() => wanted,
        Ok(_) | Err(std::env::VarError::NotPresent) => directives(level).to_owned(),
        Err(error) => return Err(LoggingError::RustLog(error.into())),
    };
    EnvFilter::try_new(wanted).map_err(|error| LoggingError::RustLog(error.into()))
}

/// PostgreSQL's twelve levels in tracing's five. Below `info` only Waypool
/// itself gets chattier: what its libraries say there helps nobody.
fn directives(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug5 | LogLevel::Debug4 | LogLevel::Debug3 => "info,waypool=trace",
        LogLevel::Debug2 | LogLevel::Debug1 => "info,waypool=debug",
        LogLevel::Info | LogLevel::Notice => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error | LogLevel::Log | LogLevel::Fatal | LogLevel::Panic => "error",
    }
}

fn output<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let terminal = std::io::stderr().is_terminal();
    // https://no-color.org
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Auto if terminal => Box::new(layer.with_ansi(colours)),
        LogFormat::Human => Box::new(layer.with_ansi(terminal && colours)),
        LogFormat::Auto | LogFormat::Json => Box::new(layer.json().flatten_event(true)),
    }
}

#[cfg(test)]
mod tests;
