//! Data-modifying statements, and what they write to.

use waypool_scan::TokenKind;

use super::Reader;
use super::names::add;
use crate::keyword::Keyword;

impl Reader<'_> {
    /// INSERT, UPDATE, DELETE and MERGE are not reserved: a column may have
    /// such a name. What follows tells. Answers whether it read one.
    pub(super) fn modifies(&mut self) -> bool {
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
        self.end_with();
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
            let mut name = start;
            match name.qualified() {
                Some(name) => add(&mut self.query.targets, name, &mut self.query.broken),
                None => self.query.broken = Some("a name that cannot be read"),
            }
        }
    }
}
