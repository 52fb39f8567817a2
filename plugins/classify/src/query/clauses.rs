//! Reserved words: the clauses of a query.

use waypool_scan::TokenKind;

use super::{Into, Reader};
use crate::keyword::Keyword;

impl Reader<'_> {
    pub(super) fn reserved(&mut self) {
        let keyword = self.cursor.keyword(0);
        match keyword {
            Keyword::As => return self.label(),
            Keyword::From => self.from(),
            Keyword::Select => {
                self.level.query = true;
                self.leave_relations();
                self.end_with();
            }
            Keyword::Table => {
                self.level.relation = true;
                self.end_with();
            }
            Keyword::In => self.implied(&["=", "<>"]),
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
            keyword if ends_relations(keyword) => {
                self.end_relations();
                self.level.group = keyword == Keyword::Group;
            }
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
        let compares = self.cursor.previous().is_some_and(|word| word.keyword == Keyword::Distinct);
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

    pub(super) fn leave_relations(&mut self) {
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
        self.with_body();
    }

    /// SELECT … INTO; that of INSERT and MERGE is read with them.
    fn into(&mut self) {
        self.cursor.at += 1;
        let temporary = matches!(self.cursor.keyword(0), Keyword::Temp | Keyword::Temporary);
        self.query.into = Some(if temporary { Into::Temporary } else { Into::Permanent });
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
