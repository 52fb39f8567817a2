#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::Settings;
use crate::cli::import::report::{Group, Report};
use crate::cli::import::syntax;

fn read(text: &str) -> (Settings, Report) {
    let mut report = Report::default();
    let assignments = syntax::parse(text, "", &mut report);
    (Settings::new(assignments, &mut report), report)
}

#[test]
fn the_last_value_wins() {
    let (settings, report) = read("port = 1111\nPORT = 2222\nmax_pool = 8\nMax_Pool 2\n");
    assert_eq!(settings.integer("port"), 2222);
    assert_eq!(settings.integer("max_pool"), 2);
    assert!(report.is_empty(), "{report}");
}

#[test]
fn what_is_not_set_has_its_default() {
    let (settings, _) = read("");
    assert!(!settings.is_set("port"));
    assert_eq!(settings.integer("port"), 9999);
    assert_eq!(settings.text("listen_addresses"), "localhost");
    assert_eq!(settings.duration("connect_timeout"), Duration::from_secs(10));
    assert_eq!(settings.list("reset_query_list", ';'), ["ABORT", "DISCARD ALL"]);
    assert!(settings.boolean("load_balance_mode"));
    assert_eq!(settings.real_of("backend_weight", Some(3)), 0.0);
}

#[test]
fn numbers_may_have_gaps() {
    let (settings, _) = read("backend_port7 = 3\nbackend_port0 = 1\nbackend_port10 = 2\n");
    let numbers: Vec<usize> = settings.numbered("backend_port").map(|(number, _)| number).collect();
    assert_eq!(numbers, [0, 7, 10]);
    assert_eq!(settings.integer_of("backend_port", Some(10)), 2);
}

#[test]
fn older_names() {
    let (settings, _) = read("socket_dir = '/run'\nblack_function_list = 'f'\n");
    assert_eq!(settings.text("unix_socket_directories"), "/run");
    assert_eq!(settings.text("write_function_list"), "f");
}

#[test]
fn unknown_names_and_wrong_values_are_reported() {
    let (settings, report) = read("prot = 1\nfrobnicate = 2\nbackend_port = 3\nssl0 = on\nssl = perhaps\n");
    assert_eq!(settings.iter().count(), 0);
    assert_eq!(
        report.lines(Group::Unknown),
        [
            "prot (line 1): did you mean port?",
            "frobnicate (line 2): not a parameter of Pgpool-II 4.8",
            "backend_port (line 3): backend_port needs the number of a server at its end",
            "ssl0 (line 4): ssl takes no number",
        ]
    );
    let wrong = ["ssl (line 5): \"perhaps\" is not a boolean: write on or off: left out"];
    assert_eq!(report.lines(Group::Wrong), wrong);
}

#[test]
fn patterns_set_twice() {
    let name = "primary_routing_query_pattern_list";
    let (settings, report) = read(&format!("{name} = 'a'\n{name} = 'b'\n"));
    assert_eq!(settings.text(name), "b");
    assert!(report.lines(Group::Attention)[0].contains("patterns of line 1"), "{report}");
}
