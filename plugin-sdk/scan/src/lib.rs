//! A lexer exact to PostgreSQL's rules (`src/backend/parser/scan.l`), without
//! dependencies and without allocations.
//!
//! It serves two masters:
//! - [`Tokens`] cuts a statement into tokens for plugins, which decide from
//!   them what the statement does.
//! - [`shape`] folds literals, white space and comments of a statement, for
//!   the proxy, which keeps a plugin's answer under the result: all
//!   executions of one statement of a program then share one entry.
//!
//! The lexer knows tokens, not grammar: it never fails. What PostgreSQL would
//! refuse comes out as [`TokenKind::Unterminated`] or [`TokenKind::Other`].
//!
//! ```
//! use waypool_scan::{TokenKind, Tokens, Shape, shape};
//!
//! let words: Vec<&str> = Tokens::new("SELECT 1 -- one")
//!     .filter(|token| !token.kind.is_trivia())
//!     .map(|token| token.text("SELECT 1 -- one"))
//!     .collect();
//! assert_eq!(words, ["SELECT", "1"]);
//!
//! let mut key = Vec::new();
//! assert_eq!(shape(b"SELECT * FROM t  WHERE a = 42", true, &mut key), Shape::Folded);
//! assert_eq!(key, b"SELECT * FROM t WHERE a = 0");
//! ```

mod class;
mod lexer;
mod shape;
mod spans;

pub use lexer::{Token, TokenKind, Tokens};
pub use shape::{Shape, shape};
