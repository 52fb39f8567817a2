//! Words that are not reserved: calls, relations, data-modifying statements.

use waypool_scan::TokenKind;

use super::{MOST_NAMES, Reader};
use crate::keyword::{Class, Keyword};
use crate::words::{Cursor, Name};

impl Reader<'_> {
    /// A word that is not reserved, or a quoted identifier: with the parts
    /// that dots join to it, it may be a call, a relation, or nothing of
    /// interest.
    pub(super) fn name(&mut self) {
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
            // ORDER BY (…), PARTITION BY (…)
            Class::Name if keyword == Keyword::By => {
                let orders = name.previous().map_or(Keyword::Other, |word| word.keyword);
                !matches!(orders, Keyword::Order | Keyword::Group) && !name.follows_operand()
            }
            Class::Name => {
                let clause = matches!(keyword, Keyword::Over | Keyword::Filter);
                !(clause && name.previous().is_some_and(|word| word.kind == TokenKind::ParenClose))
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
        self.cursor.previous().is_some_and(|word| word.kind == TokenKind::ParenClose)
    }

    /// After the `*` of a select list comes a clause, which begins with a
    /// reserved word.
    fn after_star(&self) -> bool {
        if self.cursor.previous().is_none_or(|word| word.kind != TokenKind::Operator) {
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
                let named = next == Keyword::Only || self.cursor.peek(1).is_some_and(|word| word.is_name());
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
            || self
                .cursor
                .previous()
                .is_none_or(|word| matches!(word.kind, TokenKind::ParenOpen | TokenKind::ParenClose))
    }

    /// The relation that a statement writes to; a parenthesis after it holds
    /// columns.
    pub(super) fn target(&mut self) {
        self.cursor.accept_any(&[Keyword::Temp, Keyword::Temporary, Keyword::Unlogged]);
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
