//! What became of each parameter, for people to read.

use std::fmt;

/// Lines by the outcome; one a parameter.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<(Group, String)>,
}

/// In the order in which they are printed: what matters most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Wrong,
    Unknown,
    Attention,
    Changed,
    Unsupported,
    Needless,
}

const GROUPS: [(Group, &str); 6] = [
    (Group::Wrong, "Could not be read"),
    (Group::Unknown, "Unknown to Pgpool-II, left out"),
    (Group::Attention, "Needs your decision"),
    (Group::Changed, "Carried over with a difference"),
    (Group::Unsupported, "Not supported yet, left out"),
    (Group::Needless, "Has no meaning here, left out"),
];

// === impl Report ===

impl Report {
    /// `what` became of `name`: a parameter, or a place in a file.
    pub fn add(&mut self, group: Group, name: &str, what: impl fmt::Display) {
        self.lines.push((group, format!("{name}: {what}")));
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    #[cfg(test)]
    pub fn lines(&self, wanted: Group) -> Vec<&str> {
        self.lines.iter().filter(|(group, _)| *group == wanted).map(|(_, line)| line.as_str()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (wanted, title) in GROUPS {
            let mut lines = self.lines.iter().filter(|(group, _)| *group == wanted).peekable();
            if lines.peek().is_some() {
                writeln!(f, "{title}:")?;
            }
            for (_, line) in lines {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
