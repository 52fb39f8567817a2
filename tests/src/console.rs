//! The admin console, as a client sees it.

use std::ops::Deref;

use crate::Proxy;
use crate::raw::{self, Raw};
use crate::wire::Message;

/// A client of the database `waypool`.
#[derive(Debug)]
pub struct Console {
    pub raw: Raw,
}

/// What a SHOW answers.
#[derive(Debug)]
pub struct Table {
    pub columns: Vec<String>,
    /// The columns' types.
    pub oids: Vec<u32>,
    rows: Vec<Vec<Option<String>>>,
}

/// One row of it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'t> {
    table: &'t Table,
    values: &'t [Option<String>],
}

impl Console {
    /// As the user `postgres`, where the proxy trusts everybody.
    #[track_caller]
    pub fn login(proxy: &Proxy) -> Console {
        Console::login_as(proxy, "postgres")
    }

    #[track_caller]
    pub fn login_as(proxy: &Proxy, user: &str) -> Console {
        let parameters = [("user", user), ("database", "waypool"), ("application_name", "console test")];
        Console { raw: Raw::login_with(proxy, &parameters) }
    }

    /// The rows of a SHOW.
    #[track_caller]
    pub fn show(&mut self, what: &str) -> Table {
        let answer = self.raw.query(&format!("SHOW {what}"));
        assert_eq!(raw::sqlstate(&answer), None, "SHOW {what}: {answer:?}");
        Table::of(&answer)
    }

    /// An order that has to succeed, with this tag.
    #[track_caller]
    pub fn order(&mut self, command: &str) {
        let answer = self.raw.query(command);
        let tag = answer.iter().find(|message| message.tag == b'C').unwrap_or_else(|| {
            panic!("{command}: {}", answer.iter().map(raw::text).collect::<String>());
        });
        let verb = command.split(' ').next().unwrap_or_default();
        assert_eq!(tag.body.strip_suffix(b"\0"), Some(verb.as_bytes()), "{command}");
    }

    /// The SQLSTATE and the message of an order that has to fail.
    #[track_caller]
    pub fn refused(&mut self, command: &str) -> (String, String) {
        let answer = self.raw.query(command);
        let error = answer.iter().find(|message| message.tag == b'E');
        let error = error.unwrap_or_else(|| panic!("{command} should have failed: {answer:?}"));
        (error.field(b'C').unwrap_or_default(), error.field(b'M').unwrap_or_default())
    }
}

impl Table {
    /// What these messages tell; panics without a RowDescription.
    #[track_caller]
    pub fn of(answer: &[Message]) -> Table {
        let described = answer.iter().find(|message| message.tag == b'T').expect("a RowDescription");
        let (mut columns, mut oids) = (Vec::new(), Vec::new());
        let mut rest = &described.body[2..];
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            columns.push(String::from_utf8_lossy(&rest[..end]).into_owned());
            let fields = &rest[end + 1..];
            oids.push(u32::from_be_bytes([fields[6], fields[7], fields[8], fields[9]]));
            rest = &fields[18..];
        }
        let rows = answer.iter().filter(|message| message.tag == b'D').map(Message::columns).collect();
        Table { columns, oids, rows }
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { table: self, values })
    }

    /// The rows in which these columns have these values.
    pub fn find(&self, wanted: &[(&str, &str)]) -> Vec<Row<'_>> {
        let fits = |row: &Row<'_>| wanted.iter().all(|(column, value)| row.get(column) == *value);
        self.rows().filter(fits).collect()
    }

    /// The only one of [`Table::find`].
    #[track_caller]
    pub fn one(&self, wanted: &[(&str, &str)]) -> Row<'_> {
        let found = self.find(wanted);
        assert_eq!(found.len(), 1, "{wanted:?} in {self:?}");
        found[0]
    }
}

impl<'t> Row<'t> {
    /// `""` for NULL.
    #[track_caller]
    pub fn get(&self, column: &str) -> &'t str {
        let at = self.table.columns.iter().position(|name| name == column);
        let at = at.unwrap_or_else(|| panic!("no column {column} in {:?}", self.table.columns));
        self.values[at].as_deref().unwrap_or_default()
    }

    #[track_caller]
    pub fn number(&self, column: &str) -> u64 {
        self.get(column).parse().unwrap_or_else(|_| panic!("{column} is no number: {:?}", self.values))
    }
}

impl Deref for Console {
    type Target = Raw;

    fn deref(&self) -> &Raw {
        &self.raw
    }
}
