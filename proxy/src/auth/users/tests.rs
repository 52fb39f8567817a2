#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;

fn parse(text: &str) -> Result<Users, UsersError> {
    let mut users = Users::default();
    users.add_text("users.txt", text)?;
    Ok(users)
}

fn accepts(users: &Users, user: &str, password: &str) -> bool {
    let secret = users.secret(user);
    secret.is_some_and(|secret| secret.accepts(user, password.as_bytes()))
}

#[test]
fn both_formats_in_one_file() {
    let text = r#"
; PgBouncer
"alice" "sesame"
"bob ""the"" builder" "with ""quotes"" and: colon" ignored
  "nobody"   ""
# Pgpool-II
carol:TEXTopen
dave:md55b3f2f2c4a0b4d1b9b2c6d2a1d0c9f3e
erin:plain:with:colons
"#;
    let users = parse(text).unwrap();
    assert_eq!(users.len(), 6);
    assert!(accepts(&users, "alice", "sesame"));
    assert!(accepts(&users, "bob \"the\" builder", "with \"quotes\" and: colon"));
    assert!(accepts(&users, "carol", "open"));
    assert!(matches!(users.secret("dave"), Some(Secret::Md5(_))));
    assert!(accepts(&users, "erin", "plain:with:colons"));
    assert!(users.contains("nobody") && users.secret("nobody").is_none());
    assert!(!users.contains("mallory"));
}

#[test]
fn errors_name_file_and_line() {
    let message = |text: &str| parse(text).unwrap_err().to_string();
    let text = "alice:TEXTx\n\nbob:AESaGVsbG8=\n";
    assert!(message(text).starts_with("users.txt line 3: user \"bob\": AES-encrypted"));
    assert!(message("alice").starts_with("users.txt line 1: expected"));
    assert!(message(":x").starts_with("users.txt line 1: expected"));
    assert!(message("\"alice").contains("user's closing quote"));
    assert!(message("\"alice\" sesame").contains("in double quotes"));
    assert!(message("\"alice\" \"sesame").contains("password's closing quote"));
    assert_eq!(
        message("alice:x\n\"alice\" \"y\""),
        "users.txt line 2: user \"alice\" is listed twice, first in users.txt line 1: \
         remove one of the two"
    );
    // The password itself is never part of an error.
    assert!(!message("a:SCRAM-SHA-256$4096:hush").contains("hush"));
}

#[test]
fn files_are_read() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "alice:TEXTsesame").unwrap();
    let mut users = Users::default();
    users.add_table("[users]", [("bob", "x")]).unwrap();
    users.add_file(file.path()).unwrap();
    assert_eq!(users.len(), 2);

    let error = users.add_file(Path::new("/nonexistent/users")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/users"), "{error}");
}
