use super::{nearest, one_of};

#[test]
fn nearest_finds_slips_only() {
    assert_eq!(nearest("prot", &["port", "hba"]), Some("port"));
    assert_eq!(nearest("ssl_crt", &["ssl_cert", "ssl_key"]), Some("ssl_cert"));
    assert_eq!(nearest("colour", &["port", "hba"]), None);
}

#[test]
fn one_of_reads_as_a_sentence() {
    assert_eq!(one_of(&["a"]), "\"a\"");
    assert_eq!(one_of(&["a", "b"]), "\"a\" or \"b\"");
    assert_eq!(one_of(&["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
}
