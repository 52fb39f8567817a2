//! What a byte can mean at the start of a token: one table, so that a lexer
//! takes one look per byte.

/// The role of a byte where a token may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A byte no token begins with: control bytes, `\`, `{`, `}`
    Other,
    /// Space, tab, newline, carriage return, form feed
    Space,
    /// Vertical tab: white space since PostgreSQL 16, an error before
    VerticalTab,
    /// A-Z, a-z, _
    Letter,
    /// A byte with its high bit set: part of a word
    High,
    Digit,
    /// '
    Quote,
    /// "
    DoubleQuote,
    /// $
    Dollar,
    /// .
    Dot,
    /// :
    Colon,
    /// ;
    Semicolon,
    /// ,
    Comma,
    /// (
    ParenOpen,
    /// )
    ParenClose,
    /// [
    BracketOpen,
    /// ]
    BracketClose,
    /// -, which may begin a comment
    Minus,
    /// /, which may begin a comment
    Slash,
    /// The other bytes of which operators are made
    Operator,
}

const fn class_of(byte: u8) -> Class {
    match byte {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0c => Class::Space,
        0x0b => Class::VerticalTab,
        b'A'..=b'Z' | b'a'..=b'z' | b'_' => Class::Letter,
        0x80..=0xff => Class::High,
        b'0'..=b'9' => Class::Digit,
        b'\'' => Class::Quote,
        b'"' => Class::DoubleQuote,
        b'$' => Class::Dollar,
        b'.' => Class::Dot,
        b':' => Class::Colon,
        b';' => Class::Semicolon,
        b',' => Class::Comma,
        b'(' => Class::ParenOpen,
        b')' => Class::ParenClose,
        b'[' => Class::BracketOpen,
        b']' => Class::BracketClose,
        b'-' => Class::Minus,
        b'/' => Class::Slash,
        b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'*' | b'%' | b'<' | b'>'
        | b'=' => Class::Operator,
        _ => Class::Other,
    }
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = class_of(byte as u8);
        byte += 1;
    }
    table
};

const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            matches!(class_of(byte as u8), Class::Letter | Class::High | Class::Digit | Class::Dollar);
        byte += 1;
    }
    table
};

static ASCII_WORD: [bool; 256] = {
    let mut table = WORD;
    let mut byte = 128;
    while byte < 256 {
        table[byte] = false;
        byte += 1;
    }
    table
};

#[inline(always)]
pub(crate) fn class(byte: u8) -> Class {
    CLASSES[byte as usize]
}

/// May `byte` stand inside a word (`ident_cont`)?
#[inline(always)]
pub(crate) fn continues_word(byte: u8) -> bool {
    static TABLE: [bool; 256] = WORD;
    TABLE[byte as usize]
}

/// The same for bytes of ASCII alone.
#[inline(always)]
pub(crate) fn continues_ascii_word(byte: u8) -> bool {
    ASCII_WORD[byte as usize]
}

/// May `byte` begin a word (`ident_start`)?
#[inline(always)]
pub(crate) fn starts_word(byte: u8) -> bool {
    matches!(class(byte), Class::Letter | Class::High)
}

/// May `byte` be part of an operator (`op_chars`)?
#[inline(always)]
pub(crate) fn is_operator(byte: u8) -> bool {
    matches!(class(byte), Class::Operator | Class::Minus | Class::Slash)
}
