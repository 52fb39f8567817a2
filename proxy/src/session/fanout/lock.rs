//! `insert_lock`: who inserts into a table with a serial column locks it, so that
//! the numbers are given in the same order on every server.

use super::super::link::Servers;
use super::super::links::LinkError;
use super::super::{End, Session};
use super::plan::{Order, Plan, first_word};
use super::unit::{Result, Unit};
use crate::fanout::Until;
use crate::plugin::contract::Kind;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::sql::literal;
use crate::protocol::{PgError, Severity, frontend};
use crate::routing::Classified;

/// What a comment at the beginning of a statement may say.
const LOCK: &str = "/*INSERT LOCK*/";
const NO_LOCK: &str = "/*NO INSERT LOCK*/";

impl Session {
    /// Locks the table that a statement is about to insert into, in the same
    /// transaction. `Some`: that failed, and with it the statement.
    pub(super) async fn lock_for_insert(
        &mut self,
        classified: &Classified,
        text: &str,
        servers: Servers,
    ) -> std::result::Result<Option<Result>, LinkError> {
        let verdict = classified.verdict();
        let inserts = verdict.kind == Kind::Dml && first_word(text.as_bytes()).eq_ignore_ascii_case("insert");
        let Some(table) = verdict.writes.first().filter(|_| inserts) else {
            return Ok(None);
        };
        let table = quoted(table);
        let wanted = match text.trim_start() {
            text if starts_with(text, LOCK) => true,
            text if starts_with(text, NO_LOCK) => false,
            _ => self.worker.proxy.config().insert_lock && self.is_serial(&table, servers).await?,
        };
        if !wanted {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let lock = format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
        frontend::query(&mut bytes, lock.as_bytes());
        let unit = Unit { bytes: &bytes, until: Until::Ready, text: &lock };
        let internal = self.transaction.status == TransactionStatus::Idle;
        let plan = Plan { order: Order::MainFirst, internal, stays: true, ..Plan::default() };
        let locked = self.run_unit(unit, plan, servers).await?;
        Ok(Some(locked).filter(|locked| locked.failed))
    }

    /// A column of the table takes its default from a sequence.
    async fn is_serial(&mut self, table: &str, servers: Servers) -> std::result::Result<bool, LinkError> {
        let epoch = self.scope.database.facts.epoch();
        let fan = self.fan();
        if fan.serial_epoch != epoch {
            fan.serial.clear();
            fan.serial_epoch = epoch;
        }
        if let Some(known) = fan.serial.get(table) {
            return Ok(*known);
        }
        let question = format!(
            "SELECT 1 FROM pg_catalog.pg_attrdef d WHERE d.adrelid = pg_catalog.to_regclass({}) \
             AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%' \
             UNION ALL SELECT 1 FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = pg_catalog.to_regclass({}) AND a.attidentity <> '' LIMIT 1",
            literal(table),
            literal(table)
        );
        let answered = self.ask_main(servers, &question).await;
        let rows = answered.map_err(|error| match error {
            // The transaction has failed there, and nowhere else.
            LinkError::Statement(error) if self.transaction.status != TransactionStatus::Idle => {
                LinkError::End(End::Fatal(PgError { severity: Severity::Fatal, ..error }))
            }
            error => error,
        })?;
        let serial = !rows.is_empty();
        self.fan().serial.insert(table.to_owned(), serial);
        Ok(serial)
    }
}

fn starts_with(text: &str, comment: &str) -> bool {
    text.get(..comment.len()).is_some_and(|head| head.eq_ignore_ascii_case(comment))
}

/// A name as a verdict has it, `schema.name` folded and unquoted, for SQL.
fn quoted(name: &str) -> String {
    let parts = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests;
