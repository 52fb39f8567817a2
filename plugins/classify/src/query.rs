//! What a query names and does, from one pass over its words.
//!
//! The pass follows PostgreSQL's grammar where it has to tell a function call
//! or a relation from other names. Elsewhere it errs to one side: a name may
//! be asked for which is no function or relation, none is left out; a
//! statement may be taken for a write which is none, never the reverse.
//! Nesting costs a stack entry here, not a call: it may be as deep as it likes.

use waypool_scan::TokenKind;

use crate::keyword::{Class, Keyword};
use crate::words::{Cursor, Name};

/// More names than this are not looked up; the statement goes to the primary.
const MOST_NAMES: usize = 256;

/// What a pass over a query found.
#[derive(Debug, Default)]
pub struct Query {
    /// In the order of the text, each once
    pub functions: Vec<Name>,
    /// Among them possibly columns, and names of WITH queries
    pub tables: Vec<Name>,
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
#[derive(Clone, Copy, Debug, Default)]
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
}

/// Reads one statement: a query, or a data-modifying statement.
pub fn read(cursor: Cursor) -> Query {
    let mut reader = Reader {
        cursor,
        query: Query::default(),
        with_options: false,
        levels: Vec::new(),
        level: Level {
            query: true,
            ..Level::default()
        },
    };
    reader.read();
    reader.query
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    query: Query,
    /// A WITH query has a SEARCH or CYCLE clause
    with_options: bool,
    /// The levels around `level`
    levels: Vec<Level>,
    level: Level,
}

impl Reader<'_> {
    fn read(&mut self) {
        while let Some(kind) = self.cursor.kind(0) {
            match kind {
                TokenKind::Word if self.cursor.keyword(0).is_reserved() => self.reserved(),
                TokenKind::Word | TokenKind::QuotedIdentifier => self.name(),
                TokenKind::ParenOpen | TokenKind::BracketOpen => self.open(kind),
                TokenKind::ParenClose | TokenKind::BracketClose => self.close(kind),
                TokenKind::Comma => self.comma(),
                TokenKind::Cast => self.cast(),
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
        self.levels.push(self.level);
        self.level = Level {
            bracket: kind == TokenKind::BracketOpen,
            query: goes_on,
            from: goes_on,
            relation: goes_on,
        };
        self.cursor.at += 1;
    }

    fn close(&mut self, kind: TokenKind) {
        let bracket = kind == TokenKind::BracketClose;
        match self.levels.pop() {
            Some(outer) if self.level.bracket == bracket => {
                self.level = outer;
                self.cursor.at += 1;
            }
            _ => self.broken("unbalanced parentheses"),
        }
    }

    fn comma(&mut self) {
        self.level.relation = self.level.from;
        self.cursor.at += 1;
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
                let label = before
                    .is_some_and(|word| word.keyword == Keyword::As || word.kind == TokenKind::Dot);
                if !label {
                    self.doubt("the statement breaks off");
                }
            }
            Some(last)
                if matches!(
                    last.kind,
                    TokenKind::Comma | TokenKind::Dot | TokenKind::Cast
                ) =>
            {
                self.doubt("the statement breaks off");
            }
            _ => {}
        }
    }
}

// === names ===

