//! The temporary folder of a sandbox, and the guardian that removes it when we
//! cannot.

use std::env;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::account::Account;
use crate::{Error, Result};

/// Unix sockets allow about 104 bytes for a whole path; what we append is under 60.
const LONGEST_PARENT: usize = 44;

const GUARDIAN: &str = include_str!("guardian.sh");

/// A folder that does not outlive this process.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: Option<TempDir>,
    path: PathBuf,
    guardian: Child,
}

impl Folder {
    pub(crate) fn create(account: &Account) -> Result<Folder> {
        let parent = choose_parent(account)?;
        let dir = tempfile::Builder::new()
            .prefix("waypool-sandbox-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(&parent)
            .map_err(Error::io("create a folder in", &parent))?;
        let path = dir.path().to_path_buf();
        account.own(&path)?;
        let guardian = start_guardian(&path)?;
        Ok(Folder { dir: Some(dir), path, guardian })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A destructor cannot report; what we fail to remove, the guardian tries.
        if let Some(dir) = self.dir.take() {
            let _ = dir.close();
        }
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

fn choose_parent(account: &Account) -> Result<PathBuf> {
    let choices = [env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    choices
        .iter()
        .filter_map(|choice| choice.canonicalize().ok())
        .find(|choice| {
            let short = choice.as_os_str().as_bytes().len() <= LONGEST_PARENT;
            let writable = || tempfile::tempfile_in(choice).is_ok();
            short && account.can_reach(choice) && writable()
        })
        .ok_or_else(|| Error::NoFolder {
            tried: format!("{} or /tmp", choices[0].display()),
            user: account.name().to_owned(),
        })
}

fn start_guardian(folder: &Path) -> Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", GUARDIAN, "waypool-sandbox-guardian"])
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C at the terminal is for us, not for it.
        .process_group(0)
        .spawn()
        .map_err(Error::io("start", "/bin/sh"))
}
