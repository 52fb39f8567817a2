use super::Frames;

/// Two messages of five and nine bytes, one without a body.
const BYTES: &[u8] = b"c\0\0\0\x04d\0\0\0\x08wxyz";

#[test]
fn words_of_ours_stand_between_messages_only() {
    let ends = [0, 5, BYTES.len()];
    for step in 1..=BYTES.len() {
        let (mut frames, mut at) = (Frames::default(), 0);
        for part in BYTES.chunks(step) {
            assert_eq!(frames.is_between(), ends.contains(&at), "at {at}, by {step}");
            frames.count(part);
            at += part.len();
        }
        assert!(frames.is_between());
    }
}

#[test]
fn a_length_that_cannot_be_is_no_reason_to_panic() {
    let mut frames = Frames::default();
    frames.count(b"x\0\0\0\0y\xff\xff\xff\xffz");
    assert!(!frames.is_between());
}
