//! Operators, and words that stand for operators or functions.

use waypool_scan::TokenKind;

use super::{MOST_NAMES, Reader};
use crate::keyword::Keyword;
use crate::words::Cursor;

/// Operators that are not asked about: indexes, DISTINCT and joins call these
/// whenever they like, so nobody has made them write. (If somebody has, the
/// standby refuses, and the read runs again.)
const COMPARISONS: [&str; 7] = ["=", "<>", "!=", "<", ">", "<=", ">="];

impl<'a> Reader<'a> {
    pub(super) fn operator(&mut self) {
        let operator = self.cursor.raw();
        // Of a select list, or of count(*): an operator has an operand before
        // it, and `=>` names an argument.
        let star = operator == "*" && !self.cursor.follows_operand();
        if !star && operator != "=>" {
            self.add_operator(operator);
        }
        self.operand(TokenKind::Operator);
    }

    /// `OPERATOR(schema.+)`, which looks like a call. Answers whether it read
    /// one.
    pub(super) fn operator_clause(&mut self) -> bool {
        if self.cursor.keyword(0) != Keyword::Operator || self.cursor.kind(1) != Some(TokenKind::ParenOpen) {
            return false;
        }
        let mut inside = self.cursor;
        inside.at += 2;
        if inside.skip_qualified() && inside.kind(0) == Some(TokenKind::Dot) {
            inside.at += 1;
        }
        let ends = inside.kind(1) == Some(TokenKind::ParenClose);
        if inside.kind(0) != Some(TokenKind::Operator) || !ends {
            return false;
        }
        self.add_operator(inside.raw());
        self.cursor.at = inside.at + 2;
        true
    }

    /// Words behind which the grammar puts operators or functions. The cursor
    /// is behind the word.
    pub(super) fn stands_for(&mut self, keyword: Keyword, word: Cursor) {
        match keyword {
            Keyword::Like => self.implied(&["~~", "!~~"]),
            Keyword::Ilike => self.implied(&["~~*", "!~~*"]),
            Keyword::Similar => {
                self.implied(&["~", "!~"]);
                self.syntax_function("similar_to_escape");
            }
            Keyword::Between => self.implied(&[">=", "<=", "<", ">"]),
            Keyword::Nullif => self.implied(&["="]),
            Keyword::At if word.spells(&[Keyword::At, Keyword::Time, Keyword::Zone]) => {
                self.syntax_function("timezone");
            }
            _ if self.cursor.kind(0) == Some(TokenKind::ParenOpen) => {
                if let Some(function) = syntax_function(keyword, self.cursor.keyword(1)) {
                    self.syntax_function(function);
                }
            }
            _ => {}
        }
    }

    pub(super) fn implied(&mut self, operators: &[&'static str]) {
        for operator in operators {
            self.add_operator(operator);
        }
    }

    fn add_operator(&mut self, operator: &'a str) {
        let known = COMPARISONS.contains(&operator) || self.query.operators.contains(&operator);
        match self.query.operators.len() < MOST_NAMES {
            _ if known => {}
            true => self.query.operators.push(operator),
            false => self.query.broken = Some("it names too many objects"),
        }
    }

    fn syntax_function(&mut self, function: &'static str) {
        if !self.query.syntax_functions.contains(&function) {
            self.query.syntax_functions.push(function);
        }
    }
}

/// Functions of pg_catalog with a syntax of their own. All are immutable: only
/// lists of functions ask for them.
fn syntax_function(keyword: Keyword, first: Keyword) -> Option<&'static str> {
    match keyword {
        Keyword::Extract => Some("extract"),
        Keyword::Overlay => Some("overlay"),
        Keyword::Position => Some("position"),
        Keyword::Substring => Some("substring"),
        Keyword::Trim => match first {
            Keyword::Leading => Some("ltrim"),
            Keyword::Trailing => Some("rtrim"),
            _ => Some("btrim"),
        },
        Keyword::Xmlexists => Some("xmlexists"),
        _ => None,
    }
}
