use super::*;

#[test]
fn positions_are_read_and_written_as_postgresql_does() {
    for (text, position) in
        [("16/B374D848", 0x16_b374_d848), ("0/0", 0), ("FFFFFFFF/1", 0xffff_ffff_0000_0001)]
    {
        assert_eq!(parse(text), Some(position));
        assert_eq!(show(position), text);
    }
    for text in ["nonsense", "", "1", "1/", "/1", "1/2/3", "1/100000000", "-1/0", "g/0"] {
        assert_eq!(parse(text), None, "{text}");
    }
}
