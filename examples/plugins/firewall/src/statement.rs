//! A text as the firewall sees it: the tokens that mean something, without white
//! space and comments, statement by statement.

use waypool_scan::{Token, TokenKind, Tokens};

#[derive(Debug)]
pub struct Text<'t> {
    text: &'t str,
    tokens: Vec<Token>,
}

/// What stands between two semicolons.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'t> {
    text: &'t str,
    tokens: &'t [Token],
}

impl<'t> Text<'t> {
    pub fn new(text: &'t str) -> Self {
        Text { text, tokens: Tokens::new(text).filter(|token| !token.kind.is_trivia()).collect() }
    }

    /// Those of a function's body (BEGIN ATOMIC …; …; END) too.
    pub fn statements(&self) -> impl Iterator<Item = Statement<'_>> {
        let statements = self.tokens.split(|token| token.kind == TokenKind::Semicolon);
        statements.filter(|tokens| !tokens.is_empty()).map(|tokens| Statement { text: self.text, tokens })
    }

    /// A plain string has a backslash before a quote: `'\'`. PostgreSQL reads it
    /// otherwise when `standard_conforming_strings` is off, and a whole statement
    /// may hide behind it: `SELECT '\' || '; DELETE FROM orders --'`.
    pub fn is_ambiguous(&self) -> bool {
        let plain = |token: &&Token| matches!(token.kind, TokenKind::String | TokenKind::NationalString);
        self.tokens.iter().filter(plain).any(|token| token.text(self.text).contains("\\'"))
    }
}

impl Statement<'_> {
    /// The first word in lower case; behind EXPLAIN the word of what is
    /// explained, because EXPLAIN ANALYZE runs it.
    pub fn verb(&self) -> String {
        let mut at = 0;
        if self.is(0, &["explain"]) {
            at = 1;
            while self.is(at, &["analyze", "analyse", "verbose"]) {
                at += 1;
            }
            if self.kind(at) == Some(TokenKind::ParenOpen) {
                at = self.behind_parenthesis(at);
            }
        }
        self.word(at).to_ascii_lowercase()
    }

    /// CREATE TEMP …: nobody else ever sees what it makes.
    pub fn is_temporary(&self) -> bool {
        let temporary = |at: usize| {
            self.is(at, &["temp", "temporary"]) && self.is(at - 1, &["create", "local", "global", "replace"])
        };
        (1..self.tokens.len().min(5)).any(temporary)
    }

    /// "delete" or "update" without WHERE, also as a part (WITH, EXPLAIN,
    /// PREPARE), or "truncate".
    pub fn whole_table_write(&self) -> Option<&'static str> {
        if self.is(0, &["truncate"]) {
            return Some("truncate");
        }
        (0..self.tokens.len()).find_map(|at| self.whole_table_write_at(at))
    }

    fn whole_table_write_at(&self, at: usize) -> Option<&'static str> {
        // Both words may be names of columns, and stand in `FOR UPDATE`, `ON
        // DELETE`, `DO UPDATE SET` and `THEN DELETE` besides.
        let verb = match () {
            () if self.is(at, &["delete"]) && self.is(at + 1, &["from"]) => "delete",
            () if self.is(at, &["update"]) && self.is_name(at + 1) && self.has(at, "set") => "update",
            () => return None,
        };
        (self.begins_at(at) && !self.has(at, "where")).then_some(verb)
    }

    /// Whether a statement may begin with this token.
    fn begins_at(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else {
            return true;
        };
        matches!(self.kind(before), Some(TokenKind::ParenOpen | TokenKind::ParenClose))
            || self
                .is(before, &["as", "explain", "analyze", "analyse", "verbose", "also", "instead", "atomic"])
    }

    /// Whether this word stands behind `at`, outside of parentheses, before the
    /// end of the statement or of the parenthesis around it.
    fn has(&self, at: usize, word: &str) -> bool {
        let mut depth = 0;
        for behind in at + 1..self.tokens.len() {
            match self.kind(behind) {
                Some(TokenKind::ParenOpen) => depth += 1,
                Some(TokenKind::ParenClose) if depth == 0 => return false,
                Some(TokenKind::ParenClose) => depth -= 1,
                _ if depth == 0 && self.is(behind, &[word]) => return true,
                _ => {}
            }
        }
        false
    }

    fn behind_parenthesis(&self, open: usize) -> usize {
        let mut depth = 0;
        for at in open..self.tokens.len() {
            match self.kind(at) {
                Some(TokenKind::ParenOpen) => depth += 1,
                Some(TokenKind::ParenClose) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
        self.tokens.len()
    }

    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// The token if it is a word without quotes: a keyword, or a name.
    fn word(&self, at: usize) -> &str {
        let word = self.tokens.get(at).filter(|token| token.kind == TokenKind::Word);
        word.map_or("", |token| token.text(self.text))
    }

    fn is_name(&self, at: usize) -> bool {
        use TokenKind::{QuotedIdentifier, UnicodeIdentifier, Word};
        matches!(self.kind(at), Some(Word | QuotedIdentifier | UnicodeIdentifier))
    }

    fn is(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.word(at).eq_ignore_ascii_case(word))
    }
}
