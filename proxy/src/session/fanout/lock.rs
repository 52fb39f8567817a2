//! `insert_lock`: numbers of a sequence are the same on every server.
//!
//! Rows that are written down get them as values, which the main server has given
//! (see [`values`](super::values)). Those of a query, and of COPY, are numbered by each server: whoever
//! inserts them locks the table against all others who take numbers, and the
//! servers begin with the same one.

use super::super::link::Servers;
use super::super::links::LinkError;
use super::super::values::from_server;
use super::super::{End, Session};
use super::plan::{Order, Plan};
use super::targets::{Rows, Target, targets};
use super::unit::Unit;
use crate::fanout::Until;
use crate::plugin::contract::{Effects, Kind};
use crate::protocol::error::ErrorFields;
use crate::protocol::sql::literal;
use crate::protocol::{HEADER_LEN, PgError, Severity, frontend};
use crate::routing::{Classified, Sent};
use std::rc::Rc;

/// What a comment at the beginning of a statement may say.
const LOCK: &str = "/*INSERT LOCK*/";
const NO_LOCK: &str = "/*NO INSERT LOCK*/";

/// A column that takes its default from a sequence.
#[derive(Debug)]
pub(super) struct Serial {
    column: String,
    /// As SQL writes it; `None`: it is not known which.
    sequence: Option<String>,
}

/// A table, and sequences which give its rows numbers.
#[derive(Debug)]
pub(super) struct Numbered {
    pub table: String,
    pub sequences: Vec<String>,
}

impl Session {
    /// What a statement needs so that all servers number its rows alike: locks
    /// tables, and notes which are to be locked with the values of others.
    /// `executed` is what runs, and its text; `asked` the client's own.
    pub(super) async fn lock_for_insert(
        &mut self,
        executed: (&Classified, &str),
        asked: &str,
        servers: Servers,
    ) -> Result<(), LinkError> {
        let (classified, text) = executed;
        let several = classified.verdict().effects.contains(Effects::MULTIPLE);
        if !several && !matches!(classified.verdict().kind, Kind::Dml | Kind::Prepare) {
            return Ok(());
        }
        let wanted = match asked.trim_start() {
            asked if starts_with(asked, LOCK) => Some(true),
            asked if starts_with(asked, NO_LOCK) => Some(false),
            _ if self.worker.proxy.config().insert_lock => None,
            _ => Some(false),
        };
        if wanted == Some(false) {
            return Ok(());
        }
        let found = targets(text, several);
        let alone = found.len() == 1;
        for target in found {
            let copies = matches!(target.rows, Rows::Copied { .. });
            if wanted == Some(true) && !copies {
                self.lock(target.table, Vec::new(), servers).await?;
            } else if self.has_numbers(classified, &target, alone) {
                self.fan().locks.push(target.table);
            } else {
                self.lock_if_serial(target, servers).await?;
            }
        }
        Ok(())
    }

    /// The numbers of these rows are values in the text, as far as there are any.
    fn has_numbers(&self, classified: &Classified, target: &Target, alone: bool) -> bool {
        let puts = match &classified.sent {
            Sent::Edited(template) => {
                template.gaps().filter_map(|gap| gap.evaluation()).any(|evaluation| evaluation.everywhere)
            }
            Sent::AsIs | Sent::Refused(_) => false,
        };
        let rewrites = || self.scope.plugins.insists(&self.scope.chain).is_some();
        match target.rows {
            Rows::Written => rewrites(),
            Rows::Selected => puts && alone,
            Rows::Copied { .. } => false,
        }
    }

    async fn lock_if_serial(&mut self, target: Target, servers: Servers) -> Result<(), LinkError> {
        let serials = self.serials(&target.table, servers).await?;
        let left_out: Vec<_> = serials.iter().filter(|serial| target.leaves_out(&serial.column)).collect();
        if left_out.is_empty() {
            return Ok(());
        }
        let sequences = left_out.into_iter().filter_map(|serial| serial.sequence.clone()).collect();
        self.lock(target.table, sequences, servers).await
    }

    async fn lock(
        &mut self,
        table: String,
        sequences: Vec<String>,
        servers: Servers,
    ) -> Result<(), LinkError> {
        // In a cycle of the extended protocol what stands before it ends.
        self.sync_open().await?;
        let mut bytes = Vec::new();
        let lock = format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
        frontend::query(&mut bytes, lock.as_bytes());
        let unit = Unit::new(&bytes, Until::Ready, &lock);
        let internal = self.is_idle();
        let plan = Plan { order: Order::MainFirst, internal, stays: true, ..Plan::default() };
        let locked = self.run_unit(unit, plan, servers).await?;
        if locked.failed {
            let fields = ErrorFields::parse(locked.last.get(HEADER_LEN..).unwrap_or_default());
            return Err(self.fails(from_server(&fields)).await?);
        }
        if !sequences.is_empty() {
            match self.level(&sequences, servers).await {
                Err(LinkError::Statement(error)) => return Err(self.fails(error).await?),
                levelled => levelled?,
            }
            self.fan().numbered.push(Numbered { table, sequences });
        }
        Ok(())
    }

    /// The columns of a table whose default is from a sequence.
    async fn serials(&mut self, table: &str, servers: Servers) -> Result<Rc<[Serial]>, LinkError> {
        let epoch = self.scope.database.facts.epoch();
        let fan = self.fan();
        if fan.serial_epoch != epoch {
            fan.serial.clear();
            fan.serial_epoch = epoch;
        }
        if let Some(known) = fan.serial.get(table) {
            return Ok(known.clone());
        }
        self.sync_open().await?;
        let answered = self.ask_main(servers, &question(table)).await;
        let rows = answered.map_err(|error| match error {
            // The transaction has failed there, and nowhere else.
            LinkError::Statement(error) if !self.is_idle() => {
                LinkError::End(End::Fatal(PgError { severity: Severity::Fatal, ..error }))
            }
            error => error,
        })?;
        let serials: Rc<[Serial]> = rows.into_iter().filter_map(serial).collect();
        self.fan().serial.insert(table.to_owned(), serials.clone());
        Ok(serials)
    }
}

fn serial(row: Vec<Option<String>>) -> Option<Serial> {
    let mut row = row.into_iter();
    Some(Serial { column: row.next()??, sequence: row.next().flatten() })
}

/// Identity columns, and those with a `nextval` in their default; and the sequence
/// that PostgreSQL knows to be behind it.
fn question(table: &str) -> String {
    format!(
        "SELECT a.attname, pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_attribute a \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         LEFT JOIN pg_catalog.pg_depend o ON o.deptype = 'i' \
           AND o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.refclassid = o.classid \
           AND o.refobjid = a.attrelid AND o.refobjsubid = a.attnum \
         LEFT JOIN pg_catalog.pg_depend u ON u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass \
           AND u.objid = d.oid AND u.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
           AND EXISTS (SELECT 1 FROM pg_catalog.pg_sequence s WHERE s.seqrelid = u.refobjid) \
         LEFT JOIN pg_catalog.pg_class c ON c.relkind = 'S' AND c.oid = COALESCE(u.refobjid, o.objid) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE a.attrelid = pg_catalog.to_regclass({}) AND a.attnum > 0 AND NOT a.attisdropped \
         AND (a.attidentity <> '' OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%')",
        literal(table)
    )
}

fn starts_with(text: &str, comment: &str) -> bool {
    text.get(..comment.len()).is_some_and(|head| head.eq_ignore_ascii_case(comment))
}

#[cfg(test)]
mod tests;
