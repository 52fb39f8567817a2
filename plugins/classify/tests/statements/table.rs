//! `statements.txt`: texts, and the verdict for each.
//!
//! A line `@ {…}` is the configuration for the lines below it, as JSON; `#`
//! begins a comment. Other lines are `verdict | text`, where `\\n`, `\\t`,
//! `\\r`, `\\f` in the text are what they are in C, and `\\e` is nothing.

use waypool_plugin_sdk::Verdict;

pub struct Case {
    /// As JSON
    pub configuration: &'static str,
    pub verdict: &'static str,
    pub text: String,
}

/// All lines.
pub fn cases() -> Vec<Case> {
    let mut configuration = "{}";
    let mut cases = Vec::new();
    for line in include_str!("statements.txt").lines() {
        if let Some(json) = line.strip_prefix("@ ") {
            configuration = json;
        } else if !line.is_empty() && !line.starts_with('#') {
            let Some((verdict, text)) = line.split_once(" | ") else {
                panic!("neither case nor comment: {line}")
            };
            cases.push(Case { configuration, verdict, text: unescaped(text) });
        }
    }
    cases
}

fn unescaped(text: &str) -> String {
    let escapes = [("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\f", "\x0c"), ("\\e", "")];
    escapes.iter().fold(text.to_owned(), |text, (escape, meaning)| text.replace(escape, meaning))
}

/// A verdict in the words of the table.
pub fn summary(verdict: &Verdict) -> String {
    let word = |debug: String| debug.rsplit("::").next().unwrap_or_default().to_lowercase();
    let mut line = format!(
        "{:7} {:5} {}",
        word(format!("{:?}", verdict.servers)),
        word(format!("{:?}", verdict.depends)),
        word(format!("{:?}", verdict.kind)),
    );
    for (name, _) in verdict.effects.iter_names() {
        line += &format!(" +{}", name.to_lowercase());
    }
    for (what, names) in [
        ("name", verdict.name.as_slice()),
        ("reads", &verdict.reads),
        ("writes", &verdict.writes),
        ("calls", &verdict.functions),
    ] {
        if !names.is_empty() {
            line += &format!(" {what}={}", names.join(","));
        }
    }
    line
}
