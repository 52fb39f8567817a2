//! WITH: the names of its queries hide tables.
//!
//! Only where that is certain: in the statement that a WITH begins, and after
//! the query of that name, which itself reads the table unless it is RECURSIVE.

use waypool_scan::TokenKind;

use super::Reader;
use crate::keyword::Keyword;
use crate::words::Name;

/// How far a level has come with its WITH clause.
#[derive(Clone, Debug, Default)]
pub(super) enum With {
    /// There is none, or it is over.
    #[default]
    None,
    /// In the list of queries
    List { recursive: bool },
    /// Behind a query's name
    Named { recursive: bool, name: String },
    /// Behind the AS of a query, before its parenthesis
    Body { recursive: bool, name: String },
    /// Inside that parenthesis
    Inside { recursive: bool, name: String },
}

impl Reader<'_> {
    /// `WITH name (columns) AS`: not a call. But also `WITH ORDINALITY`,
    /// `timestamp WITH TIME ZONE`.
    pub(super) fn with(&mut self) {
        let begins = self.cursor.previous().is_none_or(|word| word.kind == TokenKind::ParenOpen);
        let item_ends = self.level.item_end == Some(self.cursor.at);
        self.cursor.at += 1;
        let recursive = self.cursor.accept(Keyword::Recursive);
        if begins {
            self.with_name(recursive);
        } else if self.cursor.peek(0).is_some_and(|word| word.is_name()) && !self.level.relation {
            self.cursor.at += 1;
            if item_ends {
                self.level.item_end = Some(self.cursor.at);
            }
        }
    }

    /// Behind a comma, which may separate two queries.
    pub(super) fn next_with(&mut self) {
        let recursive = match self.level.with {
            With::None => return,
            With::List { recursive }
            | With::Named { recursive, .. }
            | With::Body { recursive, .. }
            | With::Inside { recursive, .. } => recursive,
        };
        self.with_name(recursive);
    }

    fn with_name(&mut self, recursive: bool) {
        if !self.cursor.peek(0).is_some_and(|word| word.is_name()) {
            return;
        }
        if let Some(name) = self.cursor.identifier() {
            self.level.with = With::Named { recursive, name };
        }
    }

    /// Behind AS [NOT] [MATERIALIZED]
    pub(super) fn with_body(&mut self) {
        self.level.with = match std::mem::take(&mut self.level.with) {
            With::Named { recursive, name } if self.cursor.kind(0) == Some(TokenKind::ParenOpen) => {
                With::Body { recursive, name }
            }
            other => other,
        };
    }

    /// Before a parenthesis
    pub(super) fn open_with(&mut self) {
        self.level.with = match std::mem::take(&mut self.level.with) {
            With::Body { recursive, name } => {
                if recursive {
                    self.with_names.push((name.clone(), self.levels.len()));
                }
                With::Inside { recursive, name }
            }
            // The main query in parentheses
            With::List { .. } => With::None,
            other => other,
        };
    }

    /// Behind a parenthesis that closes
    pub(super) fn close_with(&mut self) {
        let depth = self.levels.len();
        while self.with_names.last().is_some_and(|(_, of)| *of > depth) {
            self.with_names.pop();
        }
        self.level.with = match std::mem::take(&mut self.level.with) {
            With::Inside { recursive, name } => {
                if !recursive {
                    self.with_names.push((name, depth));
                }
                With::List { recursive }
            }
            other => other,
        };
    }

    /// The main statement begins.
    pub(super) fn end_with(&mut self) {
        self.level.with = With::None;
    }

    pub(super) fn is_with_query(&self, name: &Name) -> bool {
        name.schema.is_none() && self.with_names.iter().any(|(with, _)| *with == name.name)
    }
}
