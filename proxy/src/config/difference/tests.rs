#![allow(clippy::unwrap_used)]

use crate::config::{Config, Difference};

fn parse(text: &str) -> Config {
    Config::parse(text, "waypool.toml").unwrap()
}

fn difference(old: &str, new: &str) -> Difference {
    Config::reloadable_difference(&parse(old), &parse(new))
}

const OLD: &str = "sr_check_user = 'w'\nhba = ['local all all trust']\n[[backend]]\nhostname = 'a'\n";

#[test]
fn moved_lines_change_nothing() {
    let moved = OLD.replace("hba", "\n# comment\nhba");
    assert!(difference(OLD, &moved).is_empty());
}

#[test]
fn restart_and_reload() {
    let new = format!("port = 1\nsr_check_password = 'x'\nlog_format = 'json'\n{OLD}");
    let difference = difference(OLD, &new);
    assert_eq!(difference.restart, ["port", "sr_check_password"]);
    assert_eq!(difference.reload, ["log_format"]);
}

#[test]
fn servers_by_number() {
    let two = format!("{OLD}[[backend]]\nhostname = 'b'\n");
    let heavier = format!("{OLD}weight = 2\n");
    assert_eq!(difference(OLD, &two).restart, ["backend 1 (b:5432), added"]);
    assert_eq!(difference(&two, OLD).restart, ["backend 1 (b:5432), removed"]);
    assert_eq!(difference(OLD, &heavier).reload, ["backend 0 (a:5432)"]);
    let elsewhere = OLD.replace("'a'", "'c'");
    assert_eq!(difference(OLD, &elsewhere).restart, ["backend 0 (c:5432)"]);
}

#[test]
fn tls_and_plugins() {
    // Any readable file does: what is in it is not read here.
    let tls = format!("ssl = true\nssl_cert = '/proc/version'\nssl_key = '/proc/version'\n{OLD}");
    assert_eq!(difference(OLD, &tls).reload, ["ssl", "ssl_cert", "ssl_key"]);
    let plugin = format!("{OLD}[plugins.balance.config]\nx = 1\n");
    assert_eq!(difference(OLD, &plugin).reload, ["plugins.balance"]);
}

#[test]
fn plugins_by_name() {
    let with = |lines: &str| format!("{OLD}{lines}");
    // Any readable file does: what is in it is not read here.
    let plugin = |name: &str| format!("[plugins.{name}]\npath = '/proc/version'\n");
    let (one, two) = (with(&plugin("a")), with(&(plugin("a") + &plugin("b"))));
    assert_eq!(difference(&one, &two).reload, ["plugins.b, added"]);
    assert_eq!(difference(&two, &one).reload, ["plugins.b, removed"]);
    let turned = with(&(plugin("b") + &plugin("a")));
    assert_eq!(difference(&two, &turned).reload, ["plugins, their order"]);
    let limited = with(&(plugin("a") + "users = ['/x']\n"));
    assert_eq!(difference(&one, &limited).reload, ["plugins.a"]);
    let elsewhere = with("[plugins]\npush_directory = 'x'\n");
    assert_eq!(difference(OLD, &elsewhere).reload, ["plugins.push_directory"]);
}

#[test]
fn the_admin_socket_needs_a_restart() {
    let new = format!("{OLD}[admin]\nsocket = '/x'\n");
    assert_eq!(difference(OLD, &new).restart, ["admin"]);
    // Its default moves with the port, which needs a restart itself.
    assert_eq!(difference(OLD, &format!("port = 1\n{OLD}")).restart, ["port"]);
}
