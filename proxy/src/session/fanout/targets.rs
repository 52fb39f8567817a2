//! Which tables a text inserts into, and whether the rows are written down in it.
//!
//! No more than `insert_lock` has to know; what is not understood is left out.

use crate::protocol::sql::identifier;
use std::iter::Peekable;
use waypool_scan::{Token, TokenKind, Tokens};

/// A table that gets rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As SQL writes it, quoted.
    pub table: String,
    /// The columns that are listed.
    pub columns: Option<Vec<String>>,
    pub rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// VALUES, or DEFAULT VALUES
    Written,
    /// Of a query
    Selected,
    Copied {
        /// COPY … (DEFAULT '…'): any of them may take its default.
        defaults: bool,
    },
}

impl Target {
    /// Whether this column takes its default where the server inserts the row.
    pub(super) fn leaves_out(&self, column: &str) -> bool {
        match (&self.columns, self.rows) {
            (_, Rows::Copied { defaults: true }) => true,
            (Some(listed), _) => !listed.iter().any(|name| name == column),
            (None, Rows::Copied { .. }) => false,
            (None, _) => true,
        }
    }
}

/// The tables, in the order of the text, which may have `several` statements.
pub(super) fn targets(text: &str, several: bool) -> Vec<Target> {
    let solid = Tokens::new(text).filter(|token| !token.kind.is_trivia());
    let mut scan = Scan { text, tokens: solid.peekable() };
    let mut found = Vec::new();
    let mut begins = true;
    let mut nested = several;
    while let Some(token) = scan.tokens.next() {
        let word = scan.word(&token);
        if begins && ["update", "delete", "merge", "truncate"].contains(&&*word) && !several {
            break;
        }
        nested |= begins && word == "with";
        let target = match &*word {
            "insert" if scan.takes("into") => scan.insert(),
            "copy" if begins => scan.copy(),
            _ => None,
        };
        if target.is_some() && !nested {
            return target.into_iter().collect();
        }
        found.extend(target);
        begins = token.kind == TokenKind::Semicolon;
    }
    found
}

struct Scan<'a, I: Iterator<Item = Token>> {
    text: &'a str,
    tokens: Peekable<I>,
}

impl<I: Iterator<Item = Token>> Scan<'_, I> {
    /// A word without quotes, folded.
    fn word(&self, token: &Token) -> String {
        match token.kind {
            TokenKind::Word => token.text(self.text).to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    fn next_is(&mut self, kind: TokenKind) -> bool {
        self.tokens.peek().is_some_and(|token| token.kind == kind)
    }

    fn next_word(&mut self) -> String {
        let next = self.tokens.peek().copied();
        next.map(|token| self.word(&token)).unwrap_or_default()
    }

    /// Takes this word if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        let comes = self.next_word() == word;
        if comes {
            self.tokens.next();
        }
        comes
    }

    fn identifier(&mut self) -> Option<String> {
        let token = self.tokens.next()?;
        let raw = token.text(self.text);
        match token.kind {
            TokenKind::Word => Some(raw.to_ascii_lowercase()),
            TokenKind::QuotedIdentifier => Some(raw.get(1..raw.len() - 1)?.replace("\"\"", "\"")),
            _ => None,
        }
    }

    fn table(&mut self) -> Option<String> {
        let mut parts = vec![identifier(&self.identifier()?)];
        while self.next_is(TokenKind::Dot) {
            self.tokens.next();
            parts.push(identifier(&self.identifier()?));
        }
        Some(parts.join("."))
    }

    /// What stands behind INSERT INTO.
    fn insert(&mut self) -> Option<Target> {
        let table = self.table()?;
        if self.takes("as") {
            self.tokens.next();
        }
        let mut columns = None;
        if self.next_is(TokenKind::ParenOpen) {
            self.tokens.next();
            let selects = ["select", "with", "values", "table"].contains(&&*self.next_word());
            if selects || self.next_is(TokenKind::ParenOpen) {
                return Some(Target { table, columns: None, rows: Rows::Selected });
            }
            columns = Some(self.columns());
        }
        if self.takes("overriding") {
            self.tokens.next();
            self.tokens.next();
        }
        let written = ["values", "default"].contains(&&*self.next_word());
        let rows = if written { Rows::Written } else { Rows::Selected };
        Some(Target { table, columns, rows })
    }

    /// What stands behind COPY, if that is into a table.
    fn copy(&mut self) -> Option<Target> {
        self.takes("binary");
        let table = self.table()?;
        let listed = self.next_is(TokenKind::ParenOpen);
        let columns = listed.then(|| {
            self.tokens.next();
            self.columns()
        });
        if !self.takes("from") {
            return None;
        }
        let mut defaults = false;
        while !self.next_is(TokenKind::Semicolon)
            && let Some(token) = self.tokens.next()
        {
            defaults |= self.word(&token) == "default";
        }
        Some(Target { table, columns, rows: Rows::Copied { defaults } })
    }

    /// The names up to the closing parenthesis; of `a.b` and `a[1]` the first.
    fn columns(&mut self) -> Vec<String> {
        let mut columns = Vec::new();
        while !self.next_is(TokenKind::ParenClose) {
            columns.extend(self.identifier());
            while !self.next_is(TokenKind::Comma) && !self.next_is(TokenKind::ParenClose) {
                if self.tokens.next().is_none() {
                    return columns;
                }
            }
            if self.next_is(TokenKind::Comma) {
                self.tokens.next();
            }
        }
        self.tokens.next();
        columns
    }
}

#[cfg(test)]
mod tests;
