//! Files that are not TOML.

use super::{mistakes_at_top, mistakes_in};
use crate::config::Config;

#[test]
fn shows_line_and_text() {
    assert_eq!(
        mistakes_at_top("port = 9999\nlisten_addresses = localhost"),
        "waypool.toml:2:20: not valid TOML: string values must be quoted, expected literal string: \
         listen_addresses = localhost"
    );
}

#[test]
fn every_broken_line_and_the_mistakes_in_the_others() {
    assert_eq!(
        mistakes_at_top("unix_socket_permissions = 0777\nprot = 1\nport 9999"),
        "waypool.toml:1:27: not valid TOML: unexpected leading zero, expected nothing: \
         unix_socket_permissions = 0777\n\
         waypool.toml:2:1: unknown key \"prot\": did you mean \"port\"?\n\
         waypool.toml:3:6: not valid TOML: key with no value, expected `=`: port 9999"
    );
}

#[test]
fn the_same_key_twice() {
    assert_eq!(
        mistakes_at_top("port = 1\nport = 2"),
        "waypool.toml:2:1: not valid TOML: duplicate key: port = 2"
    );
}

#[test]
fn an_open_bracket_is_one_mistake() {
    let mistakes = mistakes_at_top("hba = [\n  \"local all all trust\",\nprot = 1");
    assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
    assert!(mistakes.starts_with("waypool.toml:3:"), "{mistakes}");
}

#[test]
fn secrets_are_not_shown() {
    for text in [
        "sr_check_password = hush",
        "[users]\n# [comment]\nalice = hush",
        "[users]\nalice = \"hush",
        "users = { alice = hush }",
        "users.alice = hush",
    ] {
        let mistakes = mistakes_in(text);
        assert!(mistakes.contains("not valid TOML"), "{mistakes}");
        assert!(!mistakes.contains("hush"), "{mistakes}");
    }
}

#[test]
fn nothing_at_all() {
    let mistakes = mistakes_in("");
    assert!(mistakes.contains("there is no [[backend]]"), "{mistakes}");
}

/// Whatever an editor leaves behind is answered, not a panic.
#[test]
fn any_part_of_the_example_gets_an_answer() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/waypool.toml");
    let text = std::fs::read_to_string(path).unwrap().replace("\n#", "\n");
    for end in (0..text.len()).step_by(41).filter(|end| text.is_char_boundary(*end)) {
        let _ = Config::parse(&text[..end], "waypool.toml");
        let _ = Config::parse(&text[end..], "waypool.toml");
    }
}
