//! Where one statement of a text ends and the next begins.

use std::ops::Range;

use waypool_scan::TokenKind;

use crate::keyword::Keyword;
use crate::words::{Cursor, Word};

/// What a text holds; empty statements are left out.
#[derive(Debug, PartialEq, Eq)]
pub enum Statements {
    None,
    One(Range<usize>),
    Several(Vec<Range<usize>>),
}

pub fn statements(words: &[Word]) -> Statements {
    let first = words.iter().position(|word| word.kind == TokenKind::Semicolon);
    // Almost every text: one statement, perhaps with its semicolon.
    let one = match first {
        None => words.len(),
        Some(at) if at + 1 == words.len() => at,
        Some(_) => return several(words),
    };
    match one {
        0 => Statements::None,
        end => Statements::One(0..end),
    }
}

/// A semicolon separates unless it stands in parentheses (CREATE RULE) or in
/// the body of a function (BEGIN ATOMIC … END).
fn several(words: &[Word]) -> Statements {
    let mut found = Vec::new();
    let mut start = 0;
    let mut parentheses = 0usize;
    let mut body = 0usize;
    for (at, word) in words.iter().enumerate() {
        match word.kind {
            TokenKind::ParenOpen => parentheses += 1,
            TokenKind::ParenClose => parentheses = parentheses.saturating_sub(1),
            TokenKind::Semicolon if parentheses == 0 && body == 0 => {
                found.push(start..at);
                start = at + 1;
            }
            TokenKind::Word => match word.keyword {
                Keyword::Begin if creates_routine(&words[start..at]) => body += 1,
                Keyword::Case if body > 0 => body += 1,
                Keyword::End => body = body.saturating_sub(1),
                _ => {}
            },
            _ => {}
        }
    }
    found.push(start..words.len());
    found.retain(|range| !range.is_empty());
    match found.as_slice() {
        [] => Statements::None,
        [one] => Statements::One(one.clone()),
        _ => Statements::Several(found),
    }
}

/// Is this the head of CREATE [OR REPLACE] FUNCTION or PROCEDURE?
fn creates_routine(words: &[Word]) -> bool {
    use Keyword::*;
    let cursor = Cursor::new("", words);
    [
        &[Create, Function][..],
        &[Create, Procedure],
        &[Create, Or, Replace, Function],
        &[Create, Or, Replace, Procedure],
    ]
    .iter()
    .any(|head| cursor.spells(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        let mut words = Vec::new();
        crate::words::cut(text, &mut words);
        match statements(&words) {
            Statements::None => 0,
            Statements::One(_) => 1,
            Statements::Several(all) => all.len(),
        }
    }

    #[test]
    fn semicolons_separate_where_postgresql_says() {
        for (text, expected) in [
            ("", 0),
            (" ; -- ;", 0),
            ("SELECT 1;", 1),
            (";SELECT 1", 1),
            ("SELECT ';' ; SELECT 2", 2),
            ("CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)", 1),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 1",
                2,
            ),
            ("BEGIN; SELECT 1; END", 3),
            ("DO $$ BEGIN; END $$", 1),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }
}