impl Reader<'_> {
    /// A word that is not reserved, or a quoted identifier: with the parts
    /// that dots join to it, it may be a call, a relation, or nothing of
    /// interest.
    fn name(&mut self) {
        let keyword = self.cursor.keyword(0);
        if self.modifies() {
            return;
        }
        if self.after_star() {
            self.doubt("a name after *");
        }
        if keyword == Keyword::Join {
            self.level.from = true;
            self.level.relation = true;
        }
        if matches!(keyword, Keyword::Search | Keyword::Cycle) && self.follows_parenthesis() {
            self.with_options = true;
        }
        let start = self.cursor;
        self.cursor.skip_qualified();
        let end = self.cursor.at;
        let qualified = end - start.at > 1;
        let called = self.cursor.kind(0) == Some(TokenKind::ParenOpen);
        if called && (qualified || self.may_be_called(start)) {
            self.level.relation = false;
            self.function(start);
        } else if keyword == Keyword::Values && called {
            // The commas after it separate rows.
            self.leave_relations();
        } else if self.level.relation && keyword != Keyword::Join {
            self.level.relation = false;
            if !called {
                self.table(start);
            }
        }
        match keyword {
            // What is sampled how: looks like a call, and is none.
            Keyword::Tablesample if start.follows_operand() => {
                self.cursor.skip_qualified();
            }
            _ => self.cursor.at = end,
        }
    }

    /// May the one word before a parenthesis name a function?
    fn may_be_called(&self, name: Cursor) -> bool {
        let keyword = name.keyword(0);
        match keyword.class() {
            Class::Reserved | Class::NotFunction => false,
            Class::Infix => !name.follows_operand(),
            Class::Name => {
                let clause = matches!(keyword, Keyword::Over | Keyword::Filter);
                !(clause
                    && name
                        .previous()
                        .is_some_and(|word| word.kind == TokenKind::ParenClose))
            }
        }
    }

    fn function(&mut self, mut at: Cursor) {
        match at.qualified() {
            Some(name) => add(&mut self.query.functions, name, &mut self.query.broken),
            None => self.query.broken = Some("a name that cannot be read"),
        }
    }

    fn table(&mut self, mut at: Cursor) {
        match at.qualified() {
            Some(name) => add(&mut self.query.tables, name, &mut self.query.broken),
            None => self.query.broken = Some("a name that cannot be read"),
        }
    }

    fn follows_parenthesis(&self) -> bool {
        self.cursor
            .previous()
            .is_some_and(|word| word.kind == TokenKind::ParenClose)
    }

    /// After the `*` of a select list comes a clause, which begins with a
    /// reserved word.
    fn after_star(&self) -> bool {
        if self
            .cursor
            .previous()
            .is_none_or(|word| word.kind != TokenKind::Operator)
        {
            return false;
        }
        let Some(before) = self.cursor.at.checked_sub(2) else {
            return false;
        };
        let pair = self.cursor.between(before, before + 2);
        let star = pair.statement_text().ends_with('*');
        let list = matches!(pair.keyword(0), Keyword::Select | Keyword::Distinct)
            || matches!(pair.kind(0), Some(TokenKind::Comma | TokenKind::Dot));
        star && list
    }

    /// INSERT, UPDATE, DELETE and MERGE are not reserved: a column may have
    /// such a name. What follows tells. Answers whether it read one.
    fn modifies(&mut self) -> bool {
        let statement = match (self.cursor.keyword(0), self.cursor.keyword(1)) {
            (Keyword::Insert, Keyword::Into) => "INSERT",
            (Keyword::Merge, Keyword::Into) => "MERGE",
            (Keyword::Delete, Keyword::From) if self.may_begin_statement() => "DELETE",
            (Keyword::Update, next) if self.may_begin_statement() => {
                let named =
                    next == Keyword::Only || self.cursor.peek(1).is_some_and(|word| word.is_name());
                if !named {
                    return false;
                }
                if !self.cursor.contains(Keyword::Set) {
                    self.doubt("UPDATE without SET");
                    return false;
                }
                "UPDATE"
            }
            _ => return false,
        };
        self.query.writes.get_or_insert(statement);
        self.query.is_dml |= self.levels.is_empty();
        self.level.query = true;
        // Before USING
        self.level.from = matches!(statement, "DELETE" | "MERGE");
        self.cursor.at += if statement == "UPDATE" { 1 } else { 2 };
        self.target();
        true
    }

    /// A statement begins the text or a parenthesis, or follows the one that
    /// ends a WITH clause; unless SEARCH or CYCLE stand between, which end in
    /// any word.
    fn may_begin_statement(&self) -> bool {
        self.with_options
            || self.cursor.previous().is_none_or(|word| {
                matches!(word.kind, TokenKind::ParenOpen | TokenKind::ParenClose)
            })
    }

    /// The relation that a statement writes to; a parenthesis after it holds
    /// columns.
    fn target(&mut self) {
        self.cursor
            .accept_any(&[Keyword::Temp, Keyword::Temporary, Keyword::Unlogged]);
        self.cursor.accept(Keyword::Table);
        self.cursor.accept(Keyword::Only);
        self.level.relation = false;
        let start = self.cursor;
        if self.cursor.peek(0).is_some_and(|word| word.is_name()) {
            self.cursor.skip_qualified();
            self.table(start);
        }
    }
}

