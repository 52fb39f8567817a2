//! The columns of a table that take their defaults.

use waypool_plugin_sdk::{Column, ColumnsFact, Host, Identity, Volatility};

use crate::known;
use crate::words::{Name, statements};
use waypool_scan::TokenKind;

/// What becomes of a column without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value for a whole statement, which each server would have to itself
    Stable,
    /// The next of a sequence
    Sequence,
    Volatile,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Default {
    pub kind: Kind,
    pub column: String,
    pub expression: String,
    pub type_name: String,
    /// GENERATED ALWAYS AS IDENTITY
    pub always: bool,
}

/// What is known of a table.
pub enum Table {
    /// The proxy has to look.
    Unknown,
    /// There is none, which PostgreSQL will say.
    Missing,
    /// A view, or one of several tables which differ in this: which is not told
    /// by the name.
    Unclear(&'static str),
    Found(Vec<Column>),
}

pub fn find(host: &Host, name: &Name) -> Table {
    let tables = match host.columns_fact(name.schema.as_deref(), &name.name) {
        ColumnsFact::Unknown => return Table::Unknown,
        ColumnsFact::Missing => return Table::Missing,
        ColumnsFact::Found(tables) => tables,
    };
    if tables.iter().any(|table| table.view) {
        return Table::Unclear("a view, whose columns may have defaults of the table behind it");
    }
    let mut tables = tables.into_iter();
    let Some(first) = tables.next() else {
        return Table::Missing;
    };
    match tables.all(|table| table.columns == first.columns) {
        true => Table::Found(first.columns),
        false => Table::Unclear("in several schemas, with other columns"),
    }
}

/// The default of a column, if the servers would not have the same.
pub fn default(column: &Column) -> Option<Default> {
    let expression = column.default_value.clone().filter(|_| !column.generated)?;
    let kind = match column.volatility {
        Volatility::Immutable => return None,
        Volatility::Stable if is_of_session(&expression) => return None,
        Volatility::Stable => Kind::Stable,
        Volatility::Volatile if is_next_value(&expression) => Kind::Sequence,
        Volatility::Volatile => Kind::Volatile,
    };
    Some(Default {
        kind,
        column: column.name.clone(),
        expression,
        type_name: column.type_name.clone(),
        always: column.identity == Identity::Always,
    })
}

/// `nextval('…'::regclass)`, and nothing else.
fn is_next_value(expression: &str) -> bool {
    let call = expression.strip_prefix("pg_catalog.").unwrap_or(expression);
    call.starts_with("nextval(")
        && call.ends_with(')')
        && !call.contains(")(")
        && call.matches('(').count() == 1
}

/// It tells of the session alone: `CURRENT_USER`, `current_setting('a.b')`.
fn is_of_session(expression: &str) -> bool {
    let mut after_cast = false;
    statements(expression).unwrap_or_default().iter().flatten().all(|word| {
        let raw = expression.get(word.start..word.end).unwrap_or_default().to_ascii_lowercase();
        let behind_cast = std::mem::replace(&mut after_cast, word.kind == TokenKind::Cast);
        word.kind != TokenKind::Word || behind_cast || known::is_of_session(&raw) || raw == "true"
    })
}

/// As SQL writes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
