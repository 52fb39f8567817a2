#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::{Passwords, Report, convert, secret};

fn read(text: &str) -> (Passwords, String) {
    let mut report = Report::default();
    let passwords = convert(text, Path::new("pool_passwd"), &mut report);
    (passwords, report.to_string())
}

const MD5: &str = "md5b7e7d5a5f0b1bb7a7f0a6c7f9b2ad9c5";

#[test]
fn a_file_that_waypool_reads_itself() {
    let (passwords, report) = read(&format!("alice:{MD5}\nbob:TEXTsesame:open\ncarol:plain\n"));
    assert!(passwords.usable_file);
    assert!(report.is_empty(), "{report}");
    assert_eq!(passwords.users["alice"], MD5);
    assert_eq!(passwords.users["bob"], "sesame:open");
    assert_eq!(passwords.users["carol"], "plain");
}

#[test]
fn what_it_cannot_read_is_told() {
    let (passwords, report) =
        read("alice:AESc2VjcmV0\nbob:TEXTsesame\nbob:TEXTother\nnobody\n:x\ndora:TEXT\n");
    assert!(!passwords.usable_file);
    assert_eq!(passwords.users.len(), 1);
    assert_eq!(passwords.users["bob"], "sesame");
    assert!(report.contains("pool_passwd line 1: user alice is AES-encrypted"), "{report}");
    assert!(
        report.contains("pool_passwd line 3: user bob is listed twice: the first line counts"),
        "{report}"
    );
    assert!(report.contains("pool_passwd line 4: not USER:PASSWORD"), "{report}");
    assert!(report.contains("pool_passwd line 5: not USER:PASSWORD"), "{report}");
    assert!(report.contains("pool_passwd line 6: user dora has no password"), "{report}");
    for hidden in ["c2VjcmV0", "sesame", "other"] {
        assert!(!report.contains(hidden), "{report}");
    }
}

#[test]
fn secrets() {
    assert_eq!(secret("TEXTa"), Ok(Some("a".to_owned())));
    assert_eq!(secret("a"), Ok(Some("a".to_owned())));
    assert_eq!(secret(""), Ok(None));
    assert!(secret("AESx").is_err());
    assert!(secret(&format!("TEXT{MD5}")).is_err());
}
