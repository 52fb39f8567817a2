#![allow(clippy::unwrap_used)]

use super::{Value, boolean, parse};
use crate::config::pgpool;

fn value(name: &str, text: &str) -> Result<Value, String> {
    parse(&pgpool::find(name).unwrap().0, text)
}

fn integer(name: &str, text: &str) -> i64 {
    match value(name, text) {
        Ok(Value::Integer(number)) => number,
        other => panic!("{name} = {text}: {other:?}"),
    }
}

#[test]
fn booleans_and_their_beginnings() {
    for text in ["on", "ON", "true", "t", "tr", "yes", "y", "1"] {
        assert_eq!(boolean(text), Some(true), "{text}");
    }
    for text in ["off", "of", "false", "F", "no", "n", "0"] {
        assert_eq!(boolean(text), Some(false), "{text}");
    }
    for text in ["", "o", "2", "onn", "yess", "enabled"] {
        assert_eq!(boolean(text), None, "{text}");
    }
}

#[test]
fn units() {
    assert_eq!(integer("connect_timeout", "10000"), 10_000);
    assert_eq!(integer("connect_timeout", "10s"), 10_000);
    assert_eq!(integer("connect_timeout", "1.5 s"), 1_500);
    assert_eq!(integer("child_life_time", "5min"), 300);
    assert_eq!(integer("connection_life_time", "1d"), 86_400);
    assert_eq!(integer("authentication_timeout", "1500ms"), 2);
    assert_eq!(integer("delay_threshold", "10MB"), 10 << 20);
    assert_eq!(integer("delay_threshold", "1kB"), 1024);
    assert_eq!(integer("log_rotation_age", "1d"), 1440);
    assert_eq!(integer("log_rotation_size", "10MB"), 10240);
    assert_eq!(integer("client_idle_limit_in_recovery", "-1"), -1);
}

#[test]
fn other_bases() {
    assert_eq!(integer("unix_socket_permissions", "0777"), 0o777);
    assert_eq!(integer("unix_socket_permissions", "511"), 0o777);
    assert_eq!(integer("num_init_children", "0x20"), 32);
    assert_eq!(integer("num_init_children", "+5"), 5);
}

#[test]
fn wrong_values() {
    for (name, text) in [
        ("num_init_children", "10s"),
        ("num_init_children", "many"),
        ("num_init_children", ""),
        ("num_init_children", "1-2"),
        ("connect_timeout", "10 sec"),
        ("connect_timeout", "10S"),
        ("delay_threshold", "1s"),
        ("delay_threshold", "99999999999999999999TB"),
        ("backend_weight0", "heavy"),
        ("backend_weight0", "inf"),
        ("ssl", "perhaps"),
        ("backend_clustering_mode", "stream"),
    ] {
        assert!(value(name, text).is_err(), "{name} = {text}");
    }
}

#[test]
fn words() {
    let text = |word: &str| Ok(Value::Text(word.to_owned()));
    assert_eq!(value("disable_load_balance_on_write", "DML_Adaptive"), text("dml_adaptive"));
    assert_eq!(value("check_temp_table", "trace"), text("trace"));
    assert_eq!(value("check_temp_table", "true"), text("on"));
    assert_eq!(value("check_temp_table", "0"), text("off"));
    assert!(value("log_standby_delay", "on").is_err());
}

#[test]
fn defaults_are_values() {
    for parameter in pgpool::parameters().filter(|parameter| parameter.default != "*") {
        let default = parse(&parameter, parameter.default);
        assert!(default.is_ok(), "{}: {default:?}", parameter.name);
    }
}
