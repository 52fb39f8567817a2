//! Carrying the rewriters' edits out on a text.

use super::values::{Filled, Gap};
use crate::plugin::contract::{Edit, Value};
use waypool_scan::{TokenKind, Tokens};

/// An edited text, with gaps for what is known only when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Gap(Gap),
}

impl Piece {
    fn sample(&self) -> String {
        match self {
            Piece::Text(text) => text.clone(),
            Piece::Gap(gap) => gap.sample(),
        }
    }
}

impl Template {
    pub fn new(text: &str) -> Self {
        Template(vec![Piece::Text(text.to_owned())])
    }

    /// The text with its gaps filled by something of the same form: what the
    /// next rewriter and the classifiers see.
    pub fn sample(&self) -> String {
        self.0.iter().map(Piece::sample).collect()
    }

    /// The text for people.
    pub fn shown(&self) -> String {
        self.with(|_, gap| gap.shown())
    }

    fn with(&self, mut gap_of: impl FnMut(usize, &Gap) -> String) -> String {
        let mut number = 0;
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Gap(gap) => {
                number += 1;
                gap_of(number - 1, gap)
            }
        });
        pieces.collect()
    }

    /// These edits of the [`Template::sample`], which are inside it, in order
    /// and apart, on character boundaries (the plugin host has seen to that).
    pub fn edit(&self, edits: &[Edit]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for edit in edits {
            self.copy(at, edit.start as usize, &mut pieces)?;
            pieces.push(match &edit.value {
                Value::Literal(literal) => Piece::Text(literal.clone()),
                Value::StatementTimestamp => Piece::Gap(Gap::StatementTimestamp),
                Value::TransactionTimestamp => Piece::Gap(Gap::TransactionTimestamp),
                Value::Evaluated(evaluation) => Piece::Gap(Gap::Evaluated(evaluation.clone())),
            });
            at = edit.end as usize;
        }
        self.copy(at, usize::MAX, &mut pieces)?;
        Ok(Template(pieces))
    }

    /// What stands between two places of the sample.
    fn copy(&self, from: usize, to: usize, out: &mut Vec<Piece>) -> Result<(), String> {
        let mut begin = 0;
        for piece in &self.0 {
            let sample = piece.sample();
            let end = begin + sample.len();
            let (first, last) = (from.max(begin), to.min(end));
            if first < last {
                let kept = sample.get(first - begin..last - begin);
                match (piece, kept) {
                    (Piece::Text(_), Some(kept)) => out.push(Piece::Text(kept.to_owned())),
                    (_, Some(kept)) if kept.len() == sample.len() => out.push(piece.clone()),
                    _ => return Err("an edit cuts through what an earlier rewriter put in".to_owned()),
                }
            }
            begin = end;
        }
        Ok(())
    }

    /// What has to be put in, in the order of the text.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Gap(gap) => Some(gap),
        })
    }

    /// The text, if it has no gaps.
    pub fn fixed(&self) -> Option<String> {
        self.gaps().next().is_none().then(|| self.sample())
    }

    /// The text as it is sent now; a value for each gap.
    pub fn fill(&self, values: &[Filled]) -> String {
        self.with(|number, _| values.get(number).map_or_else(|| "NULL".to_owned(), Filled::literal))
    }

    /// The text to be prepared: the gaps are parameters behind the client's own,
    /// of which there are so many.
    pub fn parameters(&self, own: usize) -> String {
        self.with(|number, gap| gap.parameter(own + number + 1))
    }

    /// How many parameters the client means its text to have: those named, or
    /// as many as it has `declared`, or the text of a PREPARE has.
    pub fn own_parameters(&self, declared: usize) -> usize {
        let sample = self.sample();
        named_parameters(&sample).max(declared).max(declared_by_prepare(&sample))
    }
}

/// The highest number of a parameter.
fn named_parameters(text: &str) -> usize {
    let parameters = Tokens::new(text).filter(|token| token.kind == TokenKind::Parameter);
    let numbers = parameters.filter_map(|token| token.text(text).get(1..)?.parse().ok());
    numbers.max().unwrap_or(0)
}

/// The types in `PREPARE name (int, numeric(5,2)) AS`.
fn declared_by_prepare(text: &str) -> usize {
    let mut tokens = Tokens::new(text);
    let prepares = tokens.next_solid().is_some_and(|first| first.text(text).eq_ignore_ascii_case("prepare"));
    let name = tokens.next_solid();
    let open = tokens.next_solid().filter(|token| token.kind == TokenKind::ParenOpen);
    if !prepares || name.is_none() || open.is_none() {
        return 0;
    }
    let (mut depth, mut types) = (1, 1);
    while depth > 0
        && let Some(token) = tokens.next_solid()
    {
        match token.kind {
            TokenKind::ParenOpen => depth += 1,
            TokenKind::ParenClose => depth -= 1,
            TokenKind::Comma if depth == 1 => types += 1,
            _ => {}
        }
    }
    types
}

/// An EXECUTE of `name` (as PostgreSQL folds it), by itself or within another
/// statement, with further arguments. `None`: there is none in the text.
pub fn execute_with(text: &str, name: &str, values: &[Filled]) -> Option<String> {
    let tokens: Vec<_> = Tokens::new(text).filter(|token| !token.kind.is_trivia()).collect();
    let executes = |at: &usize| {
        let word =
            tokens[*at].kind == TokenKind::Word && tokens[*at].text(text).eq_ignore_ascii_case("execute");
        let named = tokens.get(at + 1).map(|token| (token.kind, token.text(text)));
        word && match named {
            Some((TokenKind::Word, word)) => word.to_ascii_lowercase() == name,
            Some((TokenKind::QuotedIdentifier, quoted)) => {
                quoted.get(1..quoted.len() - 1).is_some_and(|inner| inner.replace("\"\"", "\"") == name)
            }
            _ => false,
        }
    };
    let at = (0..tokens.len()).rev().find(executes)?;
    let added: Vec<_> = values.iter().map(Filled::literal).collect();
    let added = added.join(", ");
    if tokens.get(at + 2).is_none_or(|token| token.kind != TokenKind::ParenOpen) {
        let (before, behind) = text.split_at(tokens[at + 1].end);
        return Some(format!("{before} ({added}){behind}"));
    }
    let mut depth = 0usize;
    let close = tokens[at + 2..].iter().find(|token| {
        match token.kind {
            TokenKind::ParenOpen => depth += 1,
            TokenKind::ParenClose => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })?;
    let (before, behind) = text.split_at(close.start);
    Some(format!("{before}, {added}{behind}"))
}
