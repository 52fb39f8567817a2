//! Answers with rows, in the types that PgBouncer gives its columns.

use crate::protocol::backend::message;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int4,
    Int8,
    Numeric,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Text(String),
    Number(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
}

/// How a client wants the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

pub const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

pub const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int4 }
}

pub const fn long(name: &'static str) -> Column {
    Column { name, kind: Kind::Int8 }
}

pub const fn numeric(name: &'static str) -> Column {
    Column { name, kind: Kind::Numeric }
}

// === impl Kind ===

impl Kind {
    fn oid(self) -> u32 {
        match self {
            Kind::Text => 25,
            Kind::Int4 => 23,
            Kind::Int8 => 20,
            Kind::Numeric => 1700,
        }
    }

    /// Bytes of a value; -1 for a variable number.
    fn size(self) -> i16 {
        match self {
            Kind::Int4 => 4,
            Kind::Int8 => 8,
            Kind::Text | Kind::Numeric => -1,
        }
    }
}

// === impl Value ===

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Value::Number(number as u64)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Number(flag.into())
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Value::Null, V::into)
    }
}

// === impl Table ===

impl Table {
    pub fn new(columns: &[Column]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Of text alone.
    pub fn of_text(columns: &[&'static str], rows: Vec<Vec<String>>) -> Self {
        let columns = columns.iter().map(|name| text(name)).collect();
        let rows = rows.into_iter().map(|row| row.into_iter().map(Value::Text).collect());
        Table { columns, rows: rows.collect() }
    }

    /// Appends the RowDescription.
    pub fn describe(&self, formats: &[Format], out: &mut Vec<u8>) {
        message(out, b'T', |body| {
            body.extend((self.columns.len() as u16).to_be_bytes());
            for (at, column) in self.columns.iter().enumerate() {
                body.extend_from_slice(column.name.as_bytes());
                body.push(0);
                body.extend([0; 6]); // no table, no column number
                body.extend(column.kind.oid().to_be_bytes());
                body.extend(column.kind.size().to_be_bytes());
                body.extend((-1i32).to_be_bytes()); // no type modifier
                body.extend(u16::from(format_of(formats, at) == Format::Binary).to_be_bytes());
            }
        });
    }

    /// Appends one DataRow.
    pub fn row(&self, row: &[Value], formats: &[Format], out: &mut Vec<u8>) {
        message(out, b'D', |body| {
            body.extend((row.len() as u16).to_be_bytes());
            for (at, (value, column)) in row.iter().zip(&self.columns).enumerate() {
                let bytes = match format_of(formats, at) {
                    Format::Text => as_text(value),
                    Format::Binary => as_binary(value, column.kind),
                };
                match bytes {
                    Some(bytes) => {
                        body.extend((bytes.len() as u32).to_be_bytes());
                        body.extend(bytes);
                    }
                    None => body.extend((-1i32).to_be_bytes()),
                }
            }
        });
    }
}

/// As in Bind: none is text for all, one is for all.
fn format_of(formats: &[Format], column: usize) -> Format {
    match formats {
        [] => Format::Text,
        [all] => *all,
        each => each.get(column).copied().unwrap_or(Format::Text),
    }
}

fn as_text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.clone().into_bytes()),
        Value::Number(number) => Some(number.to_string().into_bytes()),
    }
}

/// A number that is too large for its column is the largest there is.
fn as_binary(value: &Value, kind: Kind) -> Option<Vec<u8>> {
    let number = match value {
        Value::Number(number) => *number,
        other => return as_text(other),
    };
    Some(match kind {
        Kind::Text => number.to_string().into_bytes(),
        Kind::Int4 => i32::try_from(number).unwrap_or(i32::MAX).to_be_bytes().to_vec(),
        Kind::Int8 => i64::try_from(number).unwrap_or(i64::MAX).to_be_bytes().to_vec(),
        Kind::Numeric => numeric_bytes(number),
    })
}

/// `numeric_send` of a whole number: digits to the base of 10,000.
fn numeric_bytes(mut number: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push((number % 10_000) as u16);
        number /= 10_000;
    }
    digits.reverse();
    let weight = digits.len().saturating_sub(1) as u16;
    let head = [digits.len() as u16, weight, 0, 0];
    head.into_iter().chain(digits).flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests;
