//! The fenced blocks of the guide, and what a reader does with each.
//!
//! | opened by | |
//! |---|---|
//! | `sh run` | a command; it has to succeed |
//! | `sh run fails` | it has to fail |
//! | `sh run background` | it goes on until the end of the guide |
//! | `sh once` | what whoever runs the tests has done before |
//! | `text` | what the command before has to print; with `about`, numbers may be others |
//! | `… file=PATH` | a file, with this content |
//! | `diff file=PATH` | a change of that file |
//!
//! Paths begin where the guide begins. Other blocks are only looked at.

/// A fenced block.
#[derive(Debug, Clone, Copy)]
pub struct Block<'g> {
    /// The line that opens it.
    pub line: usize,
    language: &'g str,
    words: &'g str,
    pub text: &'g str,
}

impl<'g> Block<'g> {
    fn has(&self, word: &str) -> bool {
        self.words.split_whitespace().any(|known| known == word)
    }

    fn file(&self) -> Option<&'g str> {
        self.words.split_whitespace().find_map(|word| word.strip_prefix("file="))
    }
}

/// What a reader does next.
#[derive(Debug)]
pub struct Step<'g> {
    pub line: usize,
    pub what: What<'g>,
}

#[derive(Debug)]
pub enum What<'g> {
    Run { script: &'g str, succeeds: bool, printed: Option<Printed<'g>> },
    Background { script: &'g str, printed: Option<Printed<'g>> },
    Write { file: &'g str, content: &'g str },
    Change { file: &'g str, before: String, after: String },
}

/// What a command has to print.
#[derive(Debug, Clone, Copy)]
pub struct Printed<'g> {
    pub line: usize,
    pub text: &'g str,
    /// Numbers may be others.
    pub about: bool,
}

pub fn steps(guide: &str) -> Vec<Step<'_>> {
    let blocks = blocks(guide);
    let mut steps = Vec::new();
    for (place, block) in blocks.iter().enumerate() {
        let printed = blocks.get(place + 1).filter(|next| next.language == "text").map(|next| Printed {
            line: next.line,
            text: next.text,
            about: next.has("about"),
        });
        if let Some(what) = what(block, printed) {
            steps.push(Step { line: block.line, what });
        }
        let is_output = block.language == "text";
        let after_command = place > 0 && blocks[place - 1].has("run");
        assert!(!is_output || after_command, "line {}: the output of no command", block.line);
    }
    steps
}

fn what<'g>(block: &Block<'g>, printed: Option<Printed<'g>>) -> Option<What<'g>> {
    let script = block.text;
    match (block.language, block.file()) {
        ("sh", _) if block.has("background") => Some(What::Background { script, printed }),
        ("sh", _) if block.has("run") => Some(What::Run { script, succeeds: !block.has("fails"), printed }),
        ("sh", _) => {
            assert!(block.has("once"), "line {}: a command that no test runs", block.line);
            None
        }
        ("diff", Some(file)) => {
            // What stays begins with a space, which editors like to remove.
            let of = |gone: char| {
                let lines = block.text.lines().filter(|line| !line.starts_with(gone));
                lines.map(|line| line.get(1..).unwrap_or_default().to_owned() + "\n").collect()
            };
            Some(What::Change { file, before: of('+'), after: of('-') })
        }
        (_, Some(file)) => Some(What::Write { file, content: block.text }),
        _ => None,
    }
}

fn blocks(guide: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str, usize)> = None;
    let mut at = 0;
    for (number, line) in guide.split_inclusive('\n').enumerate() {
        let next = at + line.len();
        match (open, line.trim_end().strip_prefix("```")) {
            (None, Some(words)) => open = Some((number + 1, words, next)),
            (Some((line, words, begin)), Some("")) => {
                let (language, words) = words.split_once(' ').unwrap_or((words, ""));
                blocks.push(Block { line, language, words, text: &guide[begin..at] });
                open = None;
            }
            _ => {}
        }
        at = next;
    }
    assert!(open.is_none(), "a block is not closed: {open:?}");
    blocks
}

/// Where links to other files of the repository lead, without the part of the
/// page.
pub fn links(guide: &str) -> impl Iterator<Item = &str> {
    let targets = guide.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let files = targets.filter_map(|(target, _)| target.split('#').next());
    files.filter(|file| !file.is_empty() && !file.contains("://"))
}
