//! Compiled plugins on disk. Compiling one with an SQL grammar in it takes
//! seconds, loading it from here a millisecond.
//!
//! Machine code is run as it is found, so the folder is only used if nobody
//! else can write to it. A cache that cannot be used is worth a warning, never
//! an error: plugins are compiled anew then.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use sha2::{Digest, Sha256};

/// A folder that belongs to Waypool alone.
pub(super) struct CodeCache {
    folder: PathBuf,
    /// Of the engine: code of another version or configuration has another name.
    fingerprint: String,
}

/// The cache, opened when the first plugin from a file is loaded: with the
/// built-in ones alone no folder is made.
pub(super) struct LazyCache {
    folder: Option<PathBuf>,
    cache: OnceLock<Option<CodeCache>>,
}

impl LazyCache {
    /// `None`: nothing is kept.
    pub fn new(folder: Option<PathBuf>) -> Self {
        LazyCache { folder, cache: OnceLock::new() }
    }

    pub fn open(&self, engine: &wasmtime::Engine) -> Option<&CodeCache> {
        let folder = self.folder.as_ref()?;
        let open = || {
            CodeCache::open(folder, waypool_plugin_engine::fingerprint(engine))
                .inspect_err(|error| tracing::warn!("compiled plugins are not kept: {error}"))
                .ok()
        };
        self.cache.get_or_init(open).as_ref()
    }
}

impl CodeCache {
    /// Makes the folder if there is none, with no access for others; refuses
    /// one that others own or may write to.
    pub fn open(folder: &Path, fingerprint: String) -> Result<Self, String> {
        let shown = folder.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| format!("cannot make the folder {shown}: {error}"))?;
        // Not the target of a symbolic link, which someone else might move.
        let folder =
            fs::canonicalize(folder).map_err(|error| format!("cannot find the folder {shown}: {error}"))?;
        let meta = fs::symlink_metadata(&folder)
            .map_err(|error| format!("cannot look at the folder {shown}: {error}"))?;
        let us = rustix::process::geteuid().as_raw();
        if meta.uid() != us {
            return Err(format!(
                "{shown} belongs to user {}, not to Waypool's ({us}): name another folder",
                meta.uid()
            ));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(format!("{shown} is open to other users: chmod 700 {shown}"));
        }
        Ok(CodeCache { folder, fingerprint })
    }

    /// The code compiled from the module with this digest, if it is here and
    /// whole.
    pub fn get(&self, sha256: &str) -> Option<Vec<u8>> {
        let mut content = fs::read(self.path(sha256)).ok()?;
        let code_length = content.len().checked_sub(32)?;
        let digest = content.split_off(code_length);
        // A crash of the machine can leave a file with holes in it.
        let whole = Sha256::digest(&content).as_slice() == digest.as_slice();
        whole.then_some(content)
    }

    /// Keeps the code for the next start.
    pub fn put(&self, sha256: &str, code: &[u8]) -> io::Result<()> {
        let path = self.path(sha256);
        // Others may be writing the same file: each its own, then renamed.
        static DRAFTS: AtomicU32 = AtomicU32::new(0);
        let (process, draft) = (std::process::id(), DRAFTS.fetch_add(1, Relaxed));
        let draft = path.with_extension(format!("{process}-{draft}.new"));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(code)?;
        file.write_all(Sha256::digest(code).as_slice())?;
        fs::rename(&draft, &path)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}-{}.cwasm", self.fingerprint))
    }
}
