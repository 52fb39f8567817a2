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
        if self.modifies() || self.operator_clause() {
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
            if std::mem::take(&mut self.level.relation) {
                self.level.item_end = Some(end);
            }
            self.function(start);
        } else if keyword == Keyword::Values && called {
            // The commas after it separate rows.
            self.leave_relations();
            self.end_with();
        } else if self.level.relation && keyword != Keyword::Join && !self.calls_several(start) {
            self.level.relation = false;
            if !called {
                self.level.item_end = Some(end);
                self.relation(start);
            }
        } else {
            self.stands_for(keyword, start);
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
        let previous = name.previous().map_or(Keyword::Other, |word| word.keyword);
        match keyword.class() {
            _ if self.level.item_end == Some(name.at) => false,
            Class::Reserved | Class::NotFunction => false,
            Class::Infix => !name.follows_operand(),
            // ORDER BY (…), PARTITION BY (…)
            Class::Name if keyword == Keyword::By => {
                !matches!(previous, Keyword::Order | Keyword::Group) && !name.follows_operand()
            }
            Class::Name if self.level.group && matches!(keyword, Keyword::Cube | Keyword::Rollup) => false,
            Class::Name if keyword == Keyword::Set => !name.follows_operand(),
            Class::Name if keyword == Keyword::Conflict => previous != Keyword::On,
            Class::Name if keyword == Keyword::Sets => previous != Keyword::Grouping,
            Class::Name if keyword == Keyword::Zone => previous != Keyword::Time,
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

    /// A relation that is read, unless it is a WITH query.
    fn relation(&mut self, mut at: Cursor) {
        match at.qualified() {
            Some(name) if self.is_with_query(&name) => {}
            Some(name) => add(&mut self.query.reads, name, &mut self.query.broken),
            None => self.query.broken = Some("a name that cannot be read"),
        }
    }

    /// `ROWS FROM (f(), g())`
    fn calls_several(&self, at: Cursor) -> bool {
        at.spells(&[Keyword::Rows, Keyword::From])
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
}

pub(super) fn add(list: &mut Vec<Name>, name: Name, broken: &mut Option<&'static str>) {
    if list.contains(&name) {
        return;
    }
    match list.len() < MOST_NAMES {
        true => list.push(name),
        false => *broken = Some("it names too many objects"),
    }
}
