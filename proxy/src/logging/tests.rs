#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::filter::EnvFilter;

use super::{build, directives, output};
use crate::config::{LogFormat, LogLevel};

/// A log that a test can read.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(directives(level))
}

#[test]
fn json_lines_can_be_parsed() {
    let memory = Memory::default();
    let writer = memory.clone();
    let (subscriber, _logging) =
        build(filter(LogLevel::Info), output(LogFormat::Json, move || writer.clone()));
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(backend = 1, "server is up");
    });
    let line: serde_json::Value = serde_json::from_str(memory.take().trim()).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "server is up");
    assert_eq!(line["backend"], 1);
}

#[test]
fn human_lines_are_plain_text() {
    let memory = Memory::default();
    let writer = memory.clone();
    let (subscriber, _logging) =
        build(filter(LogLevel::Info), output(LogFormat::Human, move || writer.clone()));
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(backend = 1, "server is down");
    });
    let line = memory.take();
    assert!(line.contains("WARN") && line.contains("server is down"), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn level_and_format_change_while_running() {
    let memory = Memory::default();
    let (first, second) = (memory.clone(), memory.clone());
    let (subscriber, logging) =
        build(filter(LogLevel::Warning), output(LogFormat::Human, move || first.clone()));
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("too early");
        assert_eq!(memory.take(), "");
        logging.filter.reload(filter(LogLevel::Info)).unwrap();
        logging.output.reload(output(LogFormat::Json, move || second.clone())).unwrap();
        tracing::info!("now");
        assert!(memory.take().starts_with('{'));
    });
}

#[test]
fn only_waypool_gets_chatty() {
    let memory = Memory::default();
    let writer = memory.clone();
    let (subscriber, _logging) =
        build(filter(LogLevel::Debug1), output(LogFormat::Json, move || writer.clone()));
    tracing::subscriber::with_default(subscriber, || {
        tracing::debug!(target: "wasmtime::runtime", "library");
        tracing::debug!(target: "waypool::session", "ours");
        tracing::debug!(target: "waypool_plugin_engine", "ours too");
        tracing::trace!(target: "waypool::session", "too fine");
    });
    let log = memory.take();
    assert!(!log.contains("library") && !log.contains("too fine"), "{log}");
    assert_eq!(log.lines().count(), 2, "{log}");
}

#[test]
fn every_level_is_a_filter() {
    for level in [LogLevel::Debug5, LogLevel::Debug1, LogLevel::Notice, LogLevel::Warning, LogLevel::Panic] {
        assert!(EnvFilter::try_new(directives(level)).is_ok(), "{level:?}");
    }
}
