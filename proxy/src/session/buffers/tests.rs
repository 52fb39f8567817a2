use super::*;

#[test]
fn a_buffer_goes_from_one_to_the_next() {
    let mut first = Vec::new();
    fill(&mut first, b"SELECT 1");
    let at = first.as_ptr();
    lay_down(&mut first);
    assert_eq!(first.capacity(), 0);
    let mut second = Vec::new();
    fill(&mut second, b"SELECT 2");
    assert_eq!((second.as_slice(), second.as_ptr()), (&b"SELECT 2"[..], at));
}

#[test]
fn nothing_to_append_takes_no_buffer() {
    let mut some = Vec::with_capacity(8);
    lay_down(&mut some);
    let mut none = Vec::new();
    fill(&mut none, b"");
    assert_eq!(none.capacity(), 0);
}

#[test]
fn a_long_buffer_is_not_kept() {
    let mut long = Vec::new();
    fill(&mut long, &[b'x'; LONGEST + 1]);
    lay_down(&mut long);
    assert_eq!((long.capacity(), BYTES.with_borrow(Vec::len)), (0, 0));
}

#[test]
fn no_more_are_kept_than_are_of_use() {
    for _ in 0..2 * SPARES {
        lay_down(&mut vec![1]);
    }
    assert_eq!(BYTES.with_borrow(Vec::len), SPARES);
}
