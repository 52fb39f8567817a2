#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn version_is_read_from_what_postgres_prints() {
    let line = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
    assert_eq!(parse_major_version(line), Some(15));
    assert_eq!(parse_major_version("postgres (PostgreSQL) 18beta1"), Some(18));
    assert_eq!(parse_major_version("command not found"), None);
}

#[test]
fn a_folder_without_postgresql_is_refused_with_advice() {
    let error = Installation::at(Path::new("/")).unwrap_err().to_string();
    assert!(error.contains("apt-get install"), "{error}");
}