fn add(list: &mut Vec<Name>, name: Name, broken: &mut Option<&'static str>) {
    if list.contains(&name) {
        return;
    }
    match list.len() < MOST_NAMES {
        true => list.push(name),
        false => *broken = Some("it names too many objects"),
    }
}

// === reserved words ===

impl Reader<'_> {
    fn reserved(&mut self) {
        let keyword = self.cursor.keyword(0);
        match keyword {
            Keyword::As => return self.label(),
            Keyword::From => self.from(),
            Keyword::Select => {
                self.level.query = true;
                self.leave_relations();
            }
            Keyword::Table => self.level.relation = true,
            Keyword::With => return self.with(),
            Keyword::Into => return self.into(),
            Keyword::For => return self.locking(),
            // Part of what comes: `FROM ONLY t`, `FROM LATERAL f(…)`
            Keyword::Only | Keyword::Lateral => {}
            // DELETE … USING t, MERGE … USING t; but JOIN … USING (a)
            Keyword::Using => {
                let joins = self.cursor.kind(1) == Some(TokenKind::ParenOpen);
                self.level.relation = self.level.from && !joins;
            }
            keyword if ends_relations(keyword) => self.end_relations(),
            _ if self.level.relation => {
                self.level.relation = false;
                self.doubt("no relation where one is expected");
            }
            _ => {}
        }
        self.cursor.at += 1;
    }

    fn from(&mut self) {
        // `a IS DISTINCT FROM b` compares.
        let compares = self
            .cursor
            .previous()
            .is_some_and(|word| word.keyword == Keyword::Distinct);
        if self.level.query && !compares {
            self.level.from = true;
            self.level.relation = true;
        }
    }

    fn end_relations(&mut self) {
        if self.level.relation {
            self.doubt("no relation where one is expected");
        }
        self.leave_relations();
    }

    fn leave_relations(&mut self) {
        self.level.from = false;
        self.level.relation = false;
    }

    /// `AS name`, where every word is a name, and a parenthesis after it
    /// holds columns or the parameters of a type. A WITH query begins with
    /// `AS (` or `AS [NOT] MATERIALIZED (`.
    fn label(&mut self) {
        self.cursor.at += 1;
        self.cursor.accept(Keyword::Not);
        self.cursor.skip_qualified();
    }

    /// `WITH name (columns) AS`: not a call.
    fn with(&mut self) {
        self.cursor.at += 1;
        self.cursor.accept(Keyword::Recursive);
        if self.cursor.peek(0).is_some_and(|word| word.is_name()) && !self.level.relation {
            self.cursor.at += 1;
        }
    }

    /// SELECT … INTO; that of INSERT and MERGE is read with them.
    fn into(&mut self) {
        self.cursor.at += 1;
        let temporary = matches!(self.cursor.keyword(0), Keyword::Temp | Keyword::Temporary);
        self.query.into = Some(if temporary {
            Into::Temporary
        } else {
            Into::Permanent
        });
        self.query.writes.get_or_insert("SELECT INTO");
        self.target();
    }

    /// FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE; but also
    /// `substring(a FROM 1 FOR 2)`.
    fn locking(&mut self) {
        use Keyword::*;
        for strength in [&[Update][..], &[No, Key, Update], &[Share], &[Key, Share]] {
            let mut after = self.cursor;
            after.at += 1;
            if after.spells(strength) {
                self.query.locks = true;
                self.end_relations();
                self.cursor.at = after.at + strength.len();
                return;
            }
        }
        self.cursor.at += 1;
    }
}

/// Does this word end the list of relations that FROM began?
fn ends_relations(keyword: Keyword) -> bool {
    use Keyword::*;
    matches!(
        keyword,
        Where
            | Group
            | Having
            | Window
            | Order
            | Limit
            | Offset
            | Fetch
            | Union
            | Intersect
            | Except
            | Returning
    )
}

#[cfg(test)]
mod tests;
