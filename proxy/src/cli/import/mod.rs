//! `waypool import`: a `waypool.toml` from a `pgpool.conf`, and what became of
//! each parameter.
//!
//! ```text
//! pgpool.conf ─ syntax ─▶ assignments ─ settings ─▶ values ─ convert ─▶ waypool.toml
//! pool_hba.conf ─ hba ─▶ rules ─────────────────────────────────┘
//! pool_passwd ─ passwords ─▶ users ─────────────────────────────┘
//! ```
//!
//! Every step tells the [`Report`] what it could not keep; `fates` adds the
//! parameters that have no counterpart. Which parameters there are, with their
//! types and defaults, stands in `config/pgpool/parameters.tsv`.

mod backends;
mod convert;
mod document;
mod fates;
mod hba;
mod passwords;
mod report;
mod settings;
mod syntax;
mod value;

#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::Config;
use convert::Input;
use document::Element;
use passwords::Passwords;
use report::{Group, Report};
use settings::Settings;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Pgpool-II's configuration
    #[arg(value_name = "PGPOOL_CONF")]
    pgpool_conf: PathBuf,
    /// Its host-based rules [default: pool_hba.conf beside PGPOOL_CONF, if enable_pool_hba is on]
    #[arg(long, value_name = "FILE")]
    pool_hba: Option<PathBuf>,
    /// Its passwords [default: the file that the parameter pool_passwd names]
    #[arg(long, value_name = "FILE")]
    pool_passwd: Option<PathBuf>,
}

/// Writes the configuration to standard output and the report to standard
/// error; fails if `waypool check` would refuse the result.
pub fn import(options: &Options) -> anyhow::Result<()> {
    let (text, report) = convert(options)?;
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the configuration")?;
    eprint!("{report}");
    // Where it will stand does not matter: all paths in it are absolute.
    let config = match Config::parse(&text, "waypool.toml") {
        Ok(config) => config,
        Err(errors) => anyhow::bail!("the result needs to be changed by hand:\n{errors}"),
    };
    super::check::parts(&config).context("the result needs to be changed by hand")
}

fn convert(options: &Options) -> anyhow::Result<(String, Report)> {
    let mut report = Report::default();
    let source = absolute(&options.pgpool_conf)?;
    let folder = source.parent().unwrap_or(Path::new("/")).to_owned();
    let assignments = syntax::read(&source, &mut report)?;
    let settings = Settings::new(assignments, &mut report);
    fates::report(&settings, &mut report);
    let hba = read_hba(options, &folder, &settings, &mut report)?;
    let passwords = read_passwords(options, &folder, &settings, &mut report)?;
    let input = Input { source, folder, settings, hba, passwords };
    let text = convert::convert(&input, &mut report);
    Ok((text, report))
}

/// The rules, if they count or were asked for.
fn read_hba(
    options: &Options,
    folder: &Path,
    settings: &Settings,
    report: &mut Report,
) -> anyhow::Result<Option<Vec<Element>>> {
    if !settings.boolean("enable_pool_hba") && options.pool_hba.is_none() {
        return Ok(None);
    }
    let (file, text) = match &options.pool_hba {
        Some(file) => (file.clone(), read(file)?),
        None => {
            let file = folder.join("pool_hba.conf");
            match read(&file) {
                Ok(text) => (file, text),
                Err(error) => {
                    let what =
                        format!("{error:#}: every client must log in with scram-sha-256, or use --pool-hba");
                    report.add(Group::Attention, "enable_pool_hba", what);
                    return Ok(None);
                }
            }
        }
    };
    Ok(Some(hba::convert(&text, &file, report)))
}

/// The password file that was asked for, or that of the parameter, if it is
/// there.
fn read_passwords(
    options: &Options,
    folder: &Path,
    settings: &Settings,
    report: &mut Report,
) -> anyhow::Result<Option<(PathBuf, Passwords)>> {
    if let Some(file) = &options.pool_passwd {
        let file = absolute(file)?;
        let passwords = passwords::convert(&read(&file)?, &file, report);
        return Ok(Some((file, passwords)));
    }
    let name = settings.text("pool_passwd");
    if name.is_empty() {
        return Ok(None);
    }
    let file = folder.join(name);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        // Pgpool-II makes an empty one.
        Err(error) if error.kind() == ErrorKind::NotFound && !settings.is_set("pool_passwd") => {
            return Ok(None);
        }
        Err(error) => {
            let what = format!("cannot read {}: {error}. Name the file with --pool-passwd", file.display());
            report.add(Group::Attention, "pool_passwd", what);
            return Ok(None);
        }
    };
    let passwords = passwords::convert(&text, &file, report);
    Ok(Some((file, passwords)))
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn absolute(file: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("cannot tell where {} is", file.display()))
}
