#![allow(clippy::unwrap_used)]

use super::*;

fn rules(lines: &[&str]) -> Rules {
    Rules::parse(lines.iter().copied()).unwrap()
}

fn from(address: &str) -> Peer {
    Peer { address: Some(address.parse().unwrap()), local: Some("10.0.0.1".parse().unwrap()), tls: false }
}

const SOCKET: Peer = Peer { address: None, local: None, tls: false };

const SCRAM: Option<Action> = Some(Action::Authenticate(Method::ScramSha256));

#[test]
fn the_first_match_wins() {
    let rules = rules(&[
        "# TYPE DATABASE USER ADDRESS METHOD",
        "local all all trust",
        "",
        "host app alice 10.0.0.0/8 scram-sha-256 # staff",
        "host all all 10.1.0.0/16 reject",
        "host all all 0.0.0.0/0 md5",
    ]);
    assert_eq!(rules.len(), 4);
    assert_eq!(rules.matches(&SOCKET, Some("x"), "y"), Some(Action::Authenticate(Method::Trust)));
    assert_eq!(rules.matches(&from("10.1.2.3"), Some("app"), "alice"), SCRAM);
    assert_eq!(rules.matches(&from("10.1.2.3"), Some("app"), "bob"), Some(Action::Reject));
    assert_eq!(
        rules.matches(&from("192.0.2.1"), Some("app"), "alice"),
        Some(Action::Authenticate(Method::Md5))
    );
    assert_eq!(rules.matches(&from("2001:db8::1"), Some("app"), "alice"), None);
}

#[test]
fn refusals_use_postgresqls_words() {
    let rules = rules(&["local all all reject", "hostssl all all all trust"]);
    let error = rules.method(&from("10.0.0.9"), Some("app"), "alice").unwrap_err();
    assert_eq!(error.sqlstate, "28000");
    assert_eq!(
        error.message,
        "no entry in Waypool's hba rules for host \"10.0.0.9\", user \"alice\", \
         database \"app\", no encryption"
    );
    let error = rules.method(&SOCKET, Some("app"), "alice").unwrap_err();
    assert!(error.message.starts_with("Waypool's hba rules reject connection for host \"[local]\""));
    let tls = Peer { tls: true, ..from("10.0.0.9") };
    assert_eq!(rules.method(&tls, Some("app"), "alice"), Ok(Method::Trust));
}

#[test]
fn encryption_decides() {
    let peer = from("10.0.0.9");
    let tls = Peer { tls: true, ..peer };
    for (kind, plain, encrypted) in [
        ("host", true, true),
        ("hostssl", false, true),
        ("hostnossl", true, false),
        ("hostnogssenc", true, true),
    ] {
        let rules = rules(&[&format!("{kind} all all all scram-sha-256")]);
        assert_eq!(rules.matches(&peer, Some("d"), "u").is_some(), plain, "{kind}");
        assert_eq!(rules.matches(&tls, Some("d"), "u").is_some(), encrypted, "{kind}");
        assert_eq!(rules.matches(&SOCKET, Some("d"), "u"), None);
    }
}

#[test]
fn addresses() {
    let matches = |address: &str, client: &str| {
        let rules = rules(&[&format!("host all all {address} scram-sha-256")]);
        rules.matches(&from(client), Some("d"), "u").is_some()
    };
    assert!(matches("192.0.2.77/24", "192.0.2.1"));
    assert!(matches("192.0.2.0 255.255.255.0", "192.0.2.1"));
    assert!(!matches("192.0.2.0 255.255.255.0", "192.0.3.1"));
    assert!(matches("192.0.2.1/32", "::ffff:192.0.2.1"));
    assert!(matches("2001:db8::/32", "2001:db8:1::1"));
    assert!(matches("2001:db8:: ffff:ffff::", "2001:db8:1::1"));
    assert!(!matches("0.0.0.0/0", "2001:db8::1"));
    assert!(matches("all", "2001:db8::1"));
    assert!(matches("samehost", "10.0.0.1") && matches("samehost", "::1"));
    assert!(!matches("samehost", "10.0.0.2"));
}

