//! Carrying a rewriter's edits out on a text.

use crate::plugin::contract::{Edit, Value};
use crate::protocol::PgError;
use std::time::SystemTime;

/// The moments that an edit may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    pub transaction: SystemTime,
    pub statement: SystemTime,
}

/// The text with its edits, which are in order and apart (the plugin host has
/// seen to that for the text they were made for).
pub fn apply(text: &[u8], edits: &[Edit], moments: Moments) -> Result<Vec<u8>, PgError> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in edits {
        let (start, end) = (edit.start as usize, edit.end as usize);
        let (Some(kept), true) = (text.get(at..start), end <= text.len() && start <= end) else {
            return Err(PgError::error("38000", "a rewriter's edits do not fit the statement"));
        };
        out.extend_from_slice(kept);
        match &edit.value {
            Value::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
            Value::StatementTimestamp => timestamp(&mut out, moments.statement),
            Value::TransactionTimestamp => timestamp(&mut out, moments.transaction),
        }
        at = end;
    }
    out.extend_from_slice(&text[at..]);
    Ok(out)
}

/// `'2026-01-31 12:00:00.000000+00'::pg_catalog.timestamptz`
fn timestamp(out: &mut Vec<u8>, moment: SystemTime) {
    let moment = humantime::format_rfc3339_micros(moment).to_string();
    let moment = moment.replace('T', " ").replace('Z', "+00");
    out.extend_from_slice(format!("'{moment}'::pg_catalog.timestamptz").as_bytes());
}
