//! The processes of a server: found by the folder they work in, and signalled.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal; a process that is gone already is as good as signalled.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// All processes of the server in `data_dir`: the postmaster changes into that
/// folder, and whatever it starts stays there, even after the postmaster died.
/// Zombies work nowhere and are not listed.
#[cfg(target_os = "linux")]
pub(crate) fn working_in(data_dir: &Path, _postmaster: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let folder = std::fs::read_link(entry.path().join("cwd")).ok()?;
            (folder == data_dir).then_some(pid)
        })
        .collect()
}

/// Without /proc: the postmaster and its children, as `ps` knows them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn working_in(_data_dir: &Path, postmaster: u32) -> Vec<u32> {
    let columns = ["-axo", "pid=,ppid=,state="];
    let Ok(output) = std::process::Command::new("ps").args(columns).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let pid: u32 = words.next()?.parse().ok()?;
            let parent: u32 = words.next()?.parse().ok()?;
            let zombie = words.next()?.starts_with('Z');
            (!zombie && (pid == postmaster || parent == postmaster)).then_some(pid)
        })
        .collect()
}

/// Removes the System V shared memory segment that a killed postmaster left.
pub(crate) fn remove_shared_memory(id: i32) {
    // SAFETY: IPC_RMID takes no buffer, so the null pointer is not read; an id
    // that is unknown or not ours makes the call fail, which is fine here.
    unsafe {
        nix::libc::shmctl(id, nix::libc::IPC_RMID, std::ptr::null_mut());
    }
}
