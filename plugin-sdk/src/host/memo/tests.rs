#![allow(clippy::unwrap_used)]

use super::Memo;

/// Asks, and says whether it had to.
fn get(memo: &mut Memo<u32>, schema: Option<&str>, name: &str, fact: u32) -> (u32, bool) {
    let mut asked = false;
    let fact = memo.get(
        schema,
        name,
        |fact| *fact != 0,
        || {
            asked = true;
            fact
        },
    );
    (fact, asked)
}

#[test]
fn a_fact_is_asked_for_once_in_each_epoch() {
    let mut memo = Memo::new();
    memo.follow(1);
    assert_eq!(get(&mut memo, None, "a", 5), (5, true));
    assert_eq!(get(&mut memo, None, "a", 6), (5, false));
    assert_eq!(get(&mut memo, Some("s"), "a", 7), (7, true));
    assert_eq!(get(&mut memo, Some("s"), "a", 8), (7, false));
    memo.follow(1);
    assert_eq!(get(&mut memo, None, "a", 6), (5, false));
    memo.follow(2);
    assert_eq!(get(&mut memo, None, "a", 6), (6, true));
}

#[test]
fn what_is_not_known_is_asked_for_again() {
    let mut memo = Memo::new();
    assert_eq!(get(&mut memo, None, "a", 0), (0, true));
    assert_eq!(get(&mut memo, None, "a", 3), (3, true));
    assert_eq!(get(&mut memo, None, "a", 4), (3, false));
}

#[test]
fn memory_is_bounded() {
    let mut memo = Memo::new();
    for number in 1..=5_000 {
        get(&mut memo, None, &number.to_string(), number);
        assert!(memo.facts.len() <= super::MAX_FACTS);
    }
}
