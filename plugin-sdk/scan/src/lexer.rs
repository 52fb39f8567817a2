//! The token stream for plugins.

use crate::class::{Class, class};
use crate::spans::{self, byte};

#[cfg(test)]
pub(crate) mod tests;

/// What a token is. Keywords are [`Word`](TokenKind::Word)s: which of them
/// are reserved is grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    Whitespace,
    /// `-- …` up to, not including, the newline
    LineComment,
    /// `/* … */`, nested ones inside
    BlockComment,
    /// An identifier without quotes, or a keyword
    Word,
    /// `"…"`
    QuotedIdentifier,
    /// `U&"…"`
    UnicodeIdentifier,
    /// `'…'`, with its continuations on later lines
    String,
    /// `E'…'`
    EscapeString,
    /// `U&'…'`
    UnicodeString,
    /// `N'…'`
    NationalString,
    /// `B'…'`
    BitString,
    /// `X'…'`
    HexString,
    /// `$$…$$`, `$tag$…$tag$`
    DollarString,
    /// Integers and decimals of every notation
    Number,
    /// `$1`
    Parameter,
    /// Every operator but those which have a kind of their own
    Operator,
    /// `::`
    Cast,
    /// `:=`
    ColonEquals,
    /// `..`
    DotDot,
    Comma,
    Dot,
    Semicolon,
    Colon,
    ParenOpen,
    ParenClose,
    BracketOpen,
    BracketClose,
    /// The rest of the text, in which a quote or a comment does not end
    Unterminated,
    /// A byte with which no token begins
    Other,
}

impl TokenKind {
    /// White space and comments: what the grammar does not see.
    pub fn is_trivia(self) -> bool {
        matches!(self, Self::Whitespace | Self::LineComment | Self::BlockComment)
    }

    /// A constant: a string of any notation, or a number.
    pub fn is_literal(self) -> bool {
        use TokenKind::*;
        matches!(
            self,
            String
                | EscapeString
                | UnicodeString
                | NationalString
                | BitString
                | HexString
                | DollarString
                | Number
        )
    }
}

/// One token: the bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    /// The token's own text, of the text that was scanned.
    pub fn text<'a>(&self, text: &'a str) -> &'a str {
        // A token ends where an ASCII byte or the text does, so a boundary
        // inside a character cannot happen with the text that was scanned.
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// The tokens of a text, white space and comments among them: the spans
/// follow one another and cover the text. Strings are read as with
/// `standard_conforming_strings = on`, PostgreSQL's default.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    /// Up to here stand only `+` and `-`, each an operator by itself. Known
    /// once for the whole run, else a long run would take quadratic time.
    signs_until: usize,
}

impl<'a> Tokens<'a> {
    /// Tokens of one message of a client.
    pub fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, signs_until: 0 }
    }

    /// The next token that is neither white space nor a comment.
    #[inline]
    pub fn next_solid(&mut self) -> Option<Token> {
        loop {
            // No token has to be made of what most white space is.
            while self.text.get(self.at) == Some(&b' ') {
                self.at += 1;
            }
            let token = self.next()?;
            if !token.kind.is_trivia() {
                return Some(token);
            }
        }
    }

    /// A prefix letter directly before a quote makes one token of both.
    fn word(&self, start: usize) -> (TokenKind, Option<usize>) {
        use TokenKind::*;
        let text = self.text;
        match (text[start] | 0x20, byte(text, start + 1)) {
            (b'e', b'\'') => (EscapeString, spans::string(text, start + 2, true)),
            (b'n', b'\'') => (NationalString, spans::string(text, start + 2, false)),
            (b'b', b'\'') => (BitString, spans::string(text, start + 2, false)),
            (b'x', b'\'') => (HexString, spans::string(text, start + 2, false)),
            (b'u', b'&') => match byte(text, start + 2) {
                b'\'' => (UnicodeString, spans::string(text, start + 3, false)),
                b'"' => (UnicodeIdentifier, spans::quoted_identifier(text, start + 3)),
                _ => (Word, Some(start + 1)),
            },
            _ => (Word, Some(spans::word(text, start + 1))),
        }
    }

    fn dollar(&self, start: usize) -> (TokenKind, Option<usize>) {
        let text = self.text;
        if byte(text, start + 1).is_ascii_digit() {
            let digits = text[start + 1..].iter().take_while(|byte| byte.is_ascii_digit());
            return (TokenKind::Parameter, Some(start + 1 + digits.count()));
        }
        match spans::dollar_delimiter(text, start) {
            Some(body) => (TokenKind::DollarString, spans::dollar_string(text, start, body)),
            None => (TokenKind::Other, Some(start + 1)),
        }
    }

    fn operator(&mut self, start: usize) -> (TokenKind, Option<usize>) {
        if start < self.signs_until {
            return (TokenKind::Operator, Some(start + 1));
        }
        let (end, run) = spans::operator(self.text, start);
        if end < run {
            self.signs_until = run;
        }
        (TokenKind::Operator, Some(end))
    }

    fn token(&mut self, start: usize) -> (TokenKind, Option<usize>) {
        use TokenKind::*;
        let text = self.text;
        let next = byte(text, start + 1);
        match class(text[start]) {
            Class::Space | Class::VerticalTab => {
                let space = |byte: &&u8| matches!(class(**byte), Class::Space | Class::VerticalTab);
                let length = text[start..].iter().take_while(space).count();
                (Whitespace, Some(start + length))
            }
            Class::Letter => self.word(start),
            Class::High => (Word, Some(spans::word(text, start + 1))),
            Class::Digit => (Number, Some(spans::number(text, start))),
            Class::Quote => (String, spans::string(text, start + 1, false)),
            Class::DoubleQuote => (QuotedIdentifier, spans::quoted_identifier(text, start + 1)),
            Class::Dollar => self.dollar(start),
            Class::Dot if next.is_ascii_digit() => (Number, Some(spans::number(text, start))),
            Class::Dot if next == b'.' => (DotDot, Some(start + 2)),
            Class::Dot => (Dot, Some(start + 1)),
            Class::Colon if next == b':' => (Cast, Some(start + 2)),
            Class::Colon if next == b'=' => (ColonEquals, Some(start + 2)),
            Class::Colon => (Colon, Some(start + 1)),
            Class::Semicolon => (Semicolon, Some(start + 1)),
            Class::Comma => (Comma, Some(start + 1)),
            Class::ParenOpen => (ParenOpen, Some(start + 1)),
            Class::ParenClose => (ParenClose, Some(start + 1)),
            Class::BracketOpen => (BracketOpen, Some(start + 1)),
            Class::BracketClose => (BracketClose, Some(start + 1)),
            Class::Minus if next == b'-' => (LineComment, Some(spans::line_comment(text, start))),
            Class::Slash if next == b'*' => (BlockComment, spans::block_comment(text, start)),
            Class::Minus | Class::Slash | Class::Operator => self.operator(start),
            Class::Other => (Other, Some(start + 1)),
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    #[inline]
    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        if start >= self.text.len() {
            return None;
        }
        let (kind, end) = match self.token(start) {
            (kind, Some(end)) if end <= self.text.len() => (kind, end),
            _ => (TokenKind::Unterminated, self.text.len()),
        };
        self.at = end;
        Some(Token { kind, start, end })
    }
}