#[test]
fn names() {
    let matches = |databases: &str, users: &str, database: &str, user: &str| {
        let rules = rules(&[&format!("local {databases} {users} scram-sha-256")]);
        rules.matches(&SOCKET, Some(database), user).is_some()
    };
    assert!(matches("a,b, c", "u", "c", "u"));
    assert!(!matches("a,b", "u", "c", "u"));
    assert!(matches("sameuser", "all", "alice", "alice"));
    assert!(!matches("sameuser", "all", "app", "alice"));
    // In quotes a keyword is a name.
    assert!(!matches("\"all\"", "all", "app", "alice"));
    assert!(matches("\"all\"", "all", "all", "alice"));
    assert!(matches("\"my db\"", "\"a\"\"b\"", "my db", "a\"b"));
    assert!(matches("all", "\"+ops\"", "app", "+ops"));
    assert!(matches("/^db\\d+$", "all", "db42", "alice"));
    assert!(!matches("/^db\\d+$", "all", "db", "alice"));
    assert!(matches("all", "\"/^(a|b), x$\"", "app", "b, x"));
    assert!(!matches("replication", "all", "replication", "alice"));
    assert!(!matches("ALL", "all", "app", "alice"));
}

#[test]
fn errors_name_the_line_and_what_to_write() {
    let message = |line: &str| Rules::parse(["# one", line]).unwrap_err().to_string();
    assert!(message("tcp all all all trust").starts_with("hba rule in line 2: unknown type"));
    for (line, expected) in [
        ("local all", "too few fields"),
        ("local all all", "method is missing"),
        ("host all all", "address is missing"),
        ("host all all all", "method is missing"),
        ("host all all db.example.com trust", "host names are not supported"),
        ("host all all samenet trust", "write the network"),
        ("host all all 10.0.0.1 trust", "10.0.0.1/32"),
        ("host all all ::1 trust", "::1/128"),
        ("host all all 10.0.0.0/33 trust", "is not a network"),
        ("host all all 10.0.0.0 255.0.255.0 trust", "is not a mask"),
        ("host all all 10.0.0.0 ffff:: trust", "is not a mask"),
        ("host all +ops all trust", "list the users"),
        ("host samerole all all trust", "list the databases"),
        ("host @dbs all all trust", "list the databases"),
        ("host all all all peer", "write scram-sha-256"),
        ("host all all all cert clientcert=verify-full", "not supported"),
        ("host all all all md5 clientcert=verify-ca", "option \"clientcert=verify-ca\""),
        ("host all all all md5,trust", "cannot be a list"),
        ("host all /( all md5", "invalid regular expression"),
        ("host \"all all all md5", "closing quote"),
        ("host all a, \\", "one line"),
        ("host all all all md5,", "ends with a comma"),
        (", host", "begin with a comma"),
        ("hostgssenc all all all md5", "remove the rule"),
    ] {
        assert!(message(line).contains(expected), "{line}: {}", message(line));
    }
}

#[test]
fn physical_replication_has_a_keyword_of_its_own() {
    let rules = Rules::parse(["local all,sameuser all trust", "local \"replication\" all trust"]).unwrap();
    assert_eq!(rules.matches(&SOCKET, None, "alice"), None);
    let error = rules.method(&SOCKET, None, "alice").unwrap_err();
    assert_eq!(
        error.message,
        "no entry in Waypool's hba rules for replication connection from host \"[local]\", user \"alice\", \
         no encryption"
    );
    let rules = Rules::parse(["local app,replication alice md5", "local replication all reject"]).unwrap();
    assert_eq!(rules.method(&SOCKET, None, "alice"), Ok(Method::Md5));
    let error = rules.method(&SOCKET, None, "bob").unwrap_err();
    assert!(error.message.starts_with("Waypool's hba rules reject replication connection for host"));
    // Logical replication is of a database.
    assert_eq!(rules.matches(&SOCKET, Some("other"), "alice"), None);
}
