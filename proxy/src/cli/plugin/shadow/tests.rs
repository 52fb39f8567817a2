use super::*;

#[test]
fn shares() {
    assert_eq!(share("10%"), Ok(0.1));
    assert_eq!(share("0.25"), Ok(0.25));
    assert_eq!(share("100%"), Ok(1.0));
    assert!(share("10").is_err());
    assert!(share("101%").is_err());
    assert!(share("-1%").is_err());
    assert!(share("many").is_err_and(|wrong| wrong.contains("10%")));
}
