use super::*;

#[test]
fn whole_numbers_as_numeric_send_has_them() {
    assert_eq!(numeric_bytes(0), [0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(numeric_bytes(7), [0, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
    // 1 0000
    assert_eq!(numeric_bytes(10_000), [0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn formats_are_for_all_columns_or_for_each() {
    use Format::{Binary, Text};
    assert_eq!(format_of(&[], 3), Text);
    assert_eq!(format_of(&[Binary], 3), Binary);
    assert_eq!(format_of(&[Text, Binary], 1), Binary);
    assert_eq!(format_of(&[Text, Binary], 2), Text);
}

#[test]
fn what_is_too_large_is_the_largest() {
    assert_eq!(as_binary(&Value::Number(u64::MAX), Kind::Int4), Some(i32::MAX.to_be_bytes().to_vec()));
    assert_eq!(as_binary(&Value::Null, Kind::Int8), None);
    assert_eq!(as_binary(&Value::from("x"), Kind::Text), Some(b"x".to_vec()));
}
