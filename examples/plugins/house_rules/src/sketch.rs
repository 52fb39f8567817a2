//! As much of a statement as the rules need: which tables it names, and where.
//!
//! This is no parser. It knows the outline of one plain SELECT, and of what an
//! INSERT, UPDATE or DELETE writes to. Tables anywhere else (in subqueries,
//! unions, WITH, several statements) are seen, but not understood.

use std::ops::Range;

use waypool_scan::{Token, TokenKind, Tokens};

#[derive(Debug)]
pub struct Sketch<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    /// For each token its lower case, if it is a word without quotes; else "".
    words: Vec<String>,
    /// Tables in places which are understood, in order.
    pub references: Vec<Reference>,
    /// The end of a plain SELECT that has no LIMIT.
    pub limitless: Option<usize>,
}

/// One mention of a table.
#[derive(Debug)]
pub struct Reference {
    /// Without schema and quotes, in lower case unless it was quoted.
    pub name: String,
    /// Its bytes, with the schema,
    pub range: Range<usize>,
    /// and without.
    pub last: Range<usize>,
    pub has_alias: bool,
    /// Not the target of a write.
    pub is_read: bool,
}

/// What reads or writes rows. Names elsewhere (ALTER TABLE, …) do not matter.
const ABOUT_ROWS: [&str; 12] = [
    "select", "with", "table", "values", "insert", "update", "delete", "merge", "explain", "prepare",
    "declare", "copy",
];
/// What ends the FROM clause.
const CLAUSES: [&str; 9] = ["where", "group", "having", "window", "order", "limit", "offset", "fetch", "for"];
/// What else may stand behind a table, and is no alias.
const JOINS: [&str; 11] =
    ["join", "left", "right", "full", "inner", "cross", "natural", "on", "using", "tablesample", "set"];

impl<'t> Sketch<'t> {
    pub fn new(text: &'t str) -> Self {
        let mut tokens: Vec<Token> = Tokens::new(text).filter(|token| !token.kind.is_trivia()).collect();
        while tokens.last().is_some_and(|token| token.kind == TokenKind::Semicolon) {
            tokens.pop();
        }
        let word = |token: &Token| match token.kind {
            TokenKind::Word => token.text(text).to_ascii_lowercase(),
            _ => String::new(),
        };
        let words = tokens.iter().map(word).collect();
        let mut sketch = Sketch { text, tokens, words, references: Vec::new(), limitless: None };
        let several = sketch.tokens.iter().any(|token| token.kind == TokenKind::Semicolon);
        match sketch.word(0) {
            _ if several => {}
            "select" => sketch.read_select(),
            "update" => sketch.read_target(1),
            "insert" | "delete" => sketch.read_target(2),
            _ => {}
        }
        sketch
    }

    /// A name that is ours, where it is neither one of these references nor the
    /// first part of a longer name, such as `orders.id`.
    pub fn names_elsewhere(&self, edited: &[&Reference], ours: impl Fn(&str) -> bool) -> Option<String> {
        let about_rows = self.kind(0) == Some(TokenKind::ParenOpen) || ABOUT_ROWS.contains(&self.word(0));
        let mut places = (0..self.tokens.len()).filter(|_| about_rows);
        places.find_map(|at| {
            let name = self.name(at).filter(|name| ours(name))?;
            let understood = edited.iter().any(|reference| reference.last.start == self.tokens[at].start);
            (!understood && self.kind(at + 1) != Some(TokenKind::Dot)).then_some(name)
        })
    }

    /// A name with escapes, `U&"ord\0065rs"`, which nobody here can read.
    pub fn escaped_name(&self) -> Option<String> {
        let escaped = self.tokens.iter().find(|token| token.kind == TokenKind::UnicodeIdentifier)?;
        Some(escaped.text(self.text).to_owned())
    }

    fn read_target(&mut self, at: usize) {
        self.references.extend(self.reference(at, false));
    }

    fn read_select(&mut self) {
        // Keywords outside of parentheses: where they stand.
        let find = |words: &[&str], from: usize| {
            self.outside().find(|at| *at >= from && words.contains(&self.word(*at)))
        };
        // Not that of `IS DISTINCT FROM`, nor of `1 AS from`.
        let is_from =
            |at: &usize| self.word(*at) == "from" && !["distinct", "as"].contains(&self.word(*at - 1));
        let Some(from) = self.outside().find(is_from) else {
            return;
        };
        if find(&["union", "intersect", "except", "into"], 0).is_some() {
            return;
        }
        let end = find(&CLAUSES, from).unwrap_or(self.tokens.len());
        let limitless = find(&["limit", "fetch", "for"], from).is_none();
        self.limitless = self.tokens.last().filter(|_| limitless).map(|token| token.end);
        self.read_from(from, end);
    }

    /// The tables between FROM and the next clause.
    fn read_from(&mut self, from: usize, end: usize) {
        let starts =
            |at: &usize| *at == from || self.kind(*at) == Some(TokenKind::Comma) || self.word(*at) == "join";
        let items: Vec<usize> = self.outside().filter(|at| (from..end).contains(at)).filter(starts).collect();
        self.references = items.into_iter().filter_map(|at| self.reference(at + 1, true)).collect();
    }

    /// The table at this place. None if it is something else: a subquery, a
    /// function, ONLY or LATERAL.
    fn reference(&self, first: usize, is_read: bool) -> Option<Reference> {
        let mut last = first;
        while self.kind(last + 1) == Some(TokenKind::Dot) {
            last += 2;
        }
        let name = self.name(last)?;
        let next = last + 1;
        let special = ["only", "lateral"].contains(&self.word(first)) || self.word(next) == "tablesample";
        let is_function = is_read && self.kind(next) == Some(TokenKind::ParenOpen);
        // `orders *`: with its partitions, as always.
        let is_starred = self.kind(next) == Some(TokenKind::Operator);
        if special || is_function || is_starred {
            return None;
        }
        let (first, last) = (self.tokens[first], self.tokens[last]);
        Some(Reference {
            name,
            range: first.start..last.end,
            last: last.start..last.end,
            has_alias: self.is_alias(next),
            is_read,
        })
    }

    fn is_alias(&self, at: usize) -> bool {
        let word = self.word(at);
        let others = ["values", "select", "default", "overriding", "with", "table", "returning"];
        let is_keyword = CLAUSES.iter().chain(&JOINS).chain(&others).any(|keyword| *keyword == word);
        self.name(at).is_some() && !is_keyword
    }

    /// Tokens outside of parentheses.
    fn outside(&self) -> impl Iterator<Item = usize> + '_ {
        let mut depth = 0i32;
        (0..self.tokens.len()).filter(move |at| {
            match self.kind(*at) {
                Some(TokenKind::ParenOpen) => depth += 1,
                Some(TokenKind::ParenClose) => depth -= 1,
                _ => return depth == 0,
            }
            false
        })
    }

    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn token_text(&self, at: usize) -> &'t str {
        self.tokens.get(at).map_or("", |token| token.text(self.text))
    }

    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// What the catalog would call it.
    fn name(&self, at: usize) -> Option<String> {
        match self.kind(at)? {
            TokenKind::Word => Some(self.word(at).to_owned()),
            TokenKind::QuotedIdentifier => {
                let quoted = self.token_text(at);
                Some(quoted.get(1..quoted.len() - 1)?.replace("\"\"", "\""))
            }
            _ => None,
        }
    }
}
