use super::*;

fn heard(messages: &[(u8, &[u8])]) -> Heard {
    let messages = messages.iter().map(|(tag, body)| Message { tag: *tag, body: body.to_vec() });
    Heard { messages: messages.collect(), ended: None }
}

#[test]
fn what_is_the_same_differs_nowhere() {
    let one = heard(&[(b'K', b"pid1key1"), (b'Z', b"I"), (b'C', b"SELECT 1\0"), (b'Z', b"I")]);
    let other = heard(&[(b'K', b"pid2key2"), (b'Z', b"I"), (b'C', b"SELECT 1\0"), (b'Z', b"I")]);
    assert_eq!(difference(&one, &other), "");
}

#[test]
fn a_byte_a_message_and_an_end_make_a_difference() {
    let one = heard(&[(b'Z', b"I"), (b'C', b"SELECT 1\0"), (b'Z', b"I")]);
    for other in [
        heard(&[(b'Z', b"I"), (b'C', b"SELECT 2\0"), (b'Z', b"I")]),
        heard(&[(b'Z', b"I"), (b'C', b"SELECT 1\0"), (b'Z', b"T")]),
        heard(&[(b'Z', b"I"), (b'C', b"SELECT 1\0")]),
        heard(&[(b'Z', b"I"), (b'C', b"SELECT 1\0"), (b'Z', b"I"), (b'Z', b"I")]),
        Heard {
            ended: Some("(closed)".to_owned()),
            ..heard(&[(b'Z', b"I"), (b'C', b"SELECT 1\0"), (b'Z', b"I")])
        },
    ] {
        assert_ne!(difference(&one, &other), "", "{other:?}");
    }
}

#[test]
fn a_long_message_differs_in_its_last_byte() {
    let long = |last: u8| heard(&[(b'Z', b"I"), (b'D', &[&[7; 10_000][..], &[last]].concat())]);
    assert_eq!(difference(&long(1), &long(1)), "");
    assert_ne!(difference(&long(1), &long(2)), "");
}

#[test]
fn only_an_error_of_the_proxys_own_may_be_without_its_place_in_the_source() {
    let with = heard(&[(b'E', b"SERROR\0C22012\0Fa.c\0L1\0\0")]);
    let without = heard(&[(b'E', b"SERROR\0C22012\0\0")]);
    let elsewhere = heard(&[(b'E', b"SERROR\0C22012\0Fa.c\0L2\0\0")]);
    let another = heard(&[(b'E', b"SERROR\0C22013\0\0")]);
    assert_eq!(difference(&with, &without), "");
    assert_ne!(difference(&without, &with), "");
    assert_ne!(difference(&with, &elsewhere), "");
    assert_ne!(difference(&with, &another), "");
}

#[test]
fn new_tables_are_compared_by_their_order() {
    let column = |table: u32| [b"\0\x01n\0", &table.to_be_bytes()[..], &[0; 14]].concat();
    let told = |tables: &[u32]| {
        let bodies: Vec<Vec<u8>> = tables.iter().map(|table| column(*table)).collect();
        let messages: Vec<(u8, &[u8])> = bodies.iter().map(|body| (b'T', &body[..])).collect();
        heard(&messages)
    };
    assert_eq!(difference(&told(&[20_000, 20_001, 20_000]), &told(&[30_000, 30_005, 30_000])), "");
    assert_ne!(difference(&told(&[20_000, 20_001, 20_000]), &told(&[30_000, 30_005, 30_005])), "");
    assert_ne!(difference(&told(&[1_259]), &told(&[1_260])), "");
}
