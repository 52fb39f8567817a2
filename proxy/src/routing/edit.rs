//! Carrying the rewriters' edits out on a text.

use crate::plugin::contract::{Edit, Value};
use std::time::SystemTime;

/// The moments that an edit may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    pub transaction: SystemTime,
    pub statement: SystemTime,
}

/// An edited text, with gaps for what is known only when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    StatementTimestamp,
    TransactionTimestamp,
}

/// Stands in a gap for those who look at the text before it is sent.
const SAMPLE: &str = "'2000-01-01 00:00:00.000000+00'::pg_catalog.timestamptz";

impl Piece {
    fn sample(&self) -> &str {
        match self {
            Piece::Text(text) => text,
            Piece::StatementTimestamp | Piece::TransactionTimestamp => SAMPLE,
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

    /// These edits of the [`Template::sample`], which are inside it, in order
    /// and apart, on character boundaries (the plugin host has seen to that).
    pub fn edit(&self, edits: &[Edit]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for edit in edits {
            self.copy(at, edit.start as usize, &mut pieces)?;
            pieces.push(match &edit.value {
                Value::Literal(literal) => Piece::Text(literal.clone()),
                Value::StatementTimestamp => Piece::StatementTimestamp,
                Value::TransactionTimestamp => Piece::TransactionTimestamp,
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

    /// The text, if it has no gaps.
    pub fn fixed(&self) -> Option<String> {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_))).then(|| self.sample())
    }

    /// The text as it is sent now.
    pub fn fill(&self, moments: Moments) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::StatementTimestamp => timestamp(&mut out, moments.statement),
                Piece::TransactionTimestamp => timestamp(&mut out, moments.transaction),
            }
        }
        out
    }
}

/// `'2026-01-31 12:00:00.000000+00'::pg_catalog.timestamptz`
fn timestamp(out: &mut Vec<u8>, moment: SystemTime) {
    let moment = humantime::format_rfc3339_micros(moment).to_string();
    let moment = moment.replace('T', " ").replace('Z', "+00");
    out.extend_from_slice(format!("'{moment}'::pg_catalog.timestamptz").as_bytes());
}
