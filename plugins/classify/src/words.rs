//! A statement as the grammar sees it: tokens without white space and
//! comments, keywords recognised, identifiers folded on demand.

use waypool_scan::{TokenKind, Tokens};

use crate::keyword::{Class, Keyword};

/// A token that the grammar sees.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub kind: TokenKind,
    /// `Other` for everything but an unquoted word
    pub keyword: Keyword,
    start: usize,
    end: usize,
}

impl Word {
    /// An identifier, quoted or not, or a keyword that may be one.
    pub fn is_name(&self) -> bool {
        match self.kind {
            TokenKind::Word => !self.keyword.is_reserved(),
            TokenKind::QuotedIdentifier => true,
            _ => false,
        }
    }
}

/// Cuts `text` into `words`, whose storage is reused from text to text.
/// Answers whether a plain string has a backslash before a quote.
///
/// `'a\'` is a string by itself, unless standard_conforming_strings is off,
/// when it goes on. The text alone does not tell.
pub fn cut(text: &str, words: &mut Vec<Word>) -> bool {
    let mut ambiguous = false;
    words.clear();
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next_solid() {
        let bytes = text.as_bytes().get(token.start..token.end).unwrap_or_default();
        let mut keyword = Keyword::Other;
        match token.kind {
            TokenKind::Word => keyword = Keyword::of(bytes),
            TokenKind::String | TokenKind::NationalString => {
                ambiguous |= bytes.windows(2).any(|pair| pair == b"\\'");
            }
            _ => {}
        }
        words.push(Word { kind: token.kind, keyword, start: token.start, end: token.end });
    }
    ambiguous
}

/// The name of a function or a relation, as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub schema: Option<String>,
    pub name: String,
}

impl Name {
    /// `schema.name` or `name`
    pub fn display(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }

    pub fn into_display(self) -> String {
        match self.schema {
            Some(_) => self.display(),
            None => self.name,
        }
    }
}

/// A place among the words of one statement. Reading behind the end gives
/// `Keyword::Other` and no kind: nothing has to be checked first.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    text: &'a str,
    words: &'a [Word],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str, words: &'a [Word]) -> Self {
        Self { text, words, at: 0 }
    }

    pub fn words(&self) -> &'a [Word] {
        self.words
    }

    /// The words from here on as a statement of their own.
    pub fn rest(&self) -> Cursor<'a> {
        Cursor::new(self.text, self.words.get(self.at..).unwrap_or_default())
    }

    /// The words `from..to` as a statement of their own.
    pub fn between(&self, from: usize, to: usize) -> Cursor<'a> {
        Cursor::new(self.text, self.words.get(from..to).unwrap_or_default())
    }

    pub fn at_end(&self) -> bool {
        self.at >= self.words.len()
    }

    pub fn peek(&self, ahead: usize) -> Option<&'a Word> {
        self.words.get(self.at + ahead)
    }

    pub fn kind(&self, ahead: usize) -> Option<TokenKind> {
        self.peek(ahead).map(|word| word.kind)
    }

    pub fn keyword(&self, ahead: usize) -> Keyword {
        self.peek(ahead).map_or(Keyword::Other, |word| word.keyword)
    }

    /// The keyword before this word, `Other` at the start.
    pub fn previous(&self) -> Option<&'a Word> {
        self.at.checked_sub(1).and_then(|before| self.words.get(before))
    }

    /// Steps over `keyword` if it stands here.
    pub fn accept(&mut self, keyword: Keyword) -> bool {
        let found = self.keyword(0) == keyword;
        self.at += usize::from(found);
        found
    }

    pub fn accept_any(&mut self, keywords: &[Keyword]) -> bool {
        keywords.iter().any(|&keyword| self.accept(keyword))
    }

    /// Does one of the words from here on spell `keyword`?
    pub fn contains(&self, keyword: Keyword) -> bool {
        self.rest().words.iter().any(|word| word.keyword == keyword)
    }

    /// Do the words here spell `keywords`, one after the other?
    pub fn spells(&self, keywords: &[Keyword]) -> bool {
        keywords.iter().enumerate().all(|(ahead, &keyword)| self.keyword(ahead) == keyword)
    }

    /// The text of the word here, as written.
    pub fn raw(&self) -> &'a str {
        self.peek(0).map_or("", |word| self.source(word))
    }

    /// The whole text of this statement.
    pub fn statement_text(&self) -> &'a str {
        match (self.words.first(), self.words.last()) {
            (Some(first), Some(last)) => self.text.get(first.start..last.end).unwrap_or_default(),
            _ => "",
        }
    }

    fn source(&self, word: &Word) -> &'a str {
        self.text.get(word.start..word.end).unwrap_or_default()
    }

    /// Steps over an identifier and answers it as PostgreSQL folds it.
    /// Reserved words count as well: behind AS or a dot they are names.
    pub fn identifier(&mut self) -> Option<String> {
        let word = self.peek(0)?;
        let source = self.source(word);
        let folded = match word.kind {
            TokenKind::Word => source.to_ascii_lowercase(),
            TokenKind::QuotedIdentifier => source.get(1..source.len().checked_sub(1)?)?.replace("\"\"", "\""),
            _ => return None,
        };
        self.at += 1;
        Some(truncated(folded))
    }

    /// Steps over `a`, `a.b` or `a.b.c` without building anything; answers
    /// whether there was one.
    pub fn skip_qualified(&mut self) -> bool {
        let is_part = |kind| matches!(kind, Some(TokenKind::Word | TokenKind::QuotedIdentifier));
        if !is_part(self.kind(0)) {
            return false;
        }
        self.at += 1;
        while self.kind(0) == Some(TokenKind::Dot) && is_part(self.kind(1)) {
            self.at += 2;
        }
        true
    }

    /// Steps over `a`, `a.b` or `a.b.c` and answers its last two parts.
    pub fn qualified(&mut self) -> Option<Name> {
        let start = self.at;
        if !self.skip_qualified() {
            return None;
        }
        let end = self.at;
        self.at = end - 1;
        let name = self.identifier();
        let schema = (end - start >= 3).then(|| self.between(end - 3, end).identifier_here());
        self.at = end;
        Some(Name { schema: schema.flatten(), name: name? })
    }

    fn identifier_here(mut self) -> Option<String> {
        self.identifier()
    }

    /// Steps over everything up to and including the parenthesis that closes
    /// the one here; answers where the closing one stands.
    pub fn skip_parentheses(&mut self) -> Option<usize> {
        if self.kind(0) != Some(TokenKind::ParenOpen) {
            return None;
        }
        let mut depth = 0usize;
        while let Some(kind) = self.kind(0) {
            self.at += 1;
            match kind {
                TokenKind::ParenOpen => depth += 1,
                TokenKind::ParenClose => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(self.at - 1);
            }
        }
        None
    }

    /// Does an operand end just before this word, so that a word here joins
    /// it to another?
    pub fn follows_operand(&self) -> bool {
        use TokenKind::*;
        let Some(previous) = self.previous() else {
            return false;
        };
        match previous.kind {
            Word => match previous.keyword.class() {
                Class::Name if previous.keyword == Keyword::By => false,
                Class::Name | Class::NotFunction | Class::Infix => true,
                Class::Reserved => previous.keyword == Keyword::Not,
            },
            QuotedIdentifier | UnicodeIdentifier | ParenClose | BracketClose | Parameter => true,
            kind => kind.is_literal(),
        }
    }
}

/// NAMEDATALEN: PostgreSQL cuts identifiers at 63 bytes, between characters.
fn truncated(mut name: String) -> String {
    let mut end = name.len().min(63);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

#[cfg(test)]
mod tests;
