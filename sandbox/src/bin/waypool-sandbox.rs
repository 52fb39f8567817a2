//! Runs a sandbox for programs that are not Rust, such as the benchmark: prints
//! one line of JSON when the servers are ready, and ends them when its standard
//! input is closed.

use std::io::{Read, Write, stdin, stdout};
use std::process::ExitCode;

use serde_json::{Value, json};
use waypool_sandbox::{Builder, Cluster, PASSWORD, SUPERUSER, Server};

const USAGE: &str = "\
usage: waypool-sandbox [--standbys N | --independent N] [--port N] [--setting NAME=VALUE]...
Starts throwaway PostgreSQL servers, prints where they are as a line of JSON,
and removes them when standard input is closed.";

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waypool-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), AnyError> {
    let builder = Cluster::builder().on_progress(|step| eprintln!("{step}"));
    let cluster = arguments(builder)?.start()?;
    let mut out = stdout();
    writeln!(out, "{}", describe(&cluster))?;
    out.flush()?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn arguments(mut builder: Builder) -> Result<Builder, AnyError> {
    let mut words = std::env::args().skip(1);
    while let Some(option) = words.next() {
        let mut value = || words.next().ok_or(USAGE);
        builder = match option.as_str() {
            "--standbys" => builder.standbys(value()?.parse()?),
            "--independent" => builder.independent(value()?.parse()?),
            "--port" => builder.first_port(value()?.parse()?),
            "--setting" => {
                let setting = value()?;
                let (name, value) = setting.split_once('=').ok_or(USAGE)?;
                builder.setting(name, value)
            }
            _ => return Err(USAGE.into()),
        };
    }
    Ok(builder)
}

fn describe(cluster: &Cluster) -> Value {
    let servers: Vec<Value> = cluster.servers().iter().map(describe_server).collect();
    json!({
        "bin_dir": cluster.installation().bin_dir(),
        "version": cluster.installation().major_version(),
        "user": SUPERUSER,
        "password": PASSWORD,
        "folder": cluster.folder(),
        "servers": servers,
    })
}

fn describe_server(server: &Server) -> Value {
    json!({
        "id": server.id(),
        "host": "127.0.0.1",
        "port": server.port(),
        "socket_dir": server.socket_dir(),
        "data_dir": server.data_dir(),
        "log": server.log_path(),
    })
}
