use super::*;

#[test]
fn steps_are_whole_numbers() {
    let row = |name: &str, steps: Option<&str>| vec![Some(name.to_owned()), steps.map(str::to_owned)];
    let rows = vec![row("a", Some("7.0000000000000000")), row("b", None), row("c", Some("-3"))];
    assert_eq!(steps_of(&rows, "a"), 7);
    assert_eq!(steps_of(&rows, "b"), 0, "never asked for a number");
    assert_eq!(steps_of(&rows, "c"), -3, "set below its start");
    assert_eq!(steps_of(&rows, "nosuch"), 0);
}
