//! The extended protocol on the console. PgBouncer has none, which keeps many
//! drivers away: here a statement is run when its portal is described or
//! executed, and its parameters are ignored, as nothing takes any.

use super::command::Command;
use super::table::{Format, Table};
use super::{Answer, Console, complete, show};
use crate::protocol::PgError;
use crate::protocol::backend::{message, split_text};
use crate::protocol::error::notice;
use crate::protocol::frontend::{Named, Parse, execute_portal};
use crate::session::End;
use std::collections::HashMap;

/// Statements and portals that one client may have at a time.
const MOST: usize = 1000;

/// What a client of the console has prepared, by name.
#[derive(Debug, Default)]
pub(super) struct Statements {
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, Portal>,
    /// After an error: everything to the next Sync is dropped.
    skipping: bool,
}

#[derive(Debug)]
struct Portal {
    text: String,
    formats: Vec<Format>,
    /// Once it was described or executed, and the rows that have been sent.
    answer: Option<(Answer, usize)>,
}

impl Console {
    pub(super) async fn on_extended(&mut self, tag: u8, body: &[u8]) -> Result<(), End> {
        if tag == b'S' {
            self.extended.skipping = false;
            // A portal ends with its transaction.
            self.extended.portals.clear();
            self.ready();
            return Ok(());
        }
        if self.extended.skipping || tag == b'H' {
            return Ok(());
        }
        let done = match tag {
            b'P' => self.parse(body),
            b'B' => self.bind(body),
            b'D' => self.describe(body),
            b'E' => self.on_execute(body).await?,
            _ => self.close(body),
        };
        if let Err(error) = done {
            self.error(&error);
            self.extended.skipping = true;
        }
        Ok(())
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), PgError> {
        let parse = Parse::read(body).ok_or_else(malformed)?;
        let text = String::from_utf8_lossy(parse.text).into_owned();
        Command::parse(&text)?;
        let statements = &mut self.extended.statements;
        if !parse.statement.is_empty() && statements.contains_key(parse.statement) {
            let name = String::from_utf8_lossy(parse.statement);
            return Err(PgError::error("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        if statements.len() >= MOST {
            return Err(PgError::error("53000", "too many prepared statements on the admin console"));
        }
        statements.insert(parse.statement.to_vec(), text);
        message(self.client.outbox.push(), b'1', |_| {});
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<&String, PgError> {
        self.extended.statements.get(name).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            PgError::error("26000", format!("prepared statement \"{name}\" does not exist"))
        })
    }

    fn bind(&mut self, body: &[u8]) -> Result<(), PgError> {
        let (portal, rest) = split_text(body).ok_or_else(malformed)?;
        let (statement, rest) = split_text(rest).ok_or_else(malformed)?;
        let formats = result_formats(rest).ok_or_else(malformed)?;
        let text = self.statement(statement)?.clone();
        if self.extended.portals.len() >= MOST {
            return Err(PgError::error("53000", "too many portals on the admin console"));
        }
        self.extended.portals.insert(portal.to_vec(), Portal { text, formats, answer: None });
        message(self.client.outbox.push(), b'2', |_| {});
        Ok(())
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), PgError> {
        match Named::read(body).ok_or_else(malformed)? {
            Named::Statement(name) => {
                let text = self.statement(name)?.clone();
                let table = self.look(&text)?.and_then(|answer| answer.table);
                let out = self.client.outbox.push();
                message(out, b't', |body| body.extend([0, 0]));
                columns(table.as_ref(), &[], out);
            }
            Named::Portal(name) => {
                let portal = self.extended.portals.get(name).ok_or_else(|| no_portal(name))?;
                let (text, formats) = (portal.text.clone(), portal.formats.clone());
                let answer = self.look(&text)?;
                columns(
                    answer.as_ref().and_then(|answer| answer.table.as_ref()),
                    &formats,
                    self.client.outbox.push(),
                );
                if let Some(portal) = self.extended.portals.get_mut(name) {
                    // The same rows come when it is executed.
                    portal.answer = answer.map(|answer| (answer, 0));
                }
            }
        }
        Ok(())
    }

    /// What a SHOW answers; `None`: it is an order.
    fn look(&self, text: &str) -> Result<Option<Answer>, PgError> {
        Ok(match Command::parse(text)? {
            Command::Show(what) => Some(show::answer(what, &self.worker.proxy)),
            _ => None,
        })
    }

    async fn on_execute(&mut self, body: &[u8]) -> Result<Result<(), PgError>, End> {
        let Some((name, most)) = execute_portal(body).zip(max_rows(body)) else {
            return Ok(Err(malformed()));
        };
        let Some(portal) = self.extended.portals.get_mut(name) else {
            return Ok(Err(no_portal(name)));
        };
        if portal.answer.is_none() {
            let text = portal.text.clone();
            let answer = match self.execute(&text).await? {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(portal) = self.extended.portals.get_mut(name) {
                portal.answer = Some((answer, 0));
            }
        }
        if let Some(portal) = self.extended.portals.get_mut(name) {
            portal.send(most, self.client.outbox.push());
        }
        Ok(Ok(()))
    }

    fn close(&mut self, body: &[u8]) -> Result<(), PgError> {
        match Named::read(body).ok_or_else(malformed)? {
            Named::Statement(name) => drop(self.extended.statements.remove(name)),
            Named::Portal(name) => drop(self.extended.portals.remove(name)),
        }
        message(self.client.outbox.push(), b'3', |_| {});
        Ok(())
    }
}

impl Portal {
    /// Its next rows, `most` of them; zero is all.
    fn send(&mut self, most: usize, out: &mut Vec<u8>) {
        let Some((answer, sent)) = &mut self.answer else {
            return;
        };
        if let Some(text) = answer.notice.take() {
            notice(out, "00000", &text);
        }
        if let Some(table) = &answer.table {
            let end = match most {
                0 => table.rows.len(),
                most => table.rows.len().min(sent.saturating_add(most)),
            };
            table.rows[*sent..end].iter().for_each(|row| table.row(row, &self.formats, out));
            *sent = end;
            if end < table.rows.len() {
                return message(out, b's', |_| {});
            }
        }
        complete(out, answer.tag);
    }
}

/// RowDescription, or NoData.
fn columns(table: Option<&Table>, formats: &[Format], out: &mut Vec<u8>) {
    match table {
        Some(table) => table.describe(formats, out),
        None => message(out, b'n', |_| {}),
    }
}

/// The formats at the end of a Bind, behind the parameters' formats and values.
fn result_formats(rest: &[u8]) -> Option<Vec<Format>> {
    let (_, mut rest) = codes(rest)?;
    let (count, tail) = rest.split_first_chunk()?;
    rest = tail;
    for _ in 0..u16::from_be_bytes(*count) {
        let (len, tail) = rest.split_first_chunk()?;
        let len = usize::try_from(i32::from_be_bytes(*len)).unwrap_or(0);
        rest = tail.get(len..)?;
    }
    codes(rest).map(|(formats, _)| formats)
}

fn codes(bytes: &[u8]) -> Option<(Vec<Format>, &[u8])> {
    let (count, rest) = bytes.split_first_chunk()?;
    let (codes, rest) = rest.split_at_checked(2 * usize::from(u16::from_be_bytes(*count)))?;
    let format = |code: &[u8]| match code {
        [0, 0] => Some(Format::Text),
        [0, 1] => Some(Format::Binary),
        _ => None,
    };
    Some((codes.chunks(2).map(format).collect::<Option<_>>()?, rest))
}

/// Of an Execute.
fn max_rows(body: &[u8]) -> Option<usize> {
    let (_, rest) = split_text(body)?;
    let (most, _) = rest.split_first_chunk()?;
    Some(usize::try_from(i32::from_be_bytes(*most)).unwrap_or(0))
}

fn malformed() -> PgError {
    PgError::error("08P01", "invalid message format")
}

fn no_portal(name: &[u8]) -> PgError {
    PgError::error("34000", format!("portal \"{}\" does not exist", String::from_utf8_lossy(name)))
}
