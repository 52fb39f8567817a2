//! Looks whether a plugin's file has changed, and takes the new one over: what
//! SIGHUP does, for the files alone.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::config::{Config, signature_file};
use crate::plugin::By;
use crate::proxy::{self, Proxy};

/// How often is looked.
pub const PERIOD: Duration = Duration::from_secs(1);

/// What is known of the files of plugins, signatures included.
#[derive(Debug)]
pub struct Watch {
    /// When they were last loaded.
    loaded: Stamps,
    /// At the last look, if something had changed: whoever writes a file may
    /// not be through with it yet.
    changing: Option<Stamps>,
}

/// `None`: there is no such file.
type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// Differs if the file has been written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Watch {
    pub fn new(config: &Config) -> Self {
        Watch { loaded: stamps(config), changing: None }
    }

    /// To be called every [`PERIOD`]. Blocks while a plugin is compiled.
    pub fn look(&mut self, proxy: &Proxy) {
        let config = proxy.config();
        if !config.plugins.watch_files || !self.is_time(stamps(&config)) {
            return;
        }
        let by = By::new("waypool", "its file has changed");
        if let Err(error) = proxy.plugins.reload(proxy::sources(&config), &by) {
            tracing::error!("a plugin's file has changed, but is not taken over: {error}");
        }
    }

    /// Whether files have changed, and not any more since the last look.
    fn is_time(&mut self, now: Stamps) -> bool {
        if now == self.loaded {
            self.changing = None;
            return false;
        }
        if self.changing.as_ref() != Some(&now) {
            self.changing = Some(now);
            return false;
        }
        self.changing = None;
        self.loaded = now;
        true
    }
}

fn stamps(config: &Config) -> Stamps {
    let files = config.plugins.entries.iter().filter_map(|plugin| plugin.path.clone());
    let files = files.flat_map(|file| [signature_file(&file), file]);
    files.map(|file| (file.clone(), stamp(file))).collect()
}

fn stamp(file: PathBuf) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), bytes: metadata.len(), inode: metadata.ino() })
}

#[cfg(test)]
mod tests;
