//! `waypool stop`: ends a running proxy.

use crate::admin::api::{Shutdown, Stopping};
use crate::cli::plugin::client::{self, Message};
use crate::life::Mode;
use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Which proxy, and how.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    client: client::Options,
    /// What becomes of the clients
    #[arg(short, long, value_enum, default_value_t = Mode::Smart)]
    mode: Mode,
    /// smart: wait for clients no longer than this, then end their sessions
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Do not wait until the proxy has ended
    #[arg(long)]
    no_wait: bool,
}

pub fn stop(options: &Options) -> anyhow::Result<()> {
    let order = Shutdown { mode: options.mode, seconds: options.timeout };
    let client = options.client.client()?;
    let body = serde_json::to_vec(&order)?.into();
    let Stopping { pid } = client.post("/v1/shutdown", Message { headers: Vec::new(), body })?;
    // One on another machine cannot be looked at.
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| client.is_local()) else {
        println!("{} shutdown requested", options.mode);
        return Ok(());
    };
    if options.no_wait {
        println!("{} shutdown requested, process {}", options.mode, pid.as_raw_nonzero());
        return Ok(());
    }
    wait_for_end(pid, options.mode)?;
    println!("waypool stopped");
    Ok(())
}

fn wait_for_end(pid: Pid, mode: Mode) -> anyhow::Result<()> {
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error).context("cannot wait for the end of the proxy"),
    };
    // Clients may stay as long as they like; all else is short.
    let limit = (mode != Mode::Smart).then_some(PATIENCE);
    let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], limit.as_ref())?;
    if ended == 0 {
        bail!("process {} has not ended within {} s: see its log", pid.as_raw_nonzero(), PATIENCE.tv_sec);
    }
    Ok(())
}
