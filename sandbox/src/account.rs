//! Which user of the operating system the servers run as.
//!
//! PostgreSQL refuses to run as root, so a sandbox of root's hands its folder
//! and its servers to another user; anybody else's runs them as oneself.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};

use crate::{Error, Result};

/// Users to run servers as when we are root, the most fitting first.
const STAND_INS: [&str; 2] = ["postgres", "nobody"];

#[derive(Clone, Debug)]
pub(crate) enum Account {
    Ourselves,
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    pub(crate) fn choose() -> Result<Account> {
        if !Uid::effective().is_root() {
            return Ok(Account::Ourselves);
        }
        STAND_INS
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Account::Other { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
            .ok_or(Error::NoAccount)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Account::Ourselves => "you",
            Account::Other { name, .. } => name,
        }
    }

    /// Makes `command` run as this user; root's supplementary groups are dropped by std.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Account::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Gives a file or folder that we made to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        let Account::Other { uid, gid, .. } = self else {
            return Ok(());
        };
        chown(path, Some(*uid), Some(*gid)).map_err(Error::io("change the owner of", path))
    }

    /// Whether this user can get into `folder` from the root of the file system.
    pub(crate) fn can_reach(&self, folder: &Path) -> bool {
        let Account::Other { uid, .. } = self else {
            return true;
        };
        folder.ancestors().all(|step| {
            step.metadata().is_ok_and(|meta| {
                let for_all = meta.mode() & 0o001 != 0;
                let for_owner = meta.uid() == *uid && meta.mode() & 0o100 != 0;
                for_all || for_owner
            })
        })
    }
}
