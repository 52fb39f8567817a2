//! A statement as the grammar sees it: tokens without white space and comments.

use waypool_scan::{TokenKind, Tokens};

#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
    /// Of a parenthesis that opens: the word that closes it
    partner: usize,
}

/// Cuts a text into statements, empty ones left out. `None`: it is not cut the
/// way that PostgreSQL would, which will complain.
pub fn statements(text: &str) -> Option<Vec<Vec<Word>>> {
    let mut statements = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let mut open = Vec::new();
    for token in Tokens::new(text).filter(|token| !token.kind.is_trivia()) {
        let here = words.len();
        match token.kind {
            TokenKind::Unterminated | TokenKind::Other => return None,
            TokenKind::ParenOpen => open.push(here),
            TokenKind::ParenClose => words.get_mut(open.pop()?)?.partner = here,
            TokenKind::Semicolon if open.is_empty() => {
                statements.push(std::mem::take(&mut words));
                continue;
            }
            _ => {}
        }
        words.push(Word { kind: token.kind, start: token.start, end: token.end, partner: here });
    }
    statements.push(words);
    statements.retain(|words| !words.is_empty());
    open.is_empty().then_some(statements)
}

/// Whether a plain string has a backslash before a quote: with
/// standard_conforming_strings off it would go on there.
pub fn is_ambiguous(text: &str, words: &[Word]) -> bool {
    let plain = |word: &&Word| matches!(word.kind, TokenKind::String | TokenKind::NationalString);
    words
        .iter()
        .filter(plain)
        .any(|word| text.get(word.start..word.end).is_some_and(|raw| raw.contains("\\'")))
}

/// The words of one statement. Reading behind the end gives nothing: nothing has
/// to be checked first.
#[derive(Clone, Copy)]
pub struct Statement<'a> {
    pub text: &'a str,
    pub words: &'a [Word],
}

/// A name as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub schema: Option<String>,
    pub name: String,
    /// The word behind it
    pub end: usize,
}

impl<'a> Statement<'a> {
    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn kind(&self, at: usize) -> Option<TokenKind> {
        self.words.get(at).map(|word| word.kind)
    }

    pub fn raw(&self, at: usize) -> &'a str {
        self.words.get(at).and_then(|word| self.text.get(word.start..word.end)).unwrap_or_default()
    }

    /// The text of these words, with what stands between them.
    pub fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(self.start(from)..self.end(to)).unwrap_or_default()
    }

    /// Where the word begins in the text.
    pub fn start(&self, at: usize) -> usize {
        self.words.get(at).map_or(self.text.len(), |word| word.start)
    }

    /// Where the word before `to` ends in the text.
    pub fn end(&self, to: usize) -> usize {
        to.checked_sub(1).and_then(|last| self.words.get(last)).map_or(0, |word| word.end)
    }

    /// Is this word, without quotes, that keyword (in lower case)?
    pub fn is(&self, at: usize, keyword: &str) -> bool {
        self.kind(at) == Some(TokenKind::Word) && self.raw(at).eq_ignore_ascii_case(keyword)
    }

    pub fn is_any(&self, at: usize, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(at, keyword))
    }

    /// Do the words here spell these keywords?
    pub fn spells(&self, at: usize, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(ahead, keyword)| self.is(at + ahead, keyword))
    }

    pub fn opens(&self, at: usize) -> bool {
        self.kind(at) == Some(TokenKind::ParenOpen)
    }

    pub fn closes(&self, at: usize) -> bool {
        self.kind(at) == Some(TokenKind::ParenClose)
    }

    /// Where the parenthesis closes that opens here.
    pub fn partner(&self, at: usize) -> usize {
        self.words.get(at).map_or(at, |word| word.partner)
    }

    /// The word behind this one, or behind the parenthesis that opens here.
    pub fn next(&self, at: usize) -> usize {
        if self.opens(at) { self.partner(at) + 1 } else { at + 1 }
    }

    /// An identifier, as PostgreSQL folds it.
    pub fn identifier(&self, at: usize) -> Option<String> {
        let raw = self.raw(at);
        match self.kind(at)? {
            TokenKind::Word => Some(raw.to_ascii_lowercase()),
            TokenKind::QuotedIdentifier => Some(raw.get(1..raw.len().checked_sub(1)?)?.replace("\"\"", "\"")),
            _ => None,
        }
    }

    /// `a`, `a.b` or `a.b.c`: its last two parts.
    pub fn name(&self, at: usize) -> Option<Name> {
        let mut name = Name { schema: None, name: self.identifier(at)?, end: at + 1 };
        while self.kind(name.end) == Some(TokenKind::Dot)
            && let Some(next) = self.identifier(name.end + 1)
        {
            name = Name { schema: Some(name.name), name: next, end: name.end + 2 };
        }
        Some(name)
    }

    /// The first of these keywords outside of parentheses, or the end.
    pub fn find(&self, from: usize, to: usize, keywords: &[&str]) -> usize {
        let mut at = from;
        while at < to && !self.is_any(at, keywords) {
            at = self.next(at);
        }
        at.min(to)
    }

    /// What stands between commas here, outside of parentheses and brackets.
    pub fn items(&self, from: usize, to: usize) -> Vec<(usize, usize)> {
        let (mut items, mut start, mut at, mut brackets) = (Vec::new(), from, from, 0usize);
        while at < to {
            match self.kind(at) {
                Some(TokenKind::BracketOpen) => brackets += 1,
                Some(TokenKind::BracketClose) => brackets = brackets.saturating_sub(1),
                Some(TokenKind::Comma) if brackets == 0 => {
                    items.push((start, at));
                    start = at + 1;
                }
                _ => {}
            }
            at = self.next(at);
        }
        items.push((start, to));
        items
    }

    /// Does a query begin here?
    pub fn begins_query(&self, at: usize) -> bool {
        self.is_any(at, &["select", "with", "values", "table"])
    }
}
