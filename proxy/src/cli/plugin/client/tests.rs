#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn addresses() {
    let parse = |address| Place::parse(address).unwrap();
    assert_eq!(parse("unix:/tmp/x"), Place::Unix("/tmp/x".into()));
    let tcp = |host: &str, port, tls| Place::Tcp { host: host.to_owned(), port, tls };
    assert_eq!(parse("https://db1:9998"), tcp("db1", 9998, true));
    assert_eq!(parse("https://[2001:db8::7]:9998/"), tcp("2001:db8::7", 9998, true));
    assert_eq!(parse("http://127.0.0.1:9998"), tcp("127.0.0.1", 9998, false));
}

#[test]
fn wrong_addresses_say_what_to_write() {
    let wrong = |address| Place::parse(address).unwrap_err().to_string();
    assert!(wrong("db1:9998").contains("write unix:/path or https://host:port"));
    assert!(wrong("https://db1").contains("write the port too"));
    assert!(wrong("http://db1:9998").contains("write https://db1:9998"));
}
