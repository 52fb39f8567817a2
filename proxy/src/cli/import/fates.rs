//! The parameters that `waypool.toml` has no counterpart for: one line each,
//! unless they are at their default.

use std::collections::BTreeMap;

use super::report::{Group, Report};
use super::settings::Settings;

/// Parameters that do nothing while another is off, and that other.
const SWITCHES: [(&str, &str); 3] =
    [("watchdog", "use_watchdog"), ("querycache", "memory_cache_enabled"), ("logfile", "logging_collector")];

const OLD_MODE: (Group, &str) = (
    Group::Attention,
    "backend_clustering_mode replaced it in 4.2, and is not set: streaming_replication is taken; \
     correct that if the file is older",
);

/// Reports everything that is set and not carried over.
pub fn report(settings: &Settings, report: &mut Report) {
    let mut idle: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut said: Vec<(&str, Vec<usize>)> = Vec::new();
    for (name, number, setting) in settings.iter() {
        if setting.parameter.fate == "carried" || setting.is_default() {
            continue;
        }
        let switch =
            SWITCHES.iter().find(|(fate, switch)| *fate == setting.parameter.fate && *switch != name);
        if let Some((_, switch)) = switch
            && !settings.boolean(switch)
            && name != "log_destination"
        {
            idle.entry(*switch).or_default().push(shown(name, number));
            continue;
        }
        match said.last_mut().filter(|(last, _)| *last == name) {
            Some((_, numbers)) => numbers.extend(number),
            None => said.push((name, number.into_iter().collect())),
        }
    }
    for (name, numbers) in said {
        let fate = settings.iter().find(|(n, _, _)| *n == name).map_or("", |(_, _, s)| s.parameter.fate);
        let (group, why) = match fate {
            "mode" if !settings.is_set("backend_clustering_mode") => OLD_MODE,
            fate => reason(name, fate),
        };
        let names: Vec<String> = match numbers.as_slice() {
            [] => vec![name.to_owned()],
            numbers => numbers.iter().map(|number| shown(name, Some(*number))).collect(),
        };
        report.add(group, &names.join(", "), why);
    }
    for (switch, names) in idle {
        report.add(Group::Needless, &names.join(", "), format!("without effect: {switch} is off"));
    }
}

fn shown(name: &str, number: Option<usize>) -> String {
    match number {
        Some(number) => format!("{name}{number}"),
        None => name.to_owned(),
    }
}

/// Why a parameter has no counterpart, by its fate in `parameters.tsv`.
fn reason(name: &str, fate: &str) -> (Group, &'static str) {
    use Group::{Attention, Needless, Unsupported};
    match (name, fate) {
        ("use_watchdog", _) => (
            Attention,
            "Waypool has no watchdog yet: run one for each application host, or move the address with keepalived",
        ),
        ("memory_cache_enabled", _) => {
            (Attention, "Waypool has no query cache yet: every read goes to a server")
        }
        ("failover_command" | "follow_primary_command", _) => (
            Attention,
            "Waypool promotes no server: it follows the roles that the servers report; let Patroni, repmgr or \
             pg_auto_failover promote",
        ),
        (_, "failover") => {
            (Needless, "Waypool follows the roles that the servers report, and holds no state of its own")
        }
        (_, "failback") => (Needless, "a server that answers again is used again, at once"),
        (_, "health") => (
            Needless,
            "servers are looked after as sr_check_user, every sr_check_period, each time within connect_timeout",
        ),
        (_, "health-test") => (Needless, "a switch for Pgpool-II's own tests"),
        (_, "processes") => (Needless, "Waypool has no child processes: threads serve all clients"),
        (_, "directory") => (Needless, "Waypool touches no such directory"),
        (_, "relcache") => (Needless, "the cache is always shared"),
        (_, "mutations") => (Needless, "the table grows as needed"),
        (_, "recovery") => {
            (Unsupported, "online recovery: rebuild a standby with pg_basebackup or your cluster manager")
        }
        ("lobj_lock_table", _) => (
            Unsupported,
            "create large objects with lo_create and a number of your own: it is the same everywhere",
        ),
        (_, "replication") => (Needless, "it belongs to native replication"),
        (_, "watchdog") => (Unsupported, "it belongs to the watchdog"),
        (_, "querycache") => (Unsupported, "it belongs to the query cache"),
        (_, "pcp") => (Unsupported, "there is no PCP: use SHOW pool_nodes and signals"),
        ("ssl_crl_file" | "ssl_ca_cert_dir", _) => (
            Attention,
            "Waypool does not read it yet: client certificates are checked against ssl_ca_cert alone",
        ),
        ("ssl_passphrase_command", _) => (
            Attention,
            "Waypool asks for no passphrase: store the key without one, readable for Waypool alone",
        ),
        (_, "tls") => (Needless, "rustls offers only sound ciphers and curves, TLS 1.2 and 1.3"),
        (_, "logfile") => (Needless, "the log goes to stderr: systemd, docker or logger take it on"),
        (_, "logformat") => (Needless, "choose log_format = \"human\" or \"json\" instead"),
        (_, "logwhat") => (Unsupported, "log_min_messages and log_per_node_statement decide what is logged"),
        (_, "cleartext") => (
            Needless,
            "clients are asked for a password as the hba lines, or without them the servers, demand",
        ),
        (_, "group") => (Unsupported, "use unix_socket_permissions and the directory's own group"),
        (_, "mode") => (Needless, "backend_clustering_mode replaced it in 4.2"),
        (_, "oldsocket") => (Needless, "a backend_hostname that begins with / is a socket's directory"),
        _ => (Unsupported, "no counterpart"),
    }
}
