use super::*;

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let rows =
        [vec!["a".to_owned(), "größer".to_owned(), "x".to_owned()], vec!["bcd".to_owned(), "1".to_owned()]];
    assert_eq!(
        aligned(&["NAME", "B", "C"], &rows),
        "NAME  B       C\n\
         a     größer  x\n\
         bcd   1\n"
    );
}

#[test]
fn large_numbers_can_be_read() {
    assert_eq!(count(0), "0");
    assert_eq!(count(999), "999");
    assert_eq!(count(1_000), "1,000");
    assert_eq!(count(1_234_567), "1,234,567");
}

#[test]
fn shares_are_as_short_as_they_can_be() {
    assert_eq!(percent(0.099_999_999_986), "10%");
    assert_eq!(percent(1.0), "100%");
    assert_eq!(percent(0.125), "12.5%");
    assert_eq!(percent(0.0), "0%");
}
