//! What a query names and does, from one pass over its words.
//!
//! The pass follows PostgreSQL's grammar where it has to tell a function call
//! or a relation from other names. Elsewhere it errs to one side: a name may
//! be asked for which is no function or relation, none is left out; a
//! statement may be taken for a write which is none, never the reverse.
//! Nesting costs a stack entry here, not a call: it may be as deep as it likes.

mod clauses;
mod modify;
mod names;
mod operators;
mod with;

#[cfg(test)]
mod tests;

use waypool_scan::TokenKind;

use crate::keyword::Keyword;
use crate::words::{Cursor, Name};
use with::With;

/// More names than this are not looked up; the statement goes to the primary.
const MOST_NAMES: usize = 256;

/// What a pass over a query found.
#[derive(Debug, Default)]
pub struct Query<'a> {
    /// In the order of the text, each once
    pub functions: Vec<Name>,
    /// Functions of pg_catalog with a syntax of their own: `extract(… FROM …)`
    pub syntax_functions: Vec<&'static str>,
    /// Among them those that words stand for, as `~~` of LIKE
    pub operators: Vec<&'a str>,
    /// The relations that it reads; among them possibly columns
    pub reads: Vec<Name>,
    /// The relations that it writes, or makes
    pub targets: Vec<Name>,
    /// INSERT, UPDATE, DELETE or MERGE after WITH, or SELECT INTO: why
    pub writes: Option<&'static str>,
    /// The data-modifying statement is the main one (`WITH … INSERT`)
    pub is_dml: bool,
    /// SELECT INTO, and whether into a temporary table
    pub into: Option<Into>,
    /// FOR UPDATE, FOR SHARE and their kin, at any depth
    pub locks: bool,
    /// Something that a scan cannot decide: what
    pub doubt: Option<&'static str>,
    /// PostgreSQL will refuse it, or reads it in a way that is not followed
    /// here: what
    pub broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    Temporary,
    Permanent,
}

/// One level of parentheses or brackets.
#[derive(Clone, Debug, Default)]
struct Level {
    /// Closed by `]` rather than `)`
    bracket: bool,
    /// It holds a query, so FROM begins its list of relations. In
    /// `extract(year FROM d)` it does not.
    query: bool,
    /// In the list of relations, where a comma precedes another
    from: bool,
    /// A relation comes next
    relation: bool,
    /// Where the last item of the list of relations ended, so that a name
    /// there is its alias: `f() x(a, b)` calls no x
    item_end: Option<usize>,
    /// The parenthesis around this level is an item of the list of relations
    is_item: bool,
    /// In GROUP BY, where ROLLUP and CUBE are no functions
    group: bool,
    with: With,
}

/// Reads one statement: a query, or a data-modifying statement.
pub fn read(cursor: Cursor<'_>) -> Query<'_> {
    let mut reader = Reader {
        cursor,
        query: Query::default(),
        with_options: false,
        with_names: Vec::new(),
        levels: Vec::new(),
        level: Level { query: true, ..Level::default() },
    };
    reader.read();
    reader.query
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    query: Query<'a>,
    /// A WITH query has a SEARCH or CYCLE clause
    with_options: bool,
    /// Names of WITH queries that can be read here, and the depth of their WITH
    with_names: Vec<(String, usize)>,
    /// The levels around `level`
    levels: Vec<Level>,
    level: Level,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        while let Some(kind) = self.cursor.kind(0) {
            match kind {
                TokenKind::Word if self.cursor.keyword(0).is_reserved() => self.reserved(),
                TokenKind::Word | TokenKind::QuotedIdentifier => self.name(),
                TokenKind::ParenOpen | TokenKind::BracketOpen => self.open(kind),
                TokenKind::ParenClose | TokenKind::BracketClose => self.close(kind),
                TokenKind::Comma => self.comma(),
                TokenKind::Cast => self.cast(),
                TokenKind::Operator => self.operator(),
                TokenKind::UnicodeIdentifier => self.broken("an identifier with Unicode escapes"),
                TokenKind::Unterminated => self.broken("unterminated quote or comment"),
                TokenKind::Other => self.broken("a character that begins no token"),
                kind => self.operand(kind),
            }
        }
        if !self.levels.is_empty() {
            self.broken("unbalanced parentheses");
        }
        self.check_end();
    }

    fn broken(&mut self, what: &'static str) {
        self.query.broken.get_or_insert(what);
        self.cursor.at += 1;
    }

    fn doubt(&mut self, what: &'static str) {
        self.query.doubt.get_or_insert(what);
    }

    fn open(&mut self, kind: TokenKind) {
        // `FROM (a JOIN b …)`: the list goes on inside; after it, it has its
        // relation.
        let goes_on = std::mem::take(&mut self.level.relation);
        self.open_with();
        let sets = self.cursor.previous().is_some_and(|word| word.keyword == Keyword::Sets);
        let inner = Level {
            bracket: kind == TokenKind::BracketOpen,
            query: goes_on,
            from: goes_on,
            relation: goes_on,
            is_item: goes_on || self.level.item_end == Some(self.cursor.at),
            group: self.level.group && sets,
            ..Level::default()
        };
        self.levels.push(std::mem::replace(&mut self.level, inner));
        self.cursor.at += 1;
    }

    fn close(&mut self, kind: TokenKind) {
        let bracket = kind == TokenKind::BracketClose;
        match self.levels.pop() {
            Some(outer) if self.level.bracket == bracket => {
                let is_item = self.level.is_item;
                self.level = outer;
                self.cursor.at += 1;
                self.close_with();
                if is_item {
                    self.level.item_end = Some(self.cursor.at);
                }
            }
            _ => self.broken("unbalanced parentheses"),
        }
    }

    fn comma(&mut self) {
        self.level.relation = self.level.from;
        self.cursor.at += 1;
        self.next_with();
    }

    /// `::type`, where the type may have parameters, which look like a call.
    fn cast(&mut self) {
        self.cursor.at += 1;
        if !self.cursor.skip_qualified() {
            self.doubt("a cast without a type");
        }
    }

    /// A literal, a parameter, an operator: only a look whether it can stand
    /// here. `SELECT 1 1` is an error, and PostgreSQL's to report; but the
    /// pass may have lost its way, so that it must not decide.
    fn operand(&mut self, kind: TokenKind) {
        let previous = self.cursor.previous().map(|word| word.kind);
        let after_operand = match previous {
            Some(TokenKind::Parameter) => true,
            // But `numeric(3) '1'`, `"date" '2020-01-01'`
            Some(TokenKind::ParenClose | TokenKind::BracketClose | TokenKind::QuotedIdentifier) => {
                kind == TokenKind::Number
            }
            Some(previous) => previous.is_literal(),
            None => false,
        };
        let is_operand = kind.is_literal() || kind == TokenKind::Parameter;
        if after_operand && is_operand {
            self.doubt("two operands side by side");
        }
        if self.level.relation {
            self.level.relation = false;
            self.doubt("no relation where one is expected");
        }
        self.cursor.at += 1;
    }

    fn check_end(&mut self) {
        match self.cursor.words().last() {
            Some(last) if last.keyword.demands_more() => {
                // Behind AS or a dot it is a name.
                let before = self.cursor.words().iter().rev().nth(1);
                let label =
                    before.is_some_and(|word| word.keyword == Keyword::As || word.kind == TokenKind::Dot);
                if !label {
                    self.doubt("the statement breaks off");
                }
            }
            Some(last) if matches!(last.kind, TokenKind::Comma | TokenKind::Dot | TokenKind::Cast) => {
                self.doubt("the statement breaks off");
            }
            _ => {}
        }
    }
}
