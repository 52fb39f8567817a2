#![allow(clippy::unwrap_used)]

use super::{Report, parse, read};

fn pairs(text: &str) -> Vec<(String, String)> {
    let mut report = Report::default();
    let pairs = parse(text, "", &mut report).into_iter().map(|a| (a.key, a.value)).collect();
    assert!(report.is_empty(), "{report}");
    pairs
}

fn value(line: &str) -> String {
    let pairs = pairs(line);
    assert_eq!(pairs.len(), 1, "{line}");
    pairs[0].1.clone()
}

fn complaint(line: &str) -> String {
    let mut report = Report::default();
    assert!(parse(line, "", &mut report).is_empty(), "{line}");
    report.to_string()
}

#[test]
fn keys_and_values() {
    for line in ["port = 9999", "port=9999", "  port 9999", "port\t= 9999 # here", "port = '9999'#"] {
        assert_eq!(pairs(line), [("port".to_owned(), "9999".to_owned())], "{line}");
    }
    assert_eq!(pairs("\n# port = 1\n   \n\r\n"), []);
    assert_eq!(value("ssl = on\r"), "on");
    assert_eq!(value("connect_timeout = 10s# ten"), "10s");
    assert_eq!(value("sr_check_user = ''"), "");
}

#[test]
fn quotes() {
    assert_eq!(value("a = 'it''s # no comment' # but this"), "it's # no comment");
    assert_eq!(value(r"a = 'it\'s'"), "it's");
    assert_eq!(value(r"a = ''''"), "'");
    // Backslashes belong to the regular expressions.
    assert_eq!(value(r"a = 'SELECT \d+\;x;.*\.y'"), r"SELECT \d+\;x;.*\.y");
    assert_eq!(value(r"a = 'C:\'"), r"C:\");
    assert_eq!(value("a = 'größe'"), "größe");
}

#[test]
fn lines_that_cannot_be_understood() {
    assert!(complaint("a = 'open").contains("line 1: a: the closing quote is missing"));
    assert!(complaint("port =").contains("port has no value"));
    assert!(complaint("port").contains("port has no value"));
    assert!(complaint("port = 1 2").contains("port: more follows"));
    assert!(complaint("= 1").contains("does not begin with the name"));
    assert!(complaint("9port = 1").contains("does not begin with the name"));
}

#[test]
fn includes_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("pgpool.conf", "port = 1\ninclude 'more.conf'\nmax_pool = 2\n");
    write("more.conf", "\nport = 3\n");
    let mut report = Report::default();
    let assignments = read(&folder.path().join("pgpool.conf"), &mut report).unwrap();
    let shown: Vec<String> =
        assignments.iter().map(|a| format!("{}: {} = {}", a.place, a.key, a.value)).collect();
    assert_eq!(shown, ["line 1: port = 1", "more.conf line 2: port = 3", "line 3: max_pool = 2"]);

    write("more.conf", "include 'pgpool.conf'\n");
    let error = read(&folder.path().join("pgpool.conf"), &mut report).unwrap_err();
    assert!(error.to_string().contains("too deeply"), "{error}");
    write("more.conf", "include 'nowhere.conf'\n");
    let error = read(&folder.path().join("pgpool.conf"), &mut report).unwrap_err();
    assert!(error.to_string().contains("cannot read") && error.to_string().contains("nowhere.conf"));
}
