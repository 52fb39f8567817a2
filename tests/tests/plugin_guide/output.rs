//! Compares what a command has printed with what the guide says it prints.

/// What is left out in the guide: in a line, or whole lines.
const LEFT_OUT: &str = "…";

/// Says what is missing, if something is. Empty lines do not count, nor do
/// spaces at the end of lines.
pub fn compare(expected: &str, printed: &str, about: bool) -> Result<(), String> {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| if about { roughly(line) } else { line.trim_end().to_owned() });
        lines.filter(|line| !line.is_empty()).collect()
    };
    let (expected, printed) = (lines(expected), lines(printed));
    let mut rest = printed.as_slice();
    let mut may_skip = false;
    for line in &expected {
        if line == LEFT_OUT {
            may_skip = true;
            continue;
        }
        let found = rest.iter().position(|printed| is_like(line, printed));
        match found {
            Some(place) if place == 0 || may_skip => rest = &rest[place + 1..],
            _ => return Err(line.clone()),
        }
        may_skip = false;
    }
    match rest.first().filter(|_| !may_skip) {
        Some(line) => Err(format!("nothing more, and not: {line}")),
        None => Ok(()),
    }
}

/// `…` stands for anything.
fn is_like(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split(LEFT_OUT);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(place) = rest.find(part) else {
            return false;
        };
        rest = &rest[place + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last.is_some_and(|last| last.is_empty() || printed.ends_with(last))
}

/// Words with a digit in them become `0`, spaces one space: times, sizes,
/// digests and the width of columns are others on each machine.
fn roughly(line: &str) -> String {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == ',';
    let mut rough = String::new();
    for word in line.split_whitespace() {
        if !rough.is_empty() {
            rough.push(' ');
        }
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let length = rest.find(|c| is_inside(c) != is_inside(first)).unwrap_or(rest.len());
            let (part, behind) = rest.split_at(length);
            rough.push_str(if part.contains(|c: char| c.is_ascii_digit()) { "0" } else { part });
            rest = behind;
        }
    }
    rough
}

#[test]
fn outputs_are_compared_as_people_read_them() {
    let printed = "made  guard.wasm\n\nsize  162,980 bytes\nsha256  b0144107\ndone\n";
    let is = |expected: &str, about| compare(expected, printed, about).is_ok();
    assert!(is(printed, false));
    assert!(is("…\nsha256  …\ndone", false));
    assert!(is("made  …wasm\n…", false));
    assert!(is("made guard.wasm\nsize 9 bytes\nsha256 77aa\ndone", true));
    assert!(!is("made guard.wasm\nsize 9 bytes\nsha256 77aa\ndone", false));
    assert!(!is("made  guard.wasm\ndone", false), "lines are left out without saying so");
    assert!(!is("made  guard.wasm", false), "there is more");
    assert!(!is("…\nbroken\n…", false));
}
